"""Data: the embedded digits and the MNIST family, found or downloaded, verified, and split."""

from experiments.data.datasets import DATASETS, Dataset, NotFoundError, Split, inputs, load

__all__ = ["DATASETS", "Dataset", "NotFoundError", "Split", "inputs", "load"]
