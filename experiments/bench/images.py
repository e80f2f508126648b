"""The images of the measurements that take a whole epoch: MNIST where it is, else the digits of scikit-learn."""

from experiments import data
from experiments.data import Dataset, NotFoundError


def available(name: str = "") -> Dataset:
    """Load a data set by name; without one MNIST, or where its files are not found the embedded digits."""
    if name:
        return data.load(name)
    try:
        return data.load("mnist")
    except NotFoundError:
        return data.load("digits")


def described(name: str) -> str:
    """Return a data set's name, for a heading; what is not MNIST is said to be its stand-in."""
    return name if name == "mnist" else f"{name} (in place of mnist)"
