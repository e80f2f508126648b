"""The MNIST family: which files each member consists of, how they are recognised, and where they can be fetched.

Every member is four IDX files. They are looked for in torchvision's layout, ``<root>/MNIST/raw`` and the like, or flat
in the root; raw or gzipped.

What is pinned, and by whom
---------------------------
A digest of the *unpacked* bytes decides, because anyone may have packed a file again with another compressor. Where
none is known the digest of the packed ``.gz``, as published, decides for downloads; then a raw or repacked file that a
user points at is held only against the structure of the format and the published number of images, and is listed in
`Dataset.unverified`.

================  ==========================================  ==================================================
member            unpacked                                    packed (.gz)
================  ==========================================  ==================================================
mnist             SHA-256, all four files                     not needed
fashion-mnist     MD5, all four files (three independent      SHA-256 (TensorFlow Datasets) and MD5 (torchvision)
                  public listings agree)
kmnist            **not pinned**                              SHA-256 (TensorFlow Datasets) and MD5 (torchvision)
qmnist            **not pinned**                              SHA-256 (TensorFlow Datasets) and MD5 (torchvision)
emnist-digits     **not pinned**                              SHA-256 of each of the four (two independent public
                                                              listings agree); the zip around them is not pinned
================  ==========================================  ==================================================

MD5 tells damage and mix-ups, which is what is asked of it here, not forgery.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from experiments.errors import UserError, close_matches

Kind = Literal["images", "labels", "labels-int"]
"""Images; labels of one byte; QMNIST's labels: rows of 8 32-bit integers, the first of which is the class."""

LABEL_COLUMNS = 8
"""Integers per label of kind ``labels-int``: class, NIST series, writer, position with the writer, NIST class, ..."""


@dataclass(frozen=True)
class RawFile:
    """One file of a member.

    Parameters
    ----------
    name:
        File name, unpacked; packed it has ``.gz`` behind it.
    kind:
        What it holds.
    count:
        Number of images or labels.
    unpacked:
        Digest of the unpacked bytes as ``algorithm:hex``, None where none is known.
    packed:
        Digest of the published ``.gz``, likewise.
    """

    name: str
    kind: Kind
    count: int
    unpacked: str | None = None
    packed: str | None = None


