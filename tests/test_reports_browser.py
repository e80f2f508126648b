"""The page in a real browser: what it draws, what keys do, and that nothing in it goes wrong or asks for more."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from tests import report_samples as samples
from torchref import oracle

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium, chromium-browser or google-chrome is installed, so no page can be tried"
)

WATCH = """<script>
window.trouble = [];
addEventListener("error", (e) => trouble.push(String(e.message || (e.target && e.target.outerHTML))), true);
addEventListener("unhandledrejection", (e) => trouble.push(String(e.reason)));
addEventListener("securitypolicyviolation", (e) => trouble.push("asks for " + e.blockedURI));
console.error = (...said) => trouble.push(said.join(" "));
</script>"""
REPORT = """<script>
const seen = { title: document.title };
const keep = (name, value) => { seen[name] = value; };
const maps = (n = 0) => [...document.querySelectorAll(".maps")[n].querySelectorAll("canvas")];
const said = (n = 0) => document.querySelectorAll(".maps")[n].querySelector("output").textContent;
const press = (canvas, key) => {
  canvas.focus();
  canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
};
const pixel = (canvas, x, y) => {
  const ratio = canvas.width / parseFloat(canvas.style.width);
  return [...canvas.getContext("2d").getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data].slice(0, 3);
};
(async () => {
try { await (async () => { STEPS })(); } catch (error) { trouble.push(String(error)); }
seen.trouble = trouble;
const asked = performance.getEntriesByType("resource").map((entry) => entry.name);
seen.asked = asked.filter((name) => !name.startsWith("data:"));
const pre = document.createElement("pre");
pre.id = "seen";
pre.textContent = JSON.stringify(seen);
document.body.append(pre);
})();
</script>"""


def visit(page, steps, *options):
    """Open a copy of a page, run JavaScript that notes with `keep` what it sees, and give back the notes."""
    text = page.read_text("utf-8")
    head, body = text.index("<style>"), text.rindex("</body>")
    copy = page.with_name(f"copy-{page.name}")
    copy.write_text(text[:head] + WATCH + text[head:body] + REPORT.replace("STEPS", steps) + text[body:], "utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,1200"]
    command += [f"--user-data-dir={page.parent / 'profile'}", *options, "--dump-dom", "--virtual-time-budget=3000"]
    done = subprocess.run([*command, copy.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


def pool(x, k):
    """Average pooling whose backward forgets to divide in the last column."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // k, k, w // k, k).mean((3, 5)), k


def pool_backward(dy, k):
    dx = np.repeat(np.repeat(dy, k, 2), k, 3) / k**2
    dx[:, :, :, -1] *= k**2
    return dx


@pytest.fixture(scope="module")
def verdict():
    return oracle.check(pool, pool_backward, like="avgpool2d", cases=("plain",), seed=7)


