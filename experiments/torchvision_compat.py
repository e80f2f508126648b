"""The one door to torchvision.

torchvision's binary wheel ships C++ operators that only load beside the torch build it was compiled against. Beside a
CPU-only torch they do not load, and then even ``import torchvision`` fails: ``torchvision/_meta_registrations.py``
registers fake kernels for two operators (``torchvision::nms`` and ``torchvision::qnms``) without asking whether they
exist. What this project uses of torchvision (`make_grid`, the address book of the MNIST family) is pure Python, so
declaring the two missing schemas is enough to get it imported. The operators themselves stay unusable.

torchvision, and with it torch, is imported on the first call of a function, never on import of this module.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_MISSING_OPERATOR = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# torch.library.Library takes its schemas back when it is collected, hence the reference.
_declared: list[Any] = []


def import_torchvision() -> ModuleType:
    """Import torchvision, also where its C++ operators cannot be loaded.

    The ordinary import is tried first. Only if it fails with torch's "operator torchvision::nms does not exist" are the
    half-imported modules dropped, the two schemas declared, and the import repeated.

    Returns
    -------
    ModuleType
        The module ``torchvision``.

    Raises
    ------
    ImportError
        If torchvision is not installed.
    RuntimeError
        If the import fails for any other reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING_OPERATOR not in str(error):
            raise
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
    if not _declared:
        _declare_operators()
    return importlib.import_module("torchvision")


def was_repaired() -> bool:
    """Return whether the import needed the two schemas: whether torchvision's own operators are unusable."""
    return bool(_declared)


def _declare_operators() -> None:
    """Give torch the two schemas without kernels: calling one says so, registering a fake for one works."""
    import torch

    # torch leaves this class without annotations.
    library_class: Any = torch.library.Library
    library = library_class("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)


def make_grid(images: "Tensor", *, nrow: int = 8, padding: int = 2, pad_value: float = 0.0) -> "Tensor":
    """Lay a batch of images out in one picture.

    Parameters
    ----------
    images:
        (N, C, H, W); one channel becomes three equal ones.
    nrow:
        Images per row.
    padding:
        Pixels between and around the images.
    pad_value:
        Value of those pixels.

    Returns
    -------
    Tensor
        (3, H', W'), dtype of `images`.
    """
    grid: Tensor = _member("utils").make_grid(images, nrow=nrow, padding=padding, pad_value=pad_value)
    return grid


def mnist_resources(class_name: str) -> tuple[tuple[str, str], ...]:
    """Return what torchvision downloads for one member of the MNIST family.

    Parameters
    ----------
    class_name:
        ``MNIST``, ``FashionMNIST``, ``KMNIST``, ``EMNIST`` or ``QMNIST``.

    Returns
    -------
    tuple of (str, str)
        File name (a full address for QMNIST, the archive's for EMNIST) and MD5 of the packed file, in hexadecimal.
    """
    dataset = getattr(_member("datasets"), class_name)
    if class_name == "EMNIST":
        return ((str(dataset.url), str(dataset.md5)),)
    if class_name == "QMNIST":
        return tuple((str(url), str(md5)) for part in ("train", "test") for url, md5 in dataset.resources[part])
    return tuple((str(name), str(md5)) for name, md5 in dataset.resources)


def mnist_mirrors(class_name: str) -> tuple[str, ...]:
    """Return the addresses, each ending in "/", under which torchvision looks for the files of one member.

    For EMNIST, which comes as one archive, the address of the archive itself.
    """
    if class_name == "EMNIST":
        return tuple(url for url, _ in mnist_resources(class_name))
    if class_name == "QMNIST":
        return tuple(dict.fromkeys(url.rpartition("/")[0] + "/" for url, _ in mnist_resources(class_name)))
    return tuple(str(mirror) for mirror in getattr(_member("datasets"), class_name).mirrors)


def _member(name: str) -> Any:
    import_torchvision()
    return importlib.import_module(f"torchvision.{name}")
