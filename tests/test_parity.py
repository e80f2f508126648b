import io
import json

import numpy as np
import pytest
from rich.console import Console

from experiments import parity
from experiments import verdict as verdicts
from experiments.backend import Step
from experiments.backends import build, initial_parameters
from experiments.networks import DataShape
from experiments.runs import RunFolder
from experiments.summary import parity_table
from tests.running import at_a_kink, finished, read_rows, run, small
from torchref.oracle import criteria

SAME = (np.array([1, 2, 3]), np.array([1, 2, 3]))
SHAPE = DataShape(image=(2, 3), classes=3)


def row(update=1, forced=1.0, param=1e-15, images=64, layer=0.1):
    names = ("loss", "output/fc3", "grad/fc1.weight")
    return {
        "kind": "parity",
        "update": update,
        "param": {"fc1.weight": param},
        "forced": dict.fromkeys(names, forced),
        "layers": {"fc1 y": layer, "fc1 grad weight": layer / 2},
        "images": images,
        "faults": {},
    }


def named(verdict):
    return {check["name"]: check for check in verdict["checks"]}


def test_a_good_run_passes_with_every_check_named():
    verdict = verdicts.verdict([row(1), row(20)], "float64", (0.02, 0.02), SAME)
    assert verdict["passed"]
    assert list(named(verdict)) == [
        "forced loss",
        "forced output/fc3",
        "forced grad/fc1.weight",
        "forced layer fc1",
        "drift fc1.weight",
        "test error",
    ]


@pytest.mark.parametrize("forced", [criteria.NETWORK * 1.01, None])
def test_a_forced_step_outside_criterion_4_fails_in_either_dtype(forced):
    for dtype in ("float32", "float64"):
        verdict = verdicts.verdict([row(1), row(20, forced=forced), row(40)], dtype, (0.02, 0.02), SAME)
        assert not verdict["passed"]
        assert not named(verdict)["forced loss"]["passed"]
        assert "worst at update 20" in named(verdict)["forced loss"]["detail"]


@pytest.mark.parametrize(("update", "drift", "passed"), [(1000, 1.1e-9, False), (1001, 1.0, True), (999, 0.9e-9, True)])
def test_the_drift_is_judged_for_the_first_thousand_updates_in_float64(update, drift, passed):
    verdict = verdicts.verdict([row(1), row(update, param=drift)], "float64", (0.02, 0.02), SAME)
    assert named(verdict)["drift fc1.weight"]["passed"] is passed


def test_a_layer_outside_criterion_2_fails_in_either_dtype():
    for dtype in ("float32", "float64"):
        verdict = verdicts.verdict([row(1), row(20, layer=1.01), row(40)], dtype, (0.02, 0.02), SAME)
        assert [name for name, check in named(verdict).items() if not check["passed"]] == ["forced layer fc1"]
        assert "worst at update 20" in named(verdict)["forced layer fc1"]["detail"]


def test_a_drift_that_is_no_number_fails_in_float64():
    assert not verdicts.verdict([row(1), row(2, param=None)], "float64", (0.0, 0.0), SAME)["passed"]


def test_the_drift_is_reported_in_float32_and_not_judged():
    verdict = verdicts.verdict([row(1), row(20, param=0.5)], "float32", (0.02, 0.02), SAME)
    assert verdict["passed"]
    drift = named(verdict)["drift of parameters"]
    assert (drift["value"], drift["bound"]) == (0.5, None)


def test_a_comparison_that_is_missing_fails_the_run():
    rows = [row(1), row(20), {"kind": "parity", "update": 30, "param": {}}]
    assert verdicts.missing_updates(rows, 10, 35) == [10, 30]
    assert verdicts.missing_updates(rows, 20, 39) == []
    assert verdicts.missing_updates([], 20, 0) == []
    assert verdicts.missing_updates([], 1, 2) == [1, 2]
    assert verdicts.missing_updates(rows, 20, 39, finished=True) == [39]
    assert verdicts.missing_updates([row(1), row(20)], 20, 20, finished=True) == []
    verdict = verdicts.verdict(rows, "float32", (0.0, 0.0), SAME, [10, 30])
    assert not verdict["passed"]
    assert "at update 10" in named(verdict)["comparisons missing"]["detail"]


