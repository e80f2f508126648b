"""scikit-learn: `MLPClassifier.partial_fit`, one pass over one batch, which is one step of plain gradient descent."""

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from experiments.bench import networks
from experiments.bench.cells import Cell
from experiments.bench.competitors import Array

_CLASSES = np.arange(networks.CLASSES)


class Steps:
    """See `competitors.Steps`. In inference it returns probabilities, whose logarithms are compared.

    Raises
    ------
    ValueError
        For a network that is no perceptron.
    """

    def __init__(self, cell: Cell, threads: int) -> None:
        if cell.model != "mlp":
            raise ValueError(f"scikit-learn has perceptrons only, got {cell.model}")
        self.cell = cell
        self.threads = threads
        self.images, self.labels = networks.batch(cell)
        self.net = MLPClassifier(
            networks.hidden_sizes(cell),
            activation="tanh",
            solver="sgd",
            alpha=0.0,
            batch_size=cell.batch,
            learning_rate_init=networks.LEARNING_RATE,
            momentum=0.0,
            nesterovs_momentum=False,
            shuffle=False,
            random_state=0,
        )
        # The first call makes the arrays that all later ones update in place, so the weights are copied into them.
        self.net.partial_fit(self.images, self.labels, classes=_CLASSES)
        state = networks.initial_state(cell)
        for name, array in self._arrays().items():
            array[...] = state[name]
        self._output = np.empty(0)
        self.step = self._train if cell.mode == "train" else self._infer

    def _arrays(self) -> dict[str, Array]:
        """The live parameters under the names and in the shapes of `scratch`."""
        arrays: dict[str, Array] = {}
        for i, (weight, bias) in enumerate(zip(self.net.coefs_, self.net.intercepts_, strict=True), start=1):
            arrays |= {f"fc{i}.weight": weight.T, f"fc{i}.bias": bias}
        return arrays

    def _train(self) -> None:
        self.net.partial_fit(self.images, self.labels)

    def _infer(self) -> None:
        self._output = self.net.predict_proba(self.images)

    def outcome(self) -> dict[str, Array]:
        """See `competitors.Steps`."""
        if self.cell.mode == "infer":
            return {"output": np.log(self._output)}
        return {"loss": np.array(self.net.loss_), **{name: array.copy() for name, array in self._arrays().items()}}

    def describe(self) -> dict[str, str | int]:
        """See `competitors.Steps`."""
        return {"scikit-learn": sklearn.__version__, "threads": self.threads, "mode": "partial_fit"}

    def close(self) -> None:
        """See `competitors.Steps`."""