@pytest.fixture(scope="module")
def failing(verdict, tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "report.html"
    verdict.save(path)
    return path


SHADES = """
    keep("dark", matchMedia("(prefers-color-scheme: dark)").matches);
    keep("paper", getComputedStyle(document.body).backgroundColor);
    keep("cell", pixel(maps()[2], 22 + maps()[2].cell[0] * 1.5, 26));
"""


def brightness(seen):
    """Of the paper and of an entry that is 0: from 0 to 765."""
    return sum(json.loads(f"[{seen['paper'][4:-1]}]")), sum(seen["cell"])


def test_a_failing_report_is_drawn_and_answers_to_keys(failing, verdict):
    picture = verdict.findings[0].picture
    n, c, row, column = picture.at
    assert column == 7
    seen = visit(
        failing,
        SHADES
        + """
        const [mine, oracle, difference] = maps();
        keep("labels", maps().map((m) => m.getAttribute("aria-label")));
        keep("roles", maps().map((m) => m.getAttribute("role") + m.tabIndex));
        keep("start", said());
        const reached = [...document.querySelectorAll("a[href], button, select, canvas")];
        keep("focusable", reached.every((e) => e.tabIndex === 0));
        for (const key of ["Home", "ArrowDown", "ArrowUp", "ArrowRight", "ArrowRight", "ArrowLeft"]) press(mine, key);
        keep("walked", said());
        press(oracle, "w");
        keep("worst", said());
        press(difference, "End"); press(difference, "ArrowRight");
        keep("edge", said());
        press(difference, "]");
        keep("next", said());
        keep("chosen", [...document.querySelectorAll("select")].map((s) => s.selectedIndex));
        press(difference, "[");
        keep("back", said());
        press(mine, "Tab"); press(mine, "x");
        keep("unmoved", said());
        const select = document.querySelector("select");
        select.selectedIndex = 0; select.dispatchEvent(new Event("change"));
        keep("selected", said());
        const [size, height] = mine.cell;
        const box = mine.getBoundingClientRect();
        const at = (x, y) => ({ clientX: box.left + x, clientY: box.top + y });
        const hover = (x, y) => mine.dispatchEvent(new PointerEvent("pointermove", at(x, y)));
        hover(22 + size * 2.5, 22 + height * 1.5);
        keep("hovered", said());
        hover(5, 5);
        keep("margin", said());
        press(mine, "w"); press(mine, "Home");
        const middle = (canvas, column) => pixel(canvas, 22 + size * (column + 0.5), 22 + height * 0.12);
        keep("colours", [1, 6, 7].map((column) => middle(difference, column)));
        keep("copied", [...document.querySelectorAll(".copy")].every((b) => !b.hidden));
        keep("text", document.body.innerText);
        const button = document.querySelector(".copy");
        button.click();
        await new Promise((done) => setTimeout(done, 100));
        keep("clicked", [button.textContent, getSelection().toString()]);
        """,
    )
    assert seen["trouble"] == []
    assert seen["asked"] == []
    assert not seen["dark"]
    assert min(brightness(seen)) > 600
    assert seen["roles"] == ["application0"] * 3
    assert seen["labels"][2].startswith(f"dx, difference, N {n}, C {c}, 6 rows, 8 columns")
    assert seen["focusable"]

    def told(*at, worst=False):
        values = [
            f"{name} {_said(array[at], 7)}" for name, array in (("mine", picture.mine), ("oracle", picture.oracle))
        ]
        apart = f"difference {_said(float(f'{picture.mine[at] - picture.oracle[at]:.6g}'), 7)}"
        return f"{list(at)}: {', '.join([*values, apart])}{' (farthest beyond its bound)' if worst else ''}"

    assert seen["start"] == seen["worst"] == seen["edge"] == seen["back"] == seen["unmoved"]
    assert seen["start"] == told(n, c, row, 7, worst=True)
    walked = row if row < 5 else 4
    assert seen["walked"] == told(n, c, walked, 1)
    assert seen["next"] == told((n + c) % 4, 1 - c, row, 7)
    assert seen["chosen"] == [(n + c) % 4, 1 - c]
    assert seen["selected"] == told(0, c, row, 7, worst=n == 0)
    assert seen["hovered"] == seen["margin"] == told(0, c, 1, 2)
    right, also_right, wrong = seen["colours"]
    assert right == also_right != wrong
    assert seen["copied"]
    assert seen["clicked"] in (["Copied", ""], ["Selected", verdict.findings[0].reproduce])
    for text in ("FAIL", "dx is wrong", "reproduce", "Every case"):
        assert text in seen["text"]


def _said(value, digits):
    text = f"{value:.{digits}g}"
    return (str(float(text)) if float(text) % 1 else str(int(float(text)))).replace("-", "−")


def test_dark_mode_changes_paper_and_maps(failing):
    seen = visit(failing, SHADES, "--blink-settings=preferredColorScheme=0")
    assert seen["dark"]
    assert seen["trouble"] == []
    assert max(brightness(seen)) < 200


def test_text_of_a_hostile_candidate_stays_text(tmp_path):
    page = tmp_path / "hostile.html"
    samples.hostile().save(page)
    seen = visit(
        page,
        """
        keep("images", document.images.length);
        keep("scripts", document.scripts.length);
        keep("heading", document.querySelector("h1").textContent);
        keep("drawn", maps().length);
        keep("values", said());
        """,
    )
    assert seen["trouble"] == []
    assert seen["asked"] == []
    assert seen["images"] == 0
    assert seen["scripts"] == 4  # the page's two, and this test's
    assert "owned" not in seen["title"].replace("title='owned'", "")
    assert seen["heading"].startswith("</script><script>document.title='owned'</script><img src=x onerror=")
    assert seen["drawn"] == 3
    assert seen["values"].startswith("[0]: mine NaN, oracle −∞, difference NaN")


def test_a_network_jumps_to_its_findings_and_large_arrays_say_that_they_are_cut(tmp_path):
    oracle_s = np.random.default_rng(0).normal(size=(3, 5, 90, 90))
    mine = oracle_s.copy()
    mine[2, 4, 80, 10] = np.nan
    finding = samples.Finding("dx", "far off", layer="conv2", rows=("conv2",), picture=samples.Picture(mine, oracle_s))
    odd = samples.Finding("dweight", "…", picture=samples.Picture(np.zeros((3, 2)), np.zeros((2, 3, 1))))
    none = samples.Finding("dbias", "…", picture=samples.Picture(np.zeros((0, 2)), np.zeros((0, 2))))
    one = samples.Finding("loss", "…", picture=samples.Picture(np.array(2.5), np.array(1.0)))
    page = tmp_path / "network.html"
    replace(samples.network(), findings=(finding, odd, none, one)).save(page)
    seen = visit(
        page,
        """
        const box = document.querySelector("svg a[href='#finding-0']");
        box.focus();
        keep("focused", document.activeElement === box);
        box.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
        keep("hash", location.hash);
        keep("start", said());
        keep("cut", document.querySelector(".cut").textContent);
        keep("alone", [maps(1).length, document.querySelectorAll(".maps")[1].querySelectorAll("output").length]);
        keep("none", document.querySelectorAll(".maps")[2].textContent);
        for (const key of ["ArrowDown", "End", "]", "w"]) press(maps(3)[0], key);
        keep("one", said(3));
        press(maps(0)[0], "ArrowDown");
        keep("down", said());
        const parts = [...document.querySelectorAll("header, nav, article, section[aria-labelledby], figure, output")];
        keep("fits", Math.max(...parts.map((e) => e.getBoundingClientRect().right)) <= innerWidth);
        """,
        "--window-size=500,900",
    )
    assert seen["trouble"] == []
    assert seen["focused"]
    assert seen["hash"] == "#finding-0"
    assert seen["start"].startswith("[2, 4, 80, 10]: mine NaN, oracle ")
    assert seen["down"].startswith("[2, 4, 81, 10]: mine ")
    assert seen["cut"].startswith("Cut from 3 × 5 × 90 × 90 to a window around the worst element: axis 0 ")
    assert "axis 2 26–89, axis 3 0–63" in seen["cut"]
    assert seen["alone"] == [2, 2]
    assert seen["none"] == "There are no entries to draw."
    assert seen["one"] == "the value: mine 2.5, oracle 1, difference 1.5 (largest difference)"
    assert seen["fits"]
