"""Every competitor computes what `scratch` computes, and what computes something else is refused."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from experiments.bench import competitors, networks
from experiments.bench.agreement import DisagreementError, check
from experiments.bench.cells import Cell

LENET5 = Cell(model="lenet5", mode="train", batch=3)
MLP = Cell(model="mlp", mode="train", batch=5, dtype="float64")
CONV = Cell(model="conv", mode="train", batch=2, image=20, width=0.5)
CELLS = [
    LENET5,
    MLP,
    CONV,
    dataclasses.replace(LENET5, mode="infer", dtype="float64"),
    dataclasses.replace(MLP, mode="infer", dtype="float32"),
    dataclasses.replace(CONV, mode="infer"),
]


def first_step(name: str, cell: Cell) -> dict[str, Any]:
    """What one step of a competitor comes to."""
    steps = competitors.load(name)(cell, 1)
    try:
        steps.step()
        assert steps.describe()["threads"] == 1
        return steps.outcome()
    finally:
        steps.close()


def agree(name: str, cell: Cell) -> None:
    check(cell, first_step("scratch", cell), first_step(name, cell))


@pytest.fixture
def jax_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """JAX with one trial per form; what it sets for a whole process is taken back."""
    jax = pytest.importorskip("jax")
    module = pytest.importorskip("experiments.bench.competitors.jax_steps")
    monkeypatch.setattr(module, "TRIAL", 0.0)
    monkeypatch.setenv("PJRT_NPROC", "1")
    before = jax.config.jax_enable_x64
    yield module
    jax.config.update("jax_enable_x64", before)


PAIRS = [
    (name, cell)
    for name in ("torch", "mygrad", "sklearn")
    for cell in CELLS
    if cell.model in competitors.COMPETITORS[name].models
]


@pytest.mark.parametrize(("name", "cell"), PAIRS, ids=lambda one: getattr(one, "name", one))
def test_a_peer_computes_the_same(name: str, cell: Cell) -> None:
    pytest.importorskip(competitors.COMPETITORS[name].needs)
    agree(name, cell)


@pytest.mark.parametrize(
    ("cell", "convolution", "images"),
    [(MLP, "by_unfolding", 1), (dataclasses.replace(LENET5, mode="infer"), "by_xla", 3)],
    ids=["mlp in sub-batches", "lenet5"],
)
def test_jax_computes_the_same(
    cell: Cell, convolution: str, images: int, jax_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cells, since JAX compiles for each, training LeNet-5 for seconds."""
    form = jax_steps.Form(getattr(jax_steps, convolution), images)
    monkeypatch.setattr(jax_steps, "forms", lambda _: [form])
    agree("jax", cell)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, 64, 128])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_jax_computes_the_same_in_every_form(
    cell: Cell, batch: int, jax_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = dataclasses.replace(cell, batch=batch)
    forms = jax_steps.forms(cell)
    assert len(forms) == (1 if cell.model == "mlp" else 3 if batch == 128 else 2)
    for form in forms:
        monkeypatch.setattr(jax_steps, "forms", lambda _, form=form: [form])
        agree("jax", cell)


def test_jax_takes_the_form_that_was_fastest(jax_steps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = dataclasses.replace(CONV, batch=128)
    seconds = dict(zip(jax_steps.forms(cell), (3.0, 1.0, 2.0), strict=True))
    monkeypatch.setattr(jax_steps.Steps, "_tried", lambda _, form: seconds[form])
    described = jax_steps.Steps(cell, 1).describe()
    assert (described["convolution"], described["images at once"]) == ("by_unfolding", 64)


def test_jax_refuses_another_number_of_threads_in_one_process(jax_steps: Any) -> None:
    with pytest.raises(RuntimeError, match="has 1 threads in this process, asked for 2"):
        jax_steps.Steps(MLP, 2)


def test_sklearn_refuses_what_is_no_perceptron() -> None:
    with pytest.raises(ValueError, match="perceptrons only, got lenet5"):
        competitors.load("sklearn")(LENET5, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", ["lenet5", "mlp"])
def test_a_gradient_that_is_wrong_in_the_fourth_digit_is_refused(model: Any, dtype: Any) -> None:
    cell = Cell(model=model, mode="train", batch=16, dtype=dtype)
    ours = first_step("scratch", cell)
    for name, start in networks.initial_state(cell).items():
        wrong = ours[name] + (ours[name] - start) * np.asarray(1e-3, dtype)
        with pytest.raises(DisagreementError, match=rf"differs from scratch in {name} by \S+ \(rounding: \S+\)$"):
            check(cell, ours, {**ours, name: wrong})


def test_no_update_a_loss_that_is_off_and_nan_are_refused() -> None:
    ours = first_step("scratch", LENET5)
    start = networks.initial_state(LENET5)
    with pytest.raises(DisagreementError, match=r"c1\.weight by .*output\.bias by"):
        check(LENET5, ours, {"loss": ours["loss"], **start})
    with pytest.raises(DisagreementError, match="loss by"):
        check(LENET5, ours, {**ours, "loss": ours["loss"] * (1 + 1e-5)})
    for value in (np.nan, np.inf):
        with pytest.raises(DisagreementError, match=r"in c3\.bias by"):
            check(LENET5, ours, {**ours, "c3.bias": np.full(16, value, np.float32)})


def test_an_output_is_compared_up_to_a_constant_per_image() -> None:
    cell = dataclasses.replace(MLP, mode="infer")
    ours = first_step("scratch", cell)
    shifted = ours["output"] + np.arange(5.0)[:, None]
    assert check(cell, ours, {"output": shifted}).name == "output"
    shifted[2, 3] += 1e-12
    with pytest.raises(DisagreementError, match="output by 9"):
        check(cell, ours, {"output": shifted})


def test_another_form_is_refused() -> None:
    ours = first_step("scratch", MLP)
    without = {name: array for name, array in ours.items() if name != "fc2.bias"}
    with pytest.raises(DisagreementError, match=r"has \['fc1.bias'.*expected"):
        check(MLP, ours, without)
    with pytest.raises(DisagreementError, match=r"fc2\.bias has shape \(1, 100\), expected \(100,\)"):
        check(MLP, ours, {**ours, "fc2.bias": ours["fc2.bias"][None]})
    with pytest.raises(DisagreementError, match=r"fc2\.bias is float32, expected float64"):
        check(MLP, ours, {**ours, "fc2.bias": ours["fc2.bias"].astype("float32")})
