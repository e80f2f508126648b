import io
import json

import numpy as np
import pytest
from rich.console import Console

import scratch
from experiments.bench import networks, peak, profile
from experiments.bench.cells import Cell

MLP = Cell(model="mlp", mode="train", batch=3, image=6, width=0.05)
LENET5 = Cell(model="lenet5", mode="train", batch=2)


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch):
    monkeypatch.setattr(peak, "SIZES", (16, 32))


@pytest.fixture
def measured() -> profile.Profile:
    return profile.measure(MLP, passes=2, seconds=0.0)


def test_the_peak_is_the_best_of_the_sizes():
    single, double = (peak.measure(dtype, 1, 0.0) for dtype in ("float32", "float64"))
    for found in (single, double):
        assert found.size in (16, 32)
        assert found.gflops > 0
    assert (single.dtype, double.dtype) == ("float32", "float64")


def test_the_peak_counts_two_operations_for_a_product_and_its_sum(monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))  # every product takes a second
    found = peak.measure("float32", 1, 0.0)
    assert (found.size, found.gflops) == (32, 2 * 32**3 / 1e9)


def test_multiply_adds_of_lenet5_are_those_of_its_summary():
    net = networks.scratch_network(LENET5)
    counts = profile.multiply_adds(net, (1, 28, 28), 2)
    rows = scratch.summarize(net, (1, 28, 28)).layers
    assert {name: forward for name, (forward, _) in counts.items()} == {row.name: 2 * row.multiply_adds for row in rows}
    ways = {name: backward / forward for name, (forward, backward) in counts.items() if forward}
    assert ways == {"c1": 1, "s2": 2, "c3": 2, "s4": 2, "c5": 2, "f6": 2, "output": 2}
    assert counts["canvas"] == (0, 0)


def test_pooling_without_weights_has_only_the_gradient_of_its_input():
    net = scratch.LeNet5(pooling="average")
    forward, backward = profile.multiply_adds(net, (1, 28, 28), 1)["s2"]
    assert backward == forward


@pytest.mark.parametrize("cell", [MLP, LENET5])
def test_the_step_that_is_taken_apart_is_the_step_of_training(cell, monkeypatch):
    built = []
    build = networks.scratch_network

    def keep(cell):
        built.append(build(cell))
        return built[-1]

    monkeypatch.setattr(networks, "scratch_network", keep)
    profile.measure(cell, passes=1, seconds=0.0)
    net, criterion, optimizer = build(cell), scratch.CrossEntropy(), scratch.SGD(networks.LEARNING_RATE)
    images, labels = networks.batch(cell)
    for _ in range(profile.WARM_UP + 1):
        output, cache = net.forward(images)
        _, grads = net.backward(criterion.backward(criterion.forward(output, labels)[1]), cache)
        optimizer.step(net.parameters(), grads)
    for name, parameter in net.parameters().items():
        np.testing.assert_allclose(built[0].parameters()[name], parameter, rtol=1e-4, atol=1e-6, err_msg=name)


def test_every_layer_has_its_row_and_the_rows_add_up(measured):
    names = [*networks.scratch_network(MLP).layers, "loss", "update"]
    assert [row.name for row in measured.rows] == names
    assert all(row.forward > 0 for row in measured.rows)
    assert all(row.backward > 0 for row in measured.rows[:-1])
    total = measured.total
    assert total.seconds == pytest.approx(sum(row.forward + row.backward for row in measured.rows))
    assert total.forward_multiply_adds == 3 * scratch.summarize(networks.scratch_network(MLP), (36,)).multiply_adds
    assert measured.step > 0


def test_a_rate_is_two_operations_per_multiply_add_and_its_share_is_of_the_peak():
    rows = (profile.Row("fc1", "Linear", 0.5, 1.0, 10**9, 10**9), profile.Row("f1", "Tanh", 0.25, 0.25))
    made = profile.Profile(MLP, 5, peak.Peak("float32", 1, 512, 16.0), rows, 0.5, 2)
    fc1, f1, total = profile.table_rows(made)
    assert fc1 == ("fc1", "Linear", "500.000", "4.0", "25%", "1000.000", "2.0", "12%", "75%")
    assert f1 == ("f1", "Tanh", "250.000", "", "", "250.000", "", "", "25%")
    assert total == ("sum", "", "750.000", "2.7", "17%", "1250.000", "1.6", "10%", "100%")
    assert "in 2 threads: 500.000 ms, 6 images/s, 8.0 GFLOP/s" in profile.footnote(made)
    (first, _) = made.to_json()["rows"]
    assert (first["forward_gflops"], first["backward_share_of_peak"]) == (4.0, 0.125)


def test_terminal_markdown_and_json_have_the_same_rows(measured):
    stream = io.StringIO()
    profile.show(measured, Console(file=stream, width=160))
    text, table = stream.getvalue(), profile.markdown(measured)
    for row in measured.rows:
        assert f"{row.forward * 1e3:.3f}" in text
        assert f"| {row.name} | {row.kind} | {row.forward * 1e3:.3f} |" in table
    again = json.loads(json.dumps(measured.to_json()))
    assert [row["name"] for row in again["rows"]] == [row.name for row in measured.rows]
    assert again["peak"]["gflops"] == measured.peak.gflops
