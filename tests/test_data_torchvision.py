"""torchvision is importable beside any build of torch, is imported late, and agrees with our list of files."""

import subprocess
import sys

import pytest
import torch

from experiments import torchvision_compat
from experiments.data import sources


def in_a_fresh_process(code: str) -> str:
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_data_are_loaded_without_torch() -> None:
    in_a_fresh_process(
        "import sys, experiments.data as data, experiments.torchvision_compat\n"
        "assert not {'torch', 'sklearn', 'pooch', 'requests'} & set(sys.modules)\n"
        "data.load('digits')\n"
        "assert 'torch' not in sys.modules\n"
    )


def test_import_is_tried_plainly_first_and_repaired_only_for_the_known_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def other(name: str) -> None:
        calls.append(name)
        raise RuntimeError("something else")

    monkeypatch.setattr(torchvision_compat.importlib, "import_module", other)
    with pytest.raises(RuntimeError, match="something else"):
        torchvision_compat.import_torchvision()
    assert calls == ["torchvision"]


def test_repair_drops_the_half_import_and_keeps_the_schemas_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[bool] = []
    declared: list[int] = []
    monkeypatch.setitem(sys.modules, "torchvision.half", sys)

    def once(name: str) -> object:
        attempts.append("torchvision.half" in sys.modules)
        if len(attempts) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        return name

    # The real modules, if they are in already, must survive this test.
    monkeypatch.setattr(torchvision_compat.sys, "modules", dict(sys.modules))
    monkeypatch.setattr(torchvision_compat.importlib, "import_module", once)
    monkeypatch.setattr(torchvision_compat, "_declared", [])
    monkeypatch.setattr(torchvision_compat, "_declare_operators", lambda: declared.append(1))
    assert torchvision_compat.import_torchvision() == "torchvision"
    assert attempts == [True, False]
    assert declared == [1]


def test_it_works_here_and_again() -> None:
    output = in_a_fresh_process(
        "from experiments.torchvision_compat import import_torchvision\n"
        "first = import_torchvision()\n"
        "import torchvision, torchvision.transforms, torchvision.datasets\n"
        "assert import_torchvision() is first is torchvision\n"
        "print(torchvision.__name__)\n"
    )
    assert output == "torchvision\n"


def test_make_grid() -> None:
    images = torch.arange(3 * 4, dtype=torch.float32).reshape(3, 1, 2, 2)
    grid = torchvision_compat.make_grid(images, nrow=2, padding=1, pad_value=-1.0)
    assert grid.shape == (3, 7, 7)
    assert torch.equal(grid[0, 1:3, 4:6], images[1, 0])
    assert torch.equal(grid[2, 4:6, 1:3], images[2, 0])
    assert (grid[:, 0] == -1).all()


@pytest.mark.parametrize("member", sources.FAMILY, ids=lambda member: member.name)
def test_our_file_names_are_those_that_torchvision_downloads(member: sources.Source) -> None:
    resources = torchvision_compat.mnist_resources(member.folder)
    theirs = {name.rpartition("/")[2] for name, _ in resources}
    if member.archives:
        assert theirs == {"gzip.zip"}
    else:
        assert theirs == {f"{file.name}.gz" for file in member.files}
    assert all(len(bytes.fromhex(md5)) == 16 for _, md5 in resources)
