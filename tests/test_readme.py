"""The README's Python runs as it stands, and shows what it says it shows."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def test_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = README.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "readme"}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    shown = re.findall(r"```python\n[^`]*```\n\n```\n(.*?)```", text, flags=re.DOTALL)
    assert len(shown) == 2
    for block in shown:
        for part in block.split("…"):
            # Rounded differently from one BLAS to the next, digits behind a … are left out.
            assert part.strip() in printed, printed


def test_its_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert len(targets) > 15
    assert [target for target in targets if not (README.parent / target).exists()] == []