@pytest.mark.parametrize(
    ("images", "wrong", "passed"), [(10_000, 10, True), (10_000, 11, False), (300, 1, True), (300, 2, False)]
)
def test_the_test_errors_lie_within_a_tenth_of_a_point_or_one_image(images, wrong, passed):
    errors = (0.0215, 0.0215 + wrong / images)
    predicted = np.zeros(images, np.int64), np.zeros(images, np.int64)
    predicted[1][:5] = 1
    check = named(verdicts.verdict([row()], "float32", errors, predicted))["test error"]
    assert check["passed"] is passed
    assert f"5 of {images:,} answers differ" in check["detail"]


def test_nothing_compared_is_no_pass():
    assert not verdicts.verdict([], "float32", (0.0, 0.0), SAME)["passed"]
    assert not verdicts.verdict([{**row(images=0), "forced": {}, "layers": {}}], "float32", (0.0, 0.0), SAME)["passed"]


def test_near_a_kink_throughout_the_layers_are_judged_one_by_one():
    kinked = {**row(images=0), "forced": {}}
    verdict = verdicts.verdict([kinked], "float32", (0.0, 0.0), SAME)
    assert verdict["passed"]
    assert named(verdict)["forced"]["bound"] is None
    assert "kink (0 of 1 comparisons); the layers were judged one by one" in named(verdict)["forced"]["detail"]
    assert named(verdict)["forced layer fc1"]["value"] == 0.1
    bad = {**row(update=20, images=0, layer=1.01), "forced": {}}
    verdict = verdicts.verdict([kinked, bad], "float32", (0.0, 0.0), SAME)
    assert [name for name, check in named(verdict).items() if not check["passed"]] == ["forced layer fc1"]


def test_the_verdict_says_how_little_of_whole_networks_could_be_compared():
    rows = [row(1), {**row(20), "images": 8, "batch": 64}, {**row(40), "images": 0, "forced": {}, "batch": 64}]
    detail = named(verdicts.verdict(rows, "float32", (0.0, 0.0), SAME))["forced loss"]["detail"]
    assert detail == "loss, worst at update 1 (2 of 3 comparisons, on 8 to 64 images)"
    whole = [row(1), {**row(21, images=5), "batch": 5}]  # the last batch of an epoch is no smaller than it is
    assert named(verdicts.verdict(whole, "float32", (0.0, 0.0), SAME))["forced loss"]["detail"].endswith("update 1")


@pytest.mark.parametrize(("width", "below"), [(80, True), (120, False)])
def test_on_a_narrow_terminal_the_reason_for_no_judgement_stands_below_the_table(width, below):
    verdict = verdicts.verdict([{**row(images=0), "forced": {}}], "float32", (0.0, 0.0), SAME)
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(parity_table(verdict, width))
    text = console.export_text()
    assert "kink (0 of 1 comparisons)" in text
    assert ("whole network, same weights: too near to a kink" in text) is below


