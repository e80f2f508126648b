"""What is timed: a cell is one network, one batch size and one dtype, in training or inference; some have a target."""

import dataclasses
from typing import Final, Literal

ModelName = Literal["lenet5", "mlp", "conv"]
Mode = Literal["train", "infer"]
DtypeName = Literal["float32", "float64"]

BATCH_SIZES: Final = (1, 16, 64, 256)
TARGETS: Final[dict[tuple[ModelName, Mode], dict[int, float]]] = {
    ("lenet5", "train"): {1: 3.0, 16: 3.0, 64: 3.0, 256: 2.5},
    ("lenet5", "infer"): {1: 3.0, 16: 3.0, 64: 3.0, 256: 2.5},
    ("mlp", "train"): {1: 1.5, 16: 2.0, 64: 2.0, 256: 1.5},
    ("mlp", "infer"): {1: 1.5, 16: 2.0, 64: 2.0, 256: 1.5},
}
"""By network and mode, then batch size: how many times torch's eager mode `scratch` has to be as fast, in float32."""
FLOAT64_TARGET: Final = 2.0
"""The same in float64, whatever the cell."""
COMPILED: Final = ("torch-compile", "jax")
"""Than these `scratch` has to be faster in every cell that has a target: a ratio above 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One computation that every competitor does.

    Parameters
    ----------
    model:
        "lenet5" is LeNet-5 with its table and trainable sub-sampling; "mlp" is 784-300-100-10 with tanh, as
        `twice train mlp` has it; "conv" is C1 to S4 of LeNet-5 and a linear layer, without the table, which can grow.
    mode:
        "train" is forward, cross-entropy, backward and an update by plain SGD; "infer" is forward.
    batch:
        Images in one step.
    dtype:
        Of images and parameters.
    image:
        Side of the images in pixels; other than 28 for "mlp" and "conv" only.
    width:
        Units in the hidden layers, or maps, in multiples of the usual number; other than 1 for "mlp" and "conv" only.

    Raises
    ------
    ValueError
        If LeNet-5 is to have another image or width.
    """

    model: ModelName
    mode: Mode
    batch: int
    dtype: DtypeName = "float32"
    image: int = 28
    width: float = 1

    def __post_init__(self) -> None:
        if self.model == "lenet5" and (self.image, self.width) != (28, 1):
            raise ValueError(f"lenet5 has images of 28 pixels and width 1, got {self.image} and {self.width}; use conv")

    @property
    def name(self) -> str:
        """What it is called in a message."""
        grown = f" {self.image}×{self.image}" * (self.image != 28) + f" width {self.width:g}" * (self.width != 1)
        return f"{self.model}{grown} {self.mode} batch {self.batch} {self.dtype}"


def target(cell: Cell, peer: str) -> float | None:
    """Return what the ratio of speeds scratch : peer has to reach in this cell; None where nothing is demanded.

    For the compiled peers it is 1, and has to be exceeded.
    """
    demanded = TARGETS.get((cell.model, cell.mode), {}).get(cell.batch)
    if demanded is None or (cell.image, cell.width) != (28, 1):
        return None
    if peer == "torch":
        return demanded if cell.dtype == "float32" else FLOAT64_TARGET
    return 1.0 if peer in COMPILED else None


def met(ratio: float, demanded: float) -> bool:
    """Whether a ratio of speeds satisfies its target: at least as much, or above it where the target is 1."""
    return ratio > demanded if demanded == 1 else ratio >= demanded
