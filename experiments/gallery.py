"""The pictures of a run: which are drawn, and under which tags and file names they are kept."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from experiments import figures, layer_figures
from experiments.drawing import Array, Picture
from experiments.layers import pictured
from experiments.runs import RunFolder
from experiments.tensorboard import Board

Table = NDArray[np.bool_]
Keep: TypeAlias = Callable[[str, str, Picture], None]


class Gallery:
    """Draws for one backend: for TensorBoard, and as PNG in the run's `figures/`, where a file keeps the latest.

    Parameters
    ----------
    folder:
        Of the backend's run.
    board:
        Its TensorBoard folder.
    tables:
        (O, C) for each layer that is not fully linked, by its name: True where there is a link.
    """

    def __init__(self, folder: RunFolder, board: Board, tables: Mapping[str, Table]) -> None:
        self._folder = folder.figures
        self._board = board
        self._tables = tables

    def connections(
        self, stages: Mapping[str, str], trace: Mapping[str, Array], params: Mapping[str, Array], update: int
    ) -> None:
        """Draw which maps each convolution looks at, where there are several, as `connections/<layer>`.

        Parameters
        ----------
        stages:
            From `experiments.layers`.
        trace:
            Output of every module, by its name.
        params:
            By name.
        update:
            Number of updates.
        """
        with self._keeping(update) as keep:
            for layer in pictured(stages, trace):
                weight = params.get(f"{layer}.weight")
                if weight is not None and weight.ndim == 4 and weight.shape[1] > 1:
                    picture = layer_figures.connection_table(self._table(layer, weight), _names(stages, layer))
                    keep(f"connections-{layer}", f"connections/{layer}", picture)

    def layers(
        self,
        image: NDArray[np.uint8],
        stages: Mapping[str, str],
        trace: Mapping[str, Array],
        params: Mapping[str, Array],
        update: int,
    ) -> None:
        """Draw the weights of the layers that are worth it, and what they make of an image, the first of the trace.

        As `filters/<layer>` and `maps/<layer>`; pooling without parameters has only the latter.

        Parameters
        ----------
        image:
            (H, W).
        stages, trace, params, update:
            As in `connections`.
        """
        with self._keeping(update) as keep:
            for layer in pictured(stages, trace):
                weight, output = params.get(f"{layer}.weight"), trace[stages[layer]][0]
                if weight is not None:
                    if weight.ndim == 4:
                        table = self._table(layer, weight)
                        filters = layer_figures.kernels(weight, table, _names(stages, layer))
                    elif weight.ndim == 1:
                        filters = layer_figures.subsampling(weight, params[f"{layer}.bias"], layer.upper())
                    else:
                        filters = layer_figures.units(weight, *image.shape)
                    keep(f"filters-{layer}", f"filters/{layer}", filters)
                draw = layer_figures.unit_outputs if output.ndim == 1 else layer_figures.feature_maps
                keep(f"maps-{layer}", f"maps/{layer}", draw(image, output))

    def errors(
        self,
        title: str,
        predicted: NDArray[np.int64],
        scores: Array,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        update: int | None,
        suffix: str = "",
    ) -> None:
        """Draw the confusion matrix and the worst errors, as `errors/confusion` and `errors/misclassified`.

        Parameters
        ----------
        title:
            Printed above each.
        predicted, scores:
            Class taken, (N,), and probability of each class, (N, classes).
        images, labels:
            (N, H, W), (N,).
        update:
            Number of updates; None keeps the pictures out of TensorBoard.
        suffix:
            Added to the files' names.
        """
        counts = figures.confusion_matrix(labels, predicted, scores.shape[1])
        with self._keeping(update) as keep:
            keep(f"confusion{suffix}", "errors/confusion", figures.confusion(counts, title))
            worst = figures.misclassified(images, labels, predicted, scores, title)
            keep(f"misclassified{suffix}", "errors/misclassified", worst)

    def _table(self, layer: str, weight: Array) -> Table:
        return self._tables.get(layer, np.ones(weight.shape[:2], np.bool_))

    @contextlib.contextmanager
    def _keeping(self, update: int | None) -> Iterator[Keep]:
        """Keep what is drawn. While one is drawn, the one before is encoded: zlib works without Python's lock."""
        encoded: list[tuple[str, str, Picture, Future[bytes]]] = []
        with ThreadPoolExecutor(1) as pool:
            yield lambda name, tag, picture: encoded.append(
                (name, tag, picture, pool.submit(figures.encode_png, picture))
            )
        for name, _, _, png in encoded:
            (self._folder / f"{name}.png").write_bytes(png.result())
        if update is not None:
            self._board.images({tag: (png.result(), picture.shape) for _, tag, picture, png in encoded}, update)


def _names(stages: Mapping[str, str], layer: str) -> tuple[str, str]:
    """Return what the maps below a layer and its own are called, in the paper's capitals."""
    names = ["input", *stages]
    return names[names.index(layer) - 1].upper(), layer.upper()
