"""What the lecture's experiments share: wings, seeds, statistics, colours."""

import functools
import itertools

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import scratch
from experiments.lecture.lab import WINGS, Claim, Lab, epochs, initial, most_apart, rate, sign_test, spread
from experiments.lecture.lab.seeds import over_seeds
from experiments.lecture.lab.themes import THEMES


def network(w, d, rng):
    return w.MLP((3, 4, 2), w.Tanh, dtype=d, rng=rng)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_both_wings_learn_alike_epoch_by_epoch(batch_size: int) -> None:
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    params = initial(network, seed=3)
    learners = [
        wing.learner(network, lambda w: w.SquaredError(), params, lr=0.1, momentum=0.5, weight_decay=0.01)
        for wing in WINGS
    ]
    losses = [
        list(itertools.islice(epochs(learner, x, target, batch_size=batch_size, seed=5), 6)) for learner in learners
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-13)
    assert losses[0][-1] < losses[0][0]
    ours, theirs = (learner.parameters() for learner in learners)
    assert most_apart(ours, params) > 0
    assert most_apart(ours, theirs) < 1e-13


def test_an_epoch_is_what_stands_on_the_slide() -> None:
    """Batch learning: one step along the gradient of all samples, in their order."""
    rng = np.random.default_rng(2)
    x, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    params = initial(network, seed=3)
    learner = WINGS[0].learner(network, lambda w: w.SquaredError("sum"), params, lr=0.1)
    loss = next(epochs(learner, x, target, batch_size=5, seed=0))
    net = network(scratch, np.float64, np.random.default_rng(0))
    net.load_state_dict(params)
    y, cache = net.forward(x)
    criterion = scratch.SquaredError("sum")
    value, loss_cache = criterion.forward(y, target)
    _, grads = net.backward(criterion.backward(loss_cache), cache)
    assert loss == value  # the mean over the epoch's one batch
    expected = {name: params[name] - 0.1 * grad for name, grad in grads.items()}
    assert most_apart(learner.parameters(), expected) == 0


def test_weights_depend_on_the_seed_alone() -> None:
    assert most_apart(initial(network, 4), initial(network, 4)) == 0
    assert most_apart(initial(network, 4), initial(network, 5)) > 0
    assert initial(network, 4, "float32")["fc1.weight"].dtype == np.float32


def square(seed: int, power: int) -> float:
    return float(np.random.default_rng(seed).normal() ** power)


def test_work_over_seeds_comes_in_their_order_however_many_processes() -> None:
    work = functools.partial(square, power=2)
    assert over_seeds(work, range(5, 11), jobs=1) == [work(seed) for seed in range(5, 11)]


def test_work_over_seeds_does_not_depend_on_the_processes() -> None:
    work = functools.partial(square, power=2)
    assert over_seeds(work, range(5, 11), jobs=2) == over_seeds(work, range(5, 11), jobs=1)


def test_statistics_have_their_known_values() -> None:
    found = rate(8, 10)  # Wilson's interval for 8 of 10: Agresti and Coull 1998
    assert found.share == 0.8
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert str(found) == "8 of 10 (49% to 94%)"
    assert sign_test([2, 3, 4, 5], [1, 1, 1, 1]) == pytest.approx(1 / 16)
    assert sign_test([2, 3, 4, 5, 1], [1, 1, 1, 1, 1]) == pytest.approx(1 / 16)  # a tie says nothing
    assert sign_test([1, 1, 1], [2, 2, 2]) == 1
    assert sign_test([1], [1]) == 1
    assert spread([1, 2, 3, 4, 5]) == (3, 2, 4)


def test_a_claim_is_held_or_not_and_its_numbers_are_numbers() -> None:
    claim = Claim("x", "y", np.float64(1) > 0, {"one": np.float32(1)})
    assert claim.held is True
    assert type(claim.numbers["one"]) is float
    with pytest.raises(ValueError, match="ambiguous"):
        Claim("x", "y", np.array([True, True]))


def test_curves_of_both_wings_have_the_same_tags(tmp_path) -> None:
    lab = Lab(tmp_path)
    lab.curve("scratch", "loss", [3.0, 2.0], steps=[10, 20])
    lab.curve("torch", "loss", [3.0, 2.0])
    lab.close()
    steps = {}
    for wing in ("scratch", "torch"):
        events = EventAccumulator(str(tmp_path / wing), size_guidance={"scalars": 0}).Reload()
        steps[wing] = [event.step for event in events.Scalars("loss")]
    assert steps == {"scratch": [10, 20], "torch": [1, 2]}


def test_a_row_of_another_length_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="a row of 'sizes' has 1 cells, expected 2"):
        Lab(tmp_path).table("sizes", ("a", "b"), [("x",)])


def test_the_same_drawing_is_the_same_file_in_both_themes(tmp_path) -> None:
    def draw(figure, theme):
        figure.subplots().plot([0, 1, 2], [0.123456789, 1 / 3, 2 / 7], color=theme.orange)

    texts = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        lab = Lab(tmp_path / name)
        lab.figure("f", draw, size=(3, 2), caption="c", alt="a")
        lab.close()
        texts.append([(lab.figures / f"f{suffix}.svg").read_text() for suffix in ("", "-dark")])
    assert texts[0] == texts[1]
    for text, theme in zip(texts[0], THEMES, strict=True):
        assert theme.orange in text
        assert theme.page in text
    with Image.open(lab.figures / "f.png") as png:
        assert png.size == (330, 220)


# How each colour looks to people who lack one of the three kinds of cones: linear RGB to linear RGB.
# Machado, Oliveira and Fernandes 2009, severity 1.
SIGHT = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear_rgb(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def cielab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_everybody_can_tell_the_colours_apart(theme, sight: str) -> None:
    seen = [cielab(np.array(SIGHT[sight]) @ linear_rgb(colour)) for colour in theme.colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 10  # 2.3 is just noticeable


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_colour_stands_out_from_the_page(theme) -> None:
    def contrast(colour: str) -> float:
        luminances = [float(linear_rgb(each) @ [0.2126, 0.7152, 0.0722]) for each in (colour, theme.page)]
        return (max(luminances) + 0.05) / (min(luminances) + 0.05)

    assert min(map(contrast, theme.colours)) >= 3  # WCAG 2.1 for graphics
    assert min(contrast(theme.ink), contrast(theme.faint)) >= 4.5  # for text
