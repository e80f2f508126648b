import json

import numpy as np
import pytest

from experiments import parity
from experiments import verdict as verdicts
from experiments.backend import Step
from experiments.backends import build, initial_parameters
from experiments.networks import DataShape
from experiments.runs import RunFolder
from tests.running import finished, read_rows, run, small
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
    assert "judged one by one" in named(verdict)["forced"]["detail"]
    assert named(verdict)["forced layer fc1"]["value"] == 0.1
    bad = {**row(update=20, images=0, layer=1.01), "forced": {}}
    verdict = verdicts.verdict([kinked, bad], "float32", (0.0, 0.0), SAME)
    assert [name for name, check in named(verdict).items() if not check["passed"]] == ["forced layer fc1"]


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
    images[5] = 0  # with zero biases, all its units sit on the kink
    backend.load_parameters({n: np.zeros_like(p) if n.endswith("bias") else p for n, p in backend.parameters().items()})
    step, trace = backend.gradients(images, labels), backend.trace(images)
    result = comparison.forced(backend, images, labels, step, trace)
    assert result["images"] == 4
    assert max(result["forced"].values()) <= criteria.NETWORK
    images[:] = 0
    step, trace = backend.gradients(images, labels), backend.trace(images)
    alone = comparison.forced(backend, images, labels, step, trace)
    assert (alone["forced"], alone["images"], alone["faults"]) == ({}, 0, {})
    assert alone["layers"].keys() == result["layers"].keys()
    assert max(alone["layers"].values()) <= 1
    comparison.close()


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
