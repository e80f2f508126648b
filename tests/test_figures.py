import io
import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from experiments import drawing, figures, layer_figures
from experiments.layers import linked, pictured, stages

RED, BLUE, ABSENT = (103, 0, 31), (5, 48, 97), (226, 226, 226)
X = np.array([[1, 0, 1], [1, 1, 0]], dtype=bool)  # 2 maps that look at 3


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


def middle(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    """Return where on average a colour is: y, x."""
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    return float(rows.mean()), float(columns.mean())


def without_scale(picture: np.ndarray) -> np.ndarray:
    """Cut off the colour scale at the right, which has every colour."""
    return picture[:, : -layer_figures._BAR]


def grid(picture: np.ndarray) -> np.ndarray:
    """Cut off numbers and names too."""
    return without_scale(picture)[layer_figures._TOP :, layer_figures._LEFT :]


def colours(picture: np.ndarray, unit: int, units: int = 4) -> np.ndarray:
    """Return the colour in the middle of a unit's tile, in the square on the right of a picture."""
    side, columns = len(picture), math.isqrt(units)
    row, column = divmod(unit, columns)
    middle = side * np.array([2 * row + 1, 2 * column + 1]) // (2 * columns)
    return picture[:, -side:][middle[0], middle[1]].astype(int)


def test_the_outputs_of_the_units_stand_beside_the_digit():
    digit = np.zeros((28, 28), np.uint8)
    digit[:14] = 255
    picture = layer_figures.unit_outputs(digit, np.array([0.5, -0.5, 0.0, 0.25], np.float32))
    side = len(picture)
    assert picture.shape == (side, 2 * side, 3)
    assert picture[side // 4, side // 2].tolist() == [0, 0, 0], "ink is dark"
    assert picture[3 * side // 4, side // 2].tolist() == [255, 255, 255]
    positive, negative, zero, half = (colours(picture, unit) for unit in range(4))
    assert positive[0] > positive[2] + 50
    assert negative[2] > negative[0] + 50
    assert zero.tolist() == [255, 255, 255]
    assert positive.sum() < half.sum() < zero.sum()


def test_the_weights_of_the_units_are_laid_out_in_their_order():
    weight = np.repeat(np.array([[1.0], [-1.0], [0.0], [0.5]], np.float32), 784, axis=1)
    picture = layer_figures.units(weight)
    assert picture.shape[0] == picture.shape[1]
    assert picture[0, 0].tolist() == [153, 153, 153]
    positive, negative, zero, half = (colours(picture, unit) for unit in range(4))
    assert positive[0] > positive[2] + 50
    assert negative[2] > negative[0] + 50
    assert positive.sum() < half.sum() < zero.sum()
    assert layer_figures.units(weight[:1]).shape[2] == 3


def test_zero_is_white_the_ends_are_the_darkest_and_what_is_no_number_is_grey():
    picture = drawing.signed(np.array([[2.0, -2.0, 0.0, 9.0, math.nan, math.inf]]), 2.0)
    grey = (153, 153, 153)
    assert [tuple(c) for c in picture[0].tolist()] == [RED, BLUE, (255, 255, 255), RED, grey, grey]
    assert drawing.largest(np.array([1.0, -3.0, math.nan, math.inf])) == 3
    assert drawing.largest(np.zeros(2)) == 1


def test_a_kernel_stands_in_the_column_of_its_own_map_and_the_row_of_the_map_it_looks_at():
    places = {}
    for out, into in np.argwhere(X):
        weight = np.zeros((2, 3, 4, 5), np.float32)
        weight[out, into] = -1.0
        picture = without_scale(layer_figures.kernels(weight, X, ("S2", "C3")))
        places[out, into] = middle(picture, BLUE)
        assert count(picture, BLUE) % 20 == 0
    assert places[0, 0][0] == places[1, 0][0] < places[1, 1][0] < places[0, 2][0]
    assert places[0, 0][1] == places[0, 2][1] < places[1, 0][1] == places[1, 1][1]


def test_an_absent_link_is_grey_whatever_is_stored_there():
    weight = np.full((2, 3, 4, 5), 0.25, np.float32)
    weight[~X] = 100.0
    picture, full = (grid(layer_figures.kernels(weight, table, ("S2", "C3"))) for table in (X, np.ones_like(X)))
    # The scale ends at the largest weight that is there: 0.25 is full red, in 4 of 6 cells.
    assert count(picture, RED) == 2 * count(picture, ABSENT) > 0
    assert count(full, ABSENT) == 0
    assert count(full, RED) == count(picture, ABSENT), "the two of 100"


def test_a_pixel_of_a_kernel_is_where_it_is_in_the_weight():
    weight = np.zeros((2, 1, 3, 5), np.float32)
    weight[1, 0, 0, 4], weight[1, 0, 2, 0] = 1.0, -1.0
    picture = without_scale(layer_figures.kernels(weight, np.ones((2, 1), bool), ("INPUT", "C1")))
    (red_y, red_x), (blue_y, blue_x) = middle(picture, RED), middle(picture, BLUE)
    assert red_y < blue_y
    assert red_x > blue_x > picture.shape[1] / 2


def test_the_connection_table_marks_the_links_and_counts_them():
    written = []
    sheet_text = drawing.Sheet.text

    def text(self, x, y, text, *args, **kwargs):
        written.append((round(y), round(x), text))
        sheet_text(self, x, y, text, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing.Sheet, "text", text)
        picture = layer_figures.connection_table(X, ("S2", "C3"))
    marks = [(y, x) for y, x, word in written if word == "X"]
    rows, columns = sorted({y for y, _ in marks}), sorted({x for _, x in marks})
    assert {(columns.index(x), rows.index(y)) for y, x in marks} == {(o, c) for o, c in np.argwhere(X).tolist()}
    *sums, total = [word for *_, word in written if word != "X"][-6:]
    assert (sums, total) == (["2", "2", "2", "1", "1"], "4")
    assert count(picture, (209, 229, 240)) > 4 * 100


def test_the_coefficients_of_a_subsampling_layer_are_bars_from_zero():
    half, full = (
        layer_figures.subsampling(np.array([share, 1.0, 0.5]), np.array([-1e-3, -2e-3, -3e-3]), "S2")
        for share in (0.5, 1.0)
    )
    positive, negative = (214, 96, 77), (67, 147, 195)
    assert count(half, positive) < count(full, positive)
    assert middle(half, positive)[1] > middle(full, positive)[1], "the first is at the left"
    assert middle(half, positive)[0] < middle(half, negative)[0], "the coefficients stand above the biases"
    for values in (np.zeros(3), np.array([math.nan, 1.0, math.inf])):
        assert layer_figures.subsampling(values, np.zeros(3), "S2").shape == half.shape


@pytest.fixture
def boxes(monkeypatch):
    """What is written: its text and its left, top, right and bottom; all of it on the sheet."""
    written = []
    sheet_text = drawing.Sheet.text

    def text(self, x, y, text, size=drawing.NUMBER, anchor="mm", colour=drawing.INK):
        box = self._draw.textbbox((x, y), text, drawing.font(size), anchor)
        width, height = self._image.size
        assert 0 <= box[0] < box[2] <= width, (text, box)
        assert 0 <= box[1] < box[3] <= height, (text, box)
        written.append((text, box))
        sheet_text(self, x, y, text, size, anchor, colour)

    monkeypatch.setattr(drawing.Sheet, "text", text)
    return written


@pytest.mark.parametrize(
    ("end", "number"),
    [
        (0.0251, ".025"),
        (0.83, ".83"),
        (9.96, "10"),
        (99.7, "100"),
        (831.4, "831"),
        (9999.4, "9999"),
        (9999.7, "1e4"),
        (8.3e24, "8.3e24"),
        (1.2e-5, "1.2e−05"),
        (5e-300, "5e−300"),
    ],
)
def test_the_numbers_of_the_colour_scale_lie_on_the_sheet(boxes, end, number):
    weight = np.full((2, 3, 5, 5), end)
    layer_figures.kernels(weight, X, ("S2", "C3"))
    layer_figures.kernels(weight[:, :1], np.ones((2, 1), bool), ("INPUT", "C1"))
    layer_figures.feature_maps(np.zeros((28, 28), np.uint8), weight[0])
    assert [text for text, _ in boxes if text[0] in "+−"] == [f"+{number}", f"−{number}"] * 3


@pytest.mark.parametrize("size", [1e-3, 0.994, 0.996, 1.0, 9.96, 12.34, 831.4, 9999.7, 1.2e12, 2e100])
def test_the_values_of_subsampling_do_not_overlap_and_lie_on_the_sheet(boxes, size):
    for maps in (6, 16):
        boxes.clear()
        layer_figures.subsampling(np.full(maps, size), np.full(maps, -size), "S2")
        for row in (boxes[:maps], boxes[maps : 2 * maps]):
            assert len({text for text, _ in row}) == 1
            # Letters have some white of their own at both sides: the boxes of two may meet within rounding.
            assert all(left[2] <= right[0] + 1 for (_, left), (_, right) in pairwise(row))


def test_values_are_written_as_briefly_as_they_can_be():
    values = (-0.144, -0.001, 0.0, 0.996, 1.04, -1.26, 12.34, -831.4, 1.24e5, -2e12, math.nan, math.inf, -math.inf)
    words = ("−.14", ".00", ".00", "1.00", "1", "−1.3", "12", "−831", "1.2e5", "−2e12", "nan", "inf", "−inf")
    assert tuple(map(layer_figures._short, values)) == words


def test_maps_are_numbered_in_their_order_beside_the_digit():
    digit = np.zeros((28, 28), np.uint8)
    digit[:14] = 255
    places = []
    for index in range(5):
        maps = np.zeros((5, 3, 4), np.float32)
        maps[index] = 1.0
        picture = without_scale(layer_figures.feature_maps(digit, maps))
        assert count(picture, (0, 0, 0)) == 14 * 28 * 49
        assert middle(picture, (0, 0, 0))[1] < middle(picture, RED)[1]
        places.append(middle(picture, RED))
    assert places == sorted(places), "row by row"
    assert len({x for _, x in places}) == 3


def test_the_worst_errors_come_first_and_the_class_taken_is_named(boxes):
    scores = np.array([[0.6, 0.4, 0.0], [0.0, 0.1, 0.9], [0.2, 0.5, 0.3], [1.0, 1.0, 0.0]])
    images = np.zeros((4, 28, 28), np.uint8)
    # Squared error cuts its scores to [0, 1]: of the last one's equal shares it was the second that was taken.
    figures.misclassified(images, np.array([1, 0, 1, 2]), np.array([0, 2, 1, 1]), scores, "title")
    assert [text for text, _ in boxes if text[-1] == "%"] == ["0→2 90%", "2→1 100%", "1→0 60%"]
    middles = [(left + right) / 2 for text, (left, _, right, _) in boxes if text[-1] == "%"]
    assert middles == sorted(middles)


def test_the_worst_errors_are_shown_as_they_are_dark_on_light():
    images = np.zeros((2, 28, 28), np.uint8)
    images[1, :, :14] = 255
    picture = figures.misclassified(images, np.array([0, 1]), np.array([0, 0]), np.eye(2), "")
    assert count(picture, (0, 0, 0)) == 28 * 14 * 2**2, "the one that is wrong, twice as large"


def test_a_confusion_matrix_counts_true_classes_in_rows():
    counts = figures.confusion_matrix(np.array([0, 0, 2, 1]), np.array([0, 1, 1, 1]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]


def test_pictures_of_errors_are_as_wide_as_the_card_that_shows_them():
    scores = np.random.default_rng(0).dirichlet(np.ones(10), 100)
    labels, predicted = np.arange(100) % 10, scores.argmax(axis=1)
    counts = figures.confusion_matrix(labels, predicted, 10)
    assert figures.confusion(counts, "title").shape[1] == 350
    assert figures.misclassified(np.zeros((100, 28, 28), np.uint8), labels, predicted, scores, "").shape[1] == 350


def test_a_cell_of_a_confusion_matrix_has_its_count_and_the_colour_of_its_share_of_the_row(boxes):
    picture = figures.confusion(np.array([[90, 10, 0], [0, 7, 0], [0, 0, 0]]), "title")
    counts = {text: box for text, box in boxes if text in ("90", "10", "7")}
    assert sorted(text for text, _ in boxes) == sorted([*counts, *"012", *"012", "predicted", "title"])
    shade = {text: picture[int(top) - 9, int(left) - 9].sum() for text, (left, top, _, _) in counts.items()}
    assert shade["7"] < shade["90"] < shade["10"] < 3 * 255, "7 of 7 is the darkest"
    assert counts["90"][0] < counts["10"][0] == pytest.approx(counts["7"][0], abs=9)
    assert counts["90"][1] == pytest.approx(counts["10"][1], abs=3)
    assert counts["10"][1] < counts["7"][1]


def test_a_png_gives_the_picture_back():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    image = Image.open(io.BytesIO(figures.encode_png(picture)))
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert np.array_equal(np.asarray(image), picture)
    Image.open(io.BytesIO(figures.encode_png(picture))).verify()  # its checksums


def lenet(pooling: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the trace and the parameters of a network shaped like LeNet-5, with fewer maps."""
    shapes = {
        "crop": (1, 10, 10),
        "canvas": (1, 12, 12),
        "c1": (2, 8, 8),
        "c1_f": (2, 8, 8),
        "s2": (2, 4, 4),
        "s2_f": (2, 4, 4),
    }
    shapes |= {"c3": (3, 2, 2), "c3_f": (3, 2, 2), "s4": (3, 1, 1), "s4_f": (3, 1, 1), "c5": (7, 1, 1)}
    shapes |= {"c5_f": (7, 1, 1), "drop": (7, 1, 1), "flatten": (7,), "f6": (5,), "f6_f": (5,), "output": (4,)}
    trained = ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
    if pooling != "subsample":
        for layer in ("s2", "s4"):
            del shapes[f"{layer}_f"]
            trained.remove(layer)
    trace = {name: np.zeros((6, *shape), np.float32) for name, shape in shapes.items()}
    return trace, {f"{layer}.{kind}": np.zeros(1) for layer in trained for kind in ("weight", "bias")}


def test_the_layers_are_told_from_parameters_and_shapes():
    found = stages(*lenet("subsample"))
    assert found == {name: f"{name}_f" for name in ("c1", "s2", "c3", "s4", "c5", "f6")} | {"output": "output"}
    assert list(found) == ["c1", "s2", "c3", "s4", "c5", "f6", "output"]
    assert stages(*lenet("max")) == found | {"s2": "s2", "s4": "s4"}


def test_the_layers_of_a_perceptron_are_told_too():
    sizes = {"fc1": 3, "f1": 3, "fc2": 3, "f2": 3, "fc3": 2}
    trace = {name: np.zeros((6, size)) for name, size in sizes.items()}
    params = {f"fc{i}.weight": np.zeros(1) for i in (1, 2, 3)}
    assert stages(trace, params) == {"fc1": "f1", "fc2": "f2", "fc3": "fc3"}
    assert pictured(stages(trace, params), trace) == ["fc1"]


def test_pictures_are_drawn_of_layers_with_maps_of_more_than_a_pixel():
    trace, params = lenet("subsample")
    assert pictured(stages(trace, params), trace) == ["c1", "s2", "c3"]


def test_absent_links_are_left_out():
    arrays = {"c3.weight": np.arange(24.0).reshape(2, 3, 2, 2), "c3.bias": np.zeros(2), "c1.weight": np.ones(2)}
    found = linked(arrays, {"c3": X})
    assert list(found) == list(arrays)
    assert found["c3.weight"].ravel().tolist() == [0, 1, 2, 3, 8, 9, 10, 11, *range(12, 20)]
    assert found["c3.bias"] is arrays["c3.bias"]
    assert found["c1.weight"] is arrays["c1.weight"]
