"""Planted bugs: realistic mistakes in hand-written back-propagation, each a small edit of `scratch`'s source."""

from tests.mutants import (
    convolution,
    convolution_layers,
    learning,
    lenet5,
    perceptron,
    pooling,
    preprocessing,
    rows,
    shortcuts,
)
from tests.mutants.mutant import Mutant, mutant, mutated

MUTANTS = (
    *perceptron.MUTANTS,
    *learning.MUTANTS,
    *convolution.MUTANTS,
    *convolution_layers.MUTANTS,
    *pooling.MUTANTS,
    *lenet5.MUTANTS,
    *preprocessing.MUTANTS,
    *shortcuts.MUTANTS,
    *rows.MUTANTS,
)

__all__ = ["MUTANTS", "Mutant", "mutant", "mutated"]
