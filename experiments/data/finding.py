"""Where the files of the MNIST family lie on this machine, and what is said when they are not there."""

import os
from pathlib import Path

from experiments.data.sources import RawFile, Source
from experiments.data.verify import OtherMemberError, Verified, verify
from experiments.errors import UserError
from experiments.invocation import command

ENVIRONMENT_VARIABLE = "MNIST_DIR"
"""Environment variable that names a folder with files of the MNIST family."""


class NotFoundError(UserError):
    """A data set that is not there, or not all of it: downloading it helps, as it does not with a damaged file."""


def find(source: Source, data_dir: Path | None) -> tuple[Path, list[Verified]]:
    """Find the files of a member of the MNIST family, and verify them.

    Parameters
    ----------
    source:
        The member.
    data_dir:
        Folder with the files, flat or in torchvision's layout. When given, only this folder is looked at. When None,
        the folder that the environment variable ``MNIST_DIR`` names, then the user's cache.

    Returns
    -------
    tuple of Path and list of Verified
        The folder, and its files in the order of `Source.files`.

    Raises
    ------
    NotFoundError
        If the files are not found, or not all of them.
    UserError
        If a file is not what its name says.
    """
    looked: list[str] = []
    for root in _roots(data_dir):
        for folder in (root / source.folder / "raw", root):
            paths = {file: find_file(folder, file) for file in source.files}
            if not any(paths.values()):
                looked.append(f"{folder} ({_emptiness(folder)})")
                continue
            missing = [file.name for file, path in paths.items() if path is None]
            if missing:
                raise NotFoundError(
                    f"{source.title} is incomplete in {folder}: {', '.join(missing)} was not found (raw, or with .gz "
                    f"behind the name). Add what is missing there, or fetch it: {fetch_command(source, data_dir)}"
                )
            try:
                found = [verify(path, file, source) for file, path in paths.items() if path is not None]
            except OtherMemberError as error:
                # The members share their file names. In its own folder that is a mistake; in a flat folder it only
                # means that this is not the place.
                if folder != root:
                    raise
                looked.append(f"{folder} ({error.path.name}: {error.reason})")
                continue
            return folder, found
    raise NotFoundError(_not_found(source, looked, data_dir))


def cache_dir() -> Path:
    """Return the per-user folder into which data are downloaded; it need not exist."""
    import pooch

    return Path(pooch.os_cache("twice"))


def fetch_command(source: Source, data_dir: Path | None) -> str:
    """Return what to type to have a member where it was looked for: in this folder, or else in the user's cache."""
    where = () if data_dir is None else ("--data-dir", str(data_dir))
    return command("data", "--dataset", source.name, *where)


def find_file(folder: Path, file: RawFile) -> Path | None:
    """Return where `file` lies in `folder`: raw, else gzipped; "train-images.idx3-ubyte" counts as well. Or None."""
    dotted = file.name.replace("-idx", ".idx")
    for name in (file.name, dotted, f"{file.name}.gz", f"{dotted}.gz"):
        try:
            if (folder / name).exists():
                return folder / name
        except PermissionError as error:
            raise UserError(f"{folder} cannot be read: {error.strerror}. Check its permissions.") from error
    return None


def _roots(data_dir: Path | None) -> list[Path]:
    if data_dir is not None:
        return [data_dir.expanduser()]
    variable = os.environ.get(ENVIRONMENT_VARIABLE)
    return [*([Path(variable).expanduser()] if variable else []), cache_dir()]


def _emptiness(folder: Path) -> str:
    if not folder.exists():
        return "no such folder"
    return "none of the files" if folder.is_dir() else "not a folder"


def _not_found(source: Source, looked: list[str], data_dir: Path | None) -> str:
    unset = data_dir is None and not os.environ.get(ENVIRONMENT_VARIABLE)
    return "\n".join(
        [
            f"{source.title} was not found. Looked in:",
            *(f"  {place}" for place in looked),
            *([f"  (the environment variable {ENVIRONMENT_VARIABLE} is not set)"] if unset else []),
            "Expected four files, raw or with .gz behind their names:",
            *(f"  {file.name}" for file in source.files),
            f"Either name the folder that has them: --data-dir FOLDER (or {ENVIRONMENT_VARIABLE}=FOLDER),",
            f"or download them: {fetch_command(source, data_dir)}",
        ]
    )