@dataclass(frozen=True)
class Source:
    """One member of the family.

    Parameters
    ----------
    name:
        Name on the command line.
    title:
        Name in print.
    folder:
        torchvision's folder, and the name of torchvision's class.
    train_images, train_labels, test_images, test_labels:
        The files.
    mirrors:
        Addresses of the packed files, each ending in "/", tried after torchvision's own.
    archives:
        Addresses of zip archives that have the packed files as members in a folder ``gzip``; for a member without
        mirrors.
    transposed:
        Whether rows and columns of the images are exchanged in the files (EMNIST); loading undoes it.
    validation:
        Number of images at the end of the training file that are set aside for validation.
    """

    name: str
    title: str
    folder: str
    train_images: RawFile
    train_labels: RawFile
    test_images: RawFile
    test_labels: RawFile
    mirrors: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    transposed: bool = False
    validation: int = 5_000

    @property
    def files(self) -> tuple[RawFile, RawFile, RawFile, RawFile]:
        """The four files: training images and labels, test images and labels."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)

    def describe(self, file: RawFile) -> str:
        """Return what `file` is within this member, for messages: "the test labels of MNIST"."""
        part = "training" if file in (self.train_images, self.train_labels) else "test"
        return f"the {part} {'images' if file.kind == 'images' else 'labels'} of {self.title}"


_CVDF = "https://storage.googleapis.com/cvdf-datasets/mnist/"

MNIST = Source(
    name="mnist",
    title="MNIST",
    folder="MNIST",
    train_images=RawFile(
        "train-images-idx3-ubyte",
        "images",
        60_000,
        unpacked="sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    train_labels=RawFile(
        "train-labels-idx1-ubyte",
        "labels",
        60_000,
        unpacked="sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test_images=RawFile(
        "t10k-images-idx3-ubyte",
        "images",
        10_000,
        unpacked="sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    test_labels=RawFile(
        "t10k-labels-idx1-ubyte",
        "labels",
        10_000,
        unpacked="sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    mirrors=(_CVDF,),
)

FASHION_MNIST = Source(
    name="fashion-mnist",
    title="Fashion-MNIST",
    folder="FashionMNIST",
    train_images=RawFile(
        "train-images-idx3-ubyte",
        "images",
        60_000,
        unpacked="md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
        packed="sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    train_labels=RawFile(
        "train-labels-idx1-ubyte",
        "labels",
        60_000,
        unpacked="md5:9018921c3c673c538a1fc5bad174d6f9",
        packed="sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    test_images=RawFile(
        "t10k-images-idx3-ubyte",
        "images",
        10_000,
        unpacked="md5:8181f5470baa50b63fa0f6fddb340f0a",
        packed="sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    test_labels=RawFile(
        "t10k-labels-idx1-ubyte",
        "labels",
        10_000,
        unpacked="md5:15d484375f8d13e6eb1aabb0c3f46965",
        packed="sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)

KMNIST = Source(
    name="kmnist",
    title="KMNIST",
    folder="KMNIST",
    train_images=RawFile(
        "train-images-idx3-ubyte",
        "images",
        60_000,
        packed="sha256:51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    ),
    train_labels=RawFile(
        "train-labels-idx1-ubyte",
        "labels",
        60_000,
        packed="sha256:e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    ),
    test_images=RawFile(
        "t10k-images-idx3-ubyte",
        "images",
        10_000,
        packed="sha256:edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    ),
    test_labels=RawFile(
        "t10k-labels-idx1-ubyte",
        "labels",
        10_000,
        packed="sha256:20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
)

EMNIST_DIGITS = Source(
    name="emnist-digits",
    title="EMNIST Digits",
    folder="EMNIST",
    train_images=RawFile(
        "emnist-digits-train-images-idx3-ubyte",
        "images",
        240_000,
        packed="sha256:f7c95004d14d81af89522e67d8f0c781dfb3bd544181c81bfe1eb6b41c35b726",
    ),
    train_labels=RawFile(
        "emnist-digits-train-labels-idx1-ubyte",
        "labels",
        240_000,
        packed="sha256:6638a6ff5fe2eefd9cca2471995b46c82986b8e4b2a70d2f5ce8e05d7edb319e",
    ),
    test_images=RawFile(
        "emnist-digits-test-images-idx3-ubyte",
        "images",
        40_000,
        packed="sha256:20ebe43509264f7639d37c835a3f0b009e90b29e00a099a03101abe1644a3f63",
    ),
    test_labels=RawFile(
        "emnist-digits-test-labels-idx1-ubyte",
        "labels",
        40_000,
        packed="sha256:bad1834c45d5988e270b99d43b13edc3fd898f658ffbc2caf2846ef27f7b05b0",
    ),
    archives=("https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",),
    transposed=True,
)

QMNIST = Source(
    name="qmnist",
    title="QMNIST",
    folder="QMNIST",
    train_images=RawFile(
        "qmnist-train-images-idx3-ubyte",
        "images",
        60_000,
        packed="sha256:9e26a7bf1683614e065d7b76460ccd52807165b3f22561fb782bd9f38c52b51d",
    ),
    train_labels=RawFile(
        "qmnist-train-labels-idx2-int",
        "labels-int",
        60_000,
        packed="sha256:2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f",
    ),
    test_images=RawFile(
        "qmnist-test-images-idx3-ubyte",
        "images",
        60_000,
        packed="sha256:43fc22bf7498b8fc98de98369d72f752d0deabc280a43a7bcc364ab19e57b375",
    ),
    test_labels=RawFile(
        "qmnist-test-labels-idx2-int",
        "labels-int",
        60_000,
        packed="sha256:9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06",
    ),
)

FAMILY = (MNIST, FASHION_MNIST, KMNIST, EMNIST_DIGITS, QMNIST)


def source(name: str) -> Source:
    """Return the member of the family called `name`.

    Raises
    ------
    UserError
        If there is none; the message suggests the nearest name.
    """
    for member in FAMILY:
        if member.name == name:
            return member
    names = [member.name for member in FAMILY]
    raise UserError(
        f"dataset {name!r} is not a member of the MNIST family{close_matches(name, names)}\nmembers: {', '.join(names)}"
    )


def mirrors(member: Source) -> tuple[str, ...]:
    """Return the addresses of a member's packed files in the order in which they are tried: torchvision's own first.

    Imports torchvision (seconds). Empty for a member that is published as an archive.
    """
    from experiments.torchvision_compat import mnist_mirrors

    if member.archives:
        return ()
    return tuple(dict.fromkeys((*mnist_mirrors(member.folder), *member.mirrors)))


def archives(member: Source) -> tuple[str, ...]:
    """Return the addresses of a member's archive, torchvision's own first; empty for a member with single files."""
    from experiments.torchvision_compat import mnist_mirrors

    if not member.archives:
        return ()
    return tuple(dict.fromkeys((*mnist_mirrors(member.folder), *member.archives)))


def recognise(digests: dict[str, str], extra: Source) -> Iterator[tuple[Source, RawFile]]:
    """Find the published files that have one of the given digests.

    Parameters
    ----------
    digests:
        Of one file: ``"unpacked sha256" | "unpacked md5" | "packed sha256"`` to hexadecimal digits.
    extra:
        A member to search first; it need not belong to `FAMILY`.

    Yields
    ------
    (Source, RawFile)
        Each file that it is known to be.
    """
    for member in dict.fromkeys((extra, *FAMILY)):
        for file in member.files:
            for form, pin in (("unpacked", file.unpacked), ("packed", file.packed)):
                if pin is not None:
                    algorithm, _, digits = pin.partition(":")
                    if digests.get(f"{form} {algorithm}") == digits:
                        yield member, file
