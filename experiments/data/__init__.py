"""Data: the embedded digits and the MNIST family, found or downloaded, verified, and split."""

from experiments.data.datasets import DATASETS, Dataset, Split, inputs, load
from experiments.data.finding import NotFoundError

__all__ = ["DATASETS", "Dataset", "NotFoundError", "Split", "inputs", "load"]
