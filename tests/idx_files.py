"""Tiny stand-ins for the files of the MNIST family."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.data.sources import RawFile, Source


def idx_bytes(array: NDArray[np.generic]) -> bytes:
    """An IDX file of unsigned bytes or 32-bit integers."""
    code, stored = (0x08, array.astype(np.uint8)) if array.dtype.itemsize == 1 else (0x0C, array.astype(">i4"))
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + stored.tobytes()


def pack(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def tiny_images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def tiny_labels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 10, count, dtype=np.uint8)


TRAIN, VALIDATION, TEST = 6, 2, 4


class Member:
    """A made-up member of the family and the content of its files.

    ``pins`` says which digests are known: "unpacked", "packed" or "".
    """

    def __init__(
        self, pins: str = "unpacked", *, seed: int = 0, transposed: bool = False, integers: bool = False
    ) -> None:
        def labels(count: int, number: int) -> NDArray[np.generic]:
            classes = tiny_labels(count, number)
            if not integers:
                return classes
            rest = np.full((count, 7), -1_000_000, dtype=np.int32)
            return np.concatenate([classes[:, None].astype(np.int32), rest], axis=1)

        self.arrays: dict[str, NDArray[np.generic]] = {
            "train-images-idx3-ubyte": tiny_images(TRAIN, seed + 1),
            "train-labels-idx1-ubyte": labels(TRAIN, seed + 2),
            "t10k-images-idx3-ubyte": tiny_images(TEST, seed + 3),
            "t10k-labels-idx1-ubyte": labels(TEST, seed + 4),
        }
        self.raw = {name: idx_bytes(array) for name, array in self.arrays.items()}
        self.packed = {name: pack(data) for name, data in self.raw.items()}
        files = []
        for name, array in self.arrays.items():
            kind = "images" if "images" in name else ("labels-int" if integers else "labels")
            file = RawFile(name, kind, len(array))
            if pins == "unpacked":
                file = replace(file, unpacked=f"sha256:{hashlib.sha256(self.raw[name]).hexdigest()}")
            elif pins == "packed":
                file = replace(file, packed=f"sha256:{hashlib.sha256(self.packed[name]).hexdigest()}")
            files.append(file)
        self.source = Source("tiny", "Tiny", "Tiny", *files, transposed=transposed, validation=VALIDATION)

    def write(self, folder: Path, *, packed: bool = False) -> Path:
        """Write the four files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.arrays:
            self.put(folder, name, packed=packed)
        return folder

    def put(self, folder: Path, name: str, *, packed: bool = False) -> Path:
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(self.packed[name] if packed else self.raw[name])
        return path
