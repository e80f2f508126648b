import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from experiments import figures, layer_figures
from experiments.backends import build
from experiments.data import load
from experiments.metrics import read_rows
from experiments.networks import DataShape, inputs
from experiments.tensorboard import Board, quiet_writer_threads, table
from scratch.models import s2_c3_table
from tests.running import arrays, finished, run, small_lenet5

KINDS = ("scalars", "images", "histograms", "tensors")
LAYERS = ("fc1", "f1", "fc2", "f2", "fc3")
NAMES = [f"fc{i}.{kind}" for i in (1, 2, 3) for kind in ("weight", "bias")]


def read(folder: Path) -> EventAccumulator:
    # 0: all events; by default the reader keeps a sample.
    events = EventAccumulator(str(folder), size_guidance=dict.fromkeys((*KINDS, "compressedHistograms", "audio"), 0))
    events.Reload()
    return events


def tags(folder: Path) -> dict[str, set[str]]:
    found = read(folder).Tags()
    return {kind: set(found[kind]) for kind in KINDS}


@pytest.fixture(scope="module")
def root() -> Path:
    return finished() / "mlp-digits-s0"


def test_the_two_backends_have_identical_tags(root):
    assert tags(root / "scratch") == tags(root / "torch")


def test_every_tag_of_the_table_is_there(root):
    found = tags(root / "scratch")
    assert found["scalars"] == {
        *(f"{what}/{split}" for what in ("loss", "error") for split in ("train", "validation", "test")),
        "optim/lr",
        "optim/grad_norm",
        "speed/images_per_s",
        *(f"update_ratio/fc{i}" for i in (1, 2, 3)),
        *(f"saturation/f{i}" for i in (1, 2)),
    }
    assert found["histograms"] == {
        *(f"{group}/{name}" for group in ("params", "grads") for name in NAMES),
        *(f"activations/{layer}" for layer in LAYERS),
    }
    assert found["images"] == {"filters/fc1", "maps/fc1", "errors/misclassified", "errors/confusion"}
    hparams = {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"}
    texts = {"text/config/text_summary", "text/summary/text_summary"}
    # The hparams plugin's summaries carry no values: they are read from the metadata of the tags.
    assert found["tensors"] | hparams == {*(f"pr/{digit}" for digit in range(10)), *texts, *hparams}
    assert hparams <= set(read(root / "scratch").summary_metadata)
    assert "embedding/penultimate" in (root / "scratch" / "projector_config.pbtxt").read_text()


def test_the_differences_are_in_a_folder_of_their_own(root):
    assert tags(root / "diff")["scalars"] == {
        "parity/loss",
        *(f"parity/output/{layer}" for layer in LAYERS),
        *(f"parity/{kind}/{name}" for kind in ("grad", "param") for name in NAMES),
        "forced/loss",
        *(f"forced/output/{layer}" for layer in LAYERS),
        *(f"forced/grad/{name}" for name in NAMES),
    }


def test_no_folder_is_a_run_but_the_three(root):
    assert {path.parent.relative_to(root).as_posix() for path in root.rglob("events.out*")} == {
        "scratch",
        "torch",
        "diff",
    }


def test_x_is_the_number_of_updates(root):
    events = read(root / "torch")
    steps = {
        tag: [event.step for event in events.Scalars(tag)] for tag in ("loss/train", "loss/validation", "loss/test")
    }
    assert steps == {"loss/train": [1, 5, 10, 15, 20, 25, 30, 35, 40], "loss/validation": [21, 42], "loss/test": [42]}
    assert [event.step for event in events.Histograms("params/fc1.weight")] == [21, 42]
    assert [event.step for event in events.Images("errors/confusion")] == [21, 42]


def test_the_curves_are_the_numbers_of_the_metrics_file_as_float32(root):
    rows = read_rows(root / "scratch" / "metrics.jsonl", "train")
    drawn = [event.value for event in read(root / "scratch").Scalars("optim/grad_norm")]
    assert drawn == [np.float32(row["grad_norm"]) for row in rows]
    assert len(drawn) == 9


def test_figures_are_saved_as_png_too(root):
    names = {path.name for path in (root / "scratch" / "figures").iterdir()}
    assert names == {
        "filters-fc1.png",
        "maps-fc1.png",
        *(f"{name}{suffix}.png" for name in ("confusion", "misclassified") for suffix in ("", "-test")),
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (root / "scratch" / "figures").iterdir())


TWO_UPDATES = {"epochs": 1, "batch_size": 650, "log_every": 1}


@pytest.fixture(scope="module")
def lenet5(tmp_path_factory) -> Path:
    """Return a run of LeNet-5's two backends, trained apart: what is drawn asks for no lockstep."""
    folder = tmp_path_factory.mktemp("runs")
    for backend in ("scratch", "torch"):
        run(small_lenet5(backend=backend, **TWO_UPDATES), folder)
    return folder / "lenet5-digits-s0"


TRAINED = ("c1", "s2", "c3", "s4", "c5", "f6", "output")
SQUASHED = tuple(f"{layer}_f" for layer in TRAINED[:-1])


def test_lenet5_has_every_tag_of_the_table_in_both_backends(lenet5):
    found = tags(lenet5 / "scratch")
    assert found == tags(lenet5 / "torch")
    groups: dict[str, set[str]] = {}
    for kind in ("scalars", "histograms", "images"):
        for group, _, name in (tag.partition("/") for tag in found[kind]):
            groups.setdefault(group, set()).add(name)
    parameters = {f"{layer}.{kind}" for layer in TRAINED for kind in ("weight", "bias")}
    splits = {"train", "validation", "test"}
    assert groups == {
        "loss": splits,
        "error": splits,
        "optim": {"lr", "grad_norm"},
        "speed": {"images_per_s"},
        "update_ratio": {*TRAINED},
        "saturation": {*TRAINED[:-1]},
        "params": parameters,
        "grads": parameters,
        "activations": {*TRAINED, *SQUASHED},
        "filters": {"c1", "s2", "c3", "s4"},
        "maps": {"c1", "s2", "c3", "s4"},
        "connections": {"c3"},
        "errors": {"misclassified", "confusion"},
    }
    assert found["tensors"] >= {f"pr/{digit}" for digit in range(10)}
    names = {path.stem for path in (lenet5 / "torch" / "figures").iterdir()}
    pictures = {"filters-c1", "filters-s2", "filters-c3", "filters-s4", "maps-c1", "maps-s2", "maps-c3", "maps-s4"}
    assert names - {"confusion", "misclassified", "confusion-test", "misclassified-test"} == {
        *pictures,
        "connections-c3",
    }


def test_the_maps_are_those_of_the_first_validation_digit_after_the_squash(lenet5):
    config, validation = small_lenet5(**TWO_UPDATES), load("digits").validation
    last = arrays(lenet5 / "scratch" / "checkpoints" / "last.npz")
    params = {name.removeprefix("param/"): value for name, value in last.items() if name.startswith("param/")}
    trace = build("scratch", config, params, DataShape((28, 28), 10)).trace(inputs(config, validation.images[:1]))
    for layer in ("c1", "s4"):
        drawn = np.asarray(Image.open(lenet5 / "scratch" / "figures" / f"maps-{layer}.png"))
        expected = layer_figures.feature_maps(validation.images[0], trace[f"{layer}_f"][0])
        # A batch of another size is rounded otherwise, and a pixel may take the next colour.
        assert np.abs(drawn.astype(int) - expected).max() <= 8


def test_the_embedding_is_that_of_f6_after_its_squash(lenet5):
    assert "embedding/penultimate" in (lenet5 / "scratch" / "projector_config.pbtxt").read_text()
    (vectors,) = (lenet5 / "scratch").rglob("tensors.tsv")
    values = np.loadtxt(vectors)
    assert values.shape == (300, 84)
    assert 1 < np.abs(values).max() < 1.7160


def test_the_connection_table_is_drawn_once_at_the_start(lenet5):
    png = (lenet5 / "torch" / "figures" / "connections-c3.png").read_bytes()
    assert png == figures.encode_png(layer_figures.connection_table(s2_c3_table(), ("S2", "C3")))
    for backend in ("scratch", "torch"):
        (event,) = read(lenet5 / backend).Images("connections/c3")
        assert (event.step, event.encoded_image_string) == (1, png)


def test_the_zeros_of_absent_links_are_in_no_histogram(lenet5):
    events = read(lenet5 / "torch")
    for tag in ("params/c3.weight", "grads/c3.weight"):
        assert events.Histograms(tag)[0].histogram_value.num == 60 * 25


def test_pooling_without_parameters_has_maps_only_and_a_dense_c3_the_full_table(tmp_path):
    settings = {"pooling": "max", "c3": "dense", "activation": "relu"}
    run(small_lenet5(backend="scratch", **settings, **TWO_UPDATES), tmp_path)
    folder = tmp_path / "lenet5-digits-s0" / "scratch"
    found = tags(folder)
    assert {tag for tag in found["images"] if not tag.startswith("errors/")} == {
        *("filters/c1", "filters/c3", "connections/c3"),
        *(f"maps/{layer}" for layer in ("c1", "s2", "c3", "s4")),
    }
    saturation = {f"saturation/{layer}" for layer in ("c1", "c3", "c5", "f6")}
    assert {tag for tag in found["scalars"] if tag.startswith("saturation")} == saturation
    assert {f"activations/{layer}" for layer in ("s2", "s4")} <= found["histograms"]
    full = layer_figures.connection_table(np.ones((16, 6), np.bool_), ("S2", "C3"))
    assert (folder / "figures" / "connections-c3.png").read_bytes() == figures.encode_png(full)


def test_a_histogram_leaves_out_what_is_not_finite_and_an_empty_one_is_skipped(tmp_path):
    board = Board(tmp_path)
    board.histograms(
        "params",
        [
            {"some": np.array([1.0, math.nan, -math.inf]), "none": np.full(3, math.nan), "huge": np.full(3, -1e200)},
            {"some": np.array([2.0, 3.0])},
        ],
        1,
    )
    board.close()
    events = read(tmp_path)
    assert events.Tags()["histograms"] == ["params/some"]
    found = events.Histograms("params/some")[0].histogram_value
    assert (found.num, found.min, found.max, found.sum) == (3, 1, 3, 6)


def test_events_after_the_checkpoint_are_void_after_a_resumption(tmp_path):
    board = Board(tmp_path)
    for update in (10, 20, 30):
        board.scalars({"loss/train": update}, update)
    board.close()
    board = Board(tmp_path, after_update=20)
    board.scalars({"loss/train": 31}, 30)
    board.close()
    assert [(e.step, e.value) for e in read(tmp_path).Scalars("loss/train")] == [(10, 10), (20, 20), (30, 31)]


def test_a_full_disk_is_raised_where_it_can_be_handled_and_no_thread_prints_a_traceback(tmp_path, monkeypatch, capfd):
    def full(*_):
        raise OSError(28, "No space left on device")

    def write():
        board.scalars({"loss/train": 1.0}, 1)
        board.flush()

    with quiet_writer_threads():
        board = Board(tmp_path)
        board.flush()
        monkeypatch.setattr(RecordWriter, "write", full)
        with pytest.raises(OSError, match="No space left"):
            write()
        board.close()
    assert capfd.readouterr().err == ""


def test_a_table_is_markdown():
    assert table({"lr": 0.05}) == "| | |\n|---|---|\n| lr | 0.05 |\n"
