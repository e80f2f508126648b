"""What the documents show is what happens: their Python runs, their commands print what stands below them.

In a document, a Python block whose first line is `# name.py` is that file, in a folder of the document's own; any other
is run, after those before it. A block of plain text below it is what it prints. In a block of `console`, each line
after a $ is a command, what follows is what it prints. … stands for anything. What differs from one machine or BLAS to
the next is left out on both sides: seconds, how wide a column is, how large an error is beside its mark ✓, ✗ or ↳.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import check_command, checking, cli, supervision

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "docs/oracle.md")
"""Those whose blocks are run."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def blocks(document: str) -> Iterator[tuple[str, str, str]]:
    """Language, text, and of plain text the language of the block that it stands below."""
    text = (ROOT / document).read_text(encoding="utf-8")
    before, end = "", 0
    for found in BLOCK.finditer(text):
        adjacent = not text[end : found.start()].strip()
        yield found[1], found[2], before if adjacent else ""
        before, end = found[1], found.end()


VARYING = ((r"(?<=[✓✗↳]) [<>]?[\d.]+(e\d+)?", ""), (r"\d+\.\d+ ?s\b", "s"), (r" +", " "), (r" ?\n", "\n"))
"""What is taken out of what a command prints, and what is put in its place."""


def plain(text: str) -> str:
    """Without what differs from one machine to the next."""
    for pattern, replacement in VARYING:
        text = re.sub(pattern, replacement, text)
    return text


def assert_shows(shown: str, printed: str) -> None:
    """Each part of what is shown, between the …, is in what was printed, in this order."""
    place, printed = 0, plain(printed)
    for part in plain(shown).split("…"):
        found = printed.find(part.strip(), place)
        assert found >= 0, f"not printed, or not in this place:\n{part}\nprinted:\n{printed}"
        place = found + len(part.strip())


def in_this_process(job: dict[str, Any]) -> int:
    """`twice check` without a process of its own, which would import torch anew for every command."""
    answer = checking.check({**job, "colour": False, "crashes": [], "give_up": False}, lambda *_: None)
    print(answer["text"] if "text" in answer else answer["refusal"])
    return int(answer["exit_code"])


def run(command: str, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints."""
    program, *words = shlex.split(command)
    if program == "pytest":
        result = pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-p", "no:cacheprovider", *words)
        capsys.readouterr()
        return result.stdout.str()
    assert program == "twice", f"the documents show no output of {program}"
    cli.main(words)
    return capsys.readouterr().out


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_shows_is_what_happens(
    document: str, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "supervise", in_this_process)
    monkeypatch.setattr(check_command, "command", lambda *words: shlex.join(["twice", *words]))  # as if installed
    monkeypatch.syspath_prepend(pytester.path)
    names: dict[str, Any] = {"__name__": "document"}
    printed, shown = "", 0
    for language, text, above in blocks(document):
        if language == "python" and (name := re.match(r"# (\w+\.py)\n", text)):
            (pytester.path / name[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, document, "exec"), names)
            printed = capsys.readouterr().out
        elif language == "" and above == "python":
            assert_shows(text, printed)
            shown += 1
        elif language == "console":
            for command, below in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, flags=re.MULTILINE):
                assert_shows(below, run(command, pytester, capsys))
                shown += 1
    assert shown >= 2


@pytest.mark.parametrize("document", [*DOCUMENTS, "docs/course/README.md", "docs/equivalence.md", "docs/speed.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert len(targets) > 2
    assert [target for target in targets if not ((ROOT / document).parent / target).exists()] == []