def lockstep(tmp_path, **settings):
    config = small(**{"hidden": (5, 4), **settings})
    return parity.Lockstep(config, RunFolder(tmp_path), SHAPE), build(
        "scratch", config, initial_parameters(config, SHAPE), SHAPE
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_forced_comparison_sees_a_bug_of_a_few_hundred_roundings(tmp_path, dtype):
    comparison, backend = lockstep(tmp_path, dtype=dtype)
    images = np.random.default_rng(0).standard_normal((7, 6)).astype(dtype)
    labels = np.arange(7) % 3
    step, trace = backend.gradients(images, labels), backend.trace(images)
    good = comparison.forced(backend, images, labels, step, trace)
    assert set(good["forced"]) == {
        "loss",
        *(f"output/{layer}" for layer in trace),
        *(f"grad/{name}" for name in step.grads),
    }
    assert max(good["forced"].values()) <= criteria.NETWORK
    assert good["images"] == 7
    grads = {**step.grads, "fc2.weight": step.grads["fc2.weight"] * (1 + 1e5 * np.finfo(dtype).eps).astype(dtype)}
    bad = comparison.forced(backend, images, labels, Step(step.loss, step.outputs, grads), trace)
    assert bad["forced"]["grad/fc2.weight"] > criteria.NETWORK
    assert {**bad["forced"], "grad/fc2.weight": 0} == {**good["forced"], "grad/fc2.weight": 0}
    comparison.close()


def test_a_wrong_shape_or_dtype_is_a_fault_and_fails(tmp_path):
    comparison, backend = lockstep(tmp_path)
    images, labels = np.random.default_rng(0).standard_normal((7, 6)).astype("float32"), np.arange(7) % 3
    step, trace = backend.gradients(images, labels), backend.trace(images)
    grads = {**step.grads, "fc1.bias": step.grads["fc1.bias"].astype("float64")}
    result = comparison.forced(backend, images, labels, Step(step.loss, step.outputs, grads), trace)
    assert "float64" in result["faults"]["grad/fc1.bias"]
    comparison.metrics.write({"kind": "parity", "update": 1, "param": {"fc1.bias": 0.0}, **result})
    check = named(verdicts.verdict(read_rows(comparison.folder.metrics), "float32", (0.0, 0.0), SAME))[
        "forced grad/fc1.bias"
    ]
    assert not check["passed"]
    assert "float64" in check["detail"]
    comparison.close()


def test_near_a_kink_a_part_of_the_batch_is_compared(tmp_path):
    comparison, backend = lockstep(tmp_path, activation="relu", dtype="float64")
    images, labels = np.random.default_rng(0).standard_normal((8, 6)), np.arange(8) % 3
    images[5] = at_a_kink(images[5:6], backend)
    backend.load_parameters({n: np.zeros_like(p) if n.endswith("bias") else p for n, p in backend.parameters().items()})
    step, trace = backend.gradients(images, labels), backend.trace(images)
    result = comparison.forced(backend, images, labels, step, trace)
    assert result["images"] == 4
    assert max(result["forced"].values()) <= criteria.NETWORK
    images = at_a_kink(images, backend)
    step, trace = backend.gradients(images, labels), backend.trace(images)
    alone = comparison.forced(backend, images, labels, step, trace)
    assert (alone["forced"], alone["images"], alone["faults"]) == ({}, 0, {})
    assert alone["layers"].keys() == result["layers"].keys()
    assert max(alone["layers"].values()) <= 1
    assert (alone["batch"], result["batch"]) == (8, 8)
    comparison.close()


def test_after_a_comparison_that_no_part_of_the_batch_allows_no_part_is_tried_again(tmp_path, monkeypatch):
    comparison, backend = lockstep(tmp_path, activation="relu", dtype="float64")
    rng, labels = np.random.default_rng(0), np.arange(8) % 3
    backend.load_parameters({n: np.zeros_like(p) if n.endswith("bias") else p for n, p in backend.parameters().items()})
    kinked, half, free = (rng.standard_normal((8, 6)) for _ in range(3))
    kinked = at_a_kink(kinked, backend)
    half[5] = at_a_kink(half[5:6], backend)
    sizes = []
    real = backend.gradients
    monkeypatch.setattr(backend, "gradients", lambda x, *given: sizes.append(len(x)) or real(x, *given))

    def compared(lockstep, images):
        sizes.clear()
        row = lockstep.forced(backend, images, labels, real(images, labels), backend.trace(images))
        return row, row["images"], sizes.copy()

    assert compared(comparison, half)[1:] == (4, [4])
    row, *found = compared(comparison, kinked)
    assert found == [0, [4, 2, 1]]
    assert compared(comparison, half)[1:] == (0, [])
    assert compared(comparison, free)[1:] == (8, [])
    comparison.metrics.write({"kind": "parity", "update": 3, "param": {}, **row})
    comparison.close()
    resumed = parity.Lockstep(comparison.config, RunFolder(tmp_path), SHAPE, 3)
    assert compared(resumed, half)[1:] == (0, [])
    resumed.close()


def test_the_network_that_an_epoch_ends_with_is_compared():
    rows = read_rows(finished() / "mlp-digits-s0" / "diff" / "metrics.jsonl")
    compared = [row["update"] for row in rows if "forced" in row]
    assert compared == [1, 5, 10, 15, 20, 21, 25, 30, 35, 40, 42]
    trained = read_rows(finished() / "mlp-digits-s0" / "scratch" / "metrics.jsonl")
    assert [row["update"] for row in trained if row["kind"] == "train"] == [1, 5, 10, 15, 20, 25, 30, 35, 40]


def test_float64_stays_within_criterion_8_for_a_whole_run():
    folder = finished(dtype="float64") / "mlp-digits-s0"
    verdict = verdicts.recorded(RunFolder(folder / "diff"))
    assert verdict is not None
    assert verdict["passed"]
    drifts = [check for name, check in named(verdict).items() if name.startswith("drift")]
    assert len(drifts) == 6
    assert all(0 < check["value"] < 1e-9 for check in drifts)


def test_a_planted_bug_turns_the_run_into_a_fail(tmp_path, monkeypatch):
    """A gradient of fc1.bias that forgets one image: the verdict must be FAIL, and name it."""
    from experiments.backends import ScratchBackend

    right = ScratchBackend.gradients

    def wrong(self, images, labels, masks=None):
        step = right(self, images, labels, masks)
        one = right(self, images[:1], labels[:1])
        return Step(
            step.loss,
            step.outputs,
            {**step.grads, "fc1.bias": step.grads["fc1.bias"] - one.grads["fc1.bias"] / len(labels)},
        )

    monkeypatch.setattr(ScratchBackend, "gradients", wrong)
    summary = run(small(dtype="float64", epochs=1), tmp_path)
    assert summary.exit_code == 1
    assert summary.parity is not None
    failed = {check["name"] for check in summary.parity["checks"] if not check["passed"]}
    assert "forced grad/fc1.bias" in failed
    assert "drift fc1.weight" in failed
    assert "forced grad/fc3.bias" not in failed


def test_a_layer_wrong_by_one_part_in_ten_thousand_is_seen_in_float32(tmp_path, monkeypatch):
    """Criterion 4 allows for the depth and width of the whole network; criterion 2, layer by layer, does not."""
    import scratch

    right = scratch.Linear.backward

    def wrong(self, dy, cache):
        dx, grads = right(self, dy, cache)
        return dx, {**grads, "weight": grads["weight"] * np.float32(1.0001)}

    monkeypatch.setattr(scratch.Linear, "backward", wrong)
    summary = run(small(epochs=1, hidden=(300, 100)), tmp_path)
    assert summary.parity is not None
    failed = {check["name"] for check in summary.parity["checks"] if not check["passed"]}
    assert failed >= {"forced layer fc1", "forced layer fc2", "forced layer fc3"}


def test_the_verdict_survives_json(tmp_path):
    folder = RunFolder(tmp_path)
    check = {"question": "", "name": "drift", "value": None, "bound": None, "passed": True, "detail": ""}
    folder.metrics.write_text(
        json.dumps({"kind": "summary", "update": 3, "parity": {"passed": True, "checks": [check]}}) + "\n"
    )
    verdict = verdicts.recorded(folder, 3)
    assert verdict is not None
    assert verdict["checks"][0]["bound"] is None
    assert np.isnan(verdict["checks"][0]["value"])
    assert verdicts.recorded(folder, 4) is None
