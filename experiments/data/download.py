"""Fetch a member of the MNIST family: next mirror on any failure, verified, put in place in one step.

Nothing that exists is overwritten. What arrives goes to a temporary folder beside its destination, is verified there
(`experiments.data.verify`) and then renamed, so a file under its final name is complete. An interrupted download leaves
nothing behind under a final name and starts afresh: the files are small (the largest, EMNIST's archive, has 0.5 GB).
"""

import shutil
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from experiments.data import sources
from experiments.data.finding import fetch_command, find_file
from experiments.data.idx import DataFileError
from experiments.data.placing import Fetched, place, workshop
from experiments.data.sources import RawFile, Source
from experiments.data.transfer import TIMEOUT, MirrorError, Progress, download
from experiments.data.verify import Verified, verify
from experiments.errors import UserError


def fetch(
    source: Source | str,
    destination: Path,
    *,
    base_urls: Iterable[str] | None = None,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> tuple[Fetched, ...]:
    """Download the files of one member that are not there yet.

    Parameters
    ----------
    source:
        The member, or its name.
    destination:
        Root folder; the files go to torchvision's layout below it (``<destination>/MNIST/raw``), packed as published.
    base_urls:
        Mirrors to use instead of the known ones: the packed files are expected at ``<base url>/<name>.gz``.
    timeout:
        Seconds, for connecting and for each wait.
    progress:
        Called while a file arrives.

    Returns
    -------
    tuple of Fetched
        One for each of the four files.

    Raises
    ------
    UserError
        If a file that exists is not what its name says (it is left as it is), if no mirror had a good copy, or if the
        folder cannot be written.

    Notes
    -----
    Of a member whose unpacked bytes are not pinned, only the ``.gz`` as published is accepted from the network.
    """
    source = sources.source(source) if isinstance(source, str) else source
    folder = destination.expanduser() / source.folder / "raw"
    there, missing = _survey(source, folder)
    if not missing:
        return there
    if base_urls is not None:
        addresses = [url if url.endswith("/") else f"{url}/" for url in base_urls]
        archived = False
    else:
        archived = bool(source.archives)
        addresses = list(sources.archives(source) if archived else sources.mirrors(source))
    with workshop(folder, timeout) as temporary:
        if archived:
            got = _from_archives(source, missing, addresses, temporary, folder, timeout, progress)
        else:
            got = _from_mirrors(source, missing, addresses, temporary, folder, timeout, progress)
    return _in_order(source, (*there, *got))


def fetch_from(
    source: Source | str,
    origin: str | Path,
    destination: Path,
    *,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> tuple[Fetched, ...]:
    """Fetch the files from one place that the user names.

    Parameters
    ----------
    source:
        The member, or its name.
    origin:
        An address (http or https), then the only mirror; or a folder with the files, flat or in torchvision's layout;
        or a zip archive with the packed files in it, as EMNIST is published.
    destination, timeout, progress:
        As for `fetch`.

    Returns
    -------
    tuple of Fetched
        One for each of the four files. Files from a folder that no published digest covers are accepted after a check
        of format and number, and say so in `Fetched.pinned`.

    Raises
    ------
    UserError
        As for `fetch`; also if `origin` is nothing of the kind or lacks a file.
    """
    source = sources.source(source) if isinstance(source, str) else source
    if str(origin).lower().startswith(("http://", "https://")):
        return fetch(source, destination, base_urls=[str(origin)], timeout=timeout, progress=progress)
    named = Path(origin).expanduser()
    folder = destination.expanduser() / source.folder / "raw"
    there, missing = _survey(source, folder)
    if not missing:
        return there
    with workshop(folder, timeout) as temporary:
        if named.is_file() and zipfile.is_zipfile(named):
            paths = _unzip(named, missing, temporary)
        elif named.is_dir():
            paths = _copies(source, named, missing, temporary)
        else:
            raise UserError(
                f"--from {origin}: expected an http(s) address, a folder or a zip archive; "
                f"{'this file is neither' if named.exists() else 'there is no such file or folder'}."
            )
        # All are verified before the first is put in place: a bad folder changes nothing.
        try:
            checked = [verify(path, file, source) for file, path in paths.items()]
        except DataFileError as error:
            # The path in the error is that of the temporary copy, gone by the time it is read.
            raise UserError(f"{named}: {error.path.name}: {error.reason}. Nothing was changed.") from error
        got = [place(item, folder, f"{named}") for item in checked]
    return _in_order(source, (*there, *got))


def _survey(source: Source, folder: Path) -> tuple[tuple[Fetched, ...], list[RawFile]]:
    """Verify what exists; return it, and what is missing. A bad file is refused before anything is fetched."""
    there: list[Fetched] = []
    missing: list[RawFile] = []
    bad: list[DataFileError] = []
    for file in source.files:
        path = find_file(folder, file)
        if path is None:
            missing.append(file)
            continue
        try:
            item = verify(path, file, source)
        except DataFileError as error:
            bad.append(error)
            continue
        there.append(Fetched(file.name, path, "already there", item.sha256, item.pinned))
    if bad:
        lines = "\n".join(f"  {error.path}: {error.reason}" for error in bad)
        raise UserError(
            f"{source.title}: files that exist already are not what their names say:\n{lines}\n"
            "Nothing is overwritten. Move them away and repeat the command."
        )
    return tuple(there), missing


def _from_mirrors(
    source: Source,
    missing: list[RawFile],
    mirrors: list[str],
    temporary: Path,
    folder: Path,
    timeout: float,
    progress: Progress | None,
) -> list[Fetched]:
    failures = dict.fromkeys(mirrors, 0)
    got: list[Fetched] = []
    for number, file in enumerate(missing):
        answers: list[str] = []
        # A mirror that has failed goes to the end of the row: its time-out is waited for once, not once per file.
        for mirror in sorted(mirrors, key=failures.__getitem__):
            url = f"{mirror}{file.name}.gz"
            path = temporary / f"{file.name}.gz"
            try:
                download(url, path, timeout, progress)
                item = _accept(path, file, source)
            except MirrorError as error:
                failures[mirror] += 1
                answers.append(f"{url}: {error}")
                continue
            got.append(place(item, folder, url))
            break
        else:
            raise UserError(_total_failure(source, missing[number:], answers, folder))
    return got


def _from_archives(
    source: Source,
    missing: list[RawFile],
    archives: list[str],
    temporary: Path,
    folder: Path,
    timeout: float,
    progress: Progress | None,
) -> list[Fetched]:
    answers: list[str] = []
    for url in archives:
        archive = temporary / "archive.zip"
        try:
            download(url, archive, timeout, progress)
            try:
                paths = _unzip(archive, missing, temporary)
            except UserError as error:
                raise MirrorError(str(error)) from error
            items = [_accept(path, file, source) for file, path in paths.items()]
        except MirrorError as error:
            answers.append(f"{url}: {error}")
            continue
        return [place(item, folder, url) for item in items]
    raise UserError(_total_failure(source, missing, answers, folder))


def _accept(path: Path, file: RawFile, source: Source) -> Verified:
    try:
        item = verify(path, file, source)
    except DataFileError as error:
        raise MirrorError(error.reason) from error
    if not item.pinned and file.packed is not None:
        raise MirrorError(f"not the file as published, whose digest is {file.packed}")
    return item


def _unzip(archive: Path, missing: list[RawFile], temporary: Path) -> dict[RawFile, Path]:
    """Take the packed files out of a zip archive, wherever in it they lie."""
    paths: dict[RawFile, Path] = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {name.rpartition("/")[2]: name for name in opened.namelist()}
            absent = [f"{file.name}.gz" for file in missing if f"{file.name}.gz" not in members]
            if absent:
                raise UserError(f"{archive.name}: the archive lacks {', '.join(absent)}")
            for file in missing:
                paths[file] = temporary / f"{file.name}.gz"
                with opened.open(members[f"{file.name}.gz"]) as packed, paths[file].open("wb") as target:
                    shutil.copyfileobj(packed, target)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{archive.name}: a damaged zip archive ({error})") from error
    return paths


def _copies(source: Source, place: Path, missing: list[RawFile], temporary: Path) -> dict[RawFile, Path]:
    folders = (place / source.folder / "raw", place)
    found = {file: next(filter(None, (find_file(folder, file) for folder in folders)), None) for file in missing}
    absent = [file.name for file, path in found.items() if path is None]
    if absent:
        raise UserError(f"--from {place}: missing {', '.join(absent)} (raw, or with .gz behind the name).")
    paths: dict[RawFile, Path] = {}
    for file, path in found.items():
        if path is not None:
            # Verified where it lies too, so that a complaint names the user's file, not the copy.
            verify(path, file, source)
            paths[file] = temporary / path.name
            shutil.copyfile(path, paths[file])
    return paths


def _in_order(source: Source, items: Iterable[Fetched]) -> tuple[Fetched, ...]:
    by_name = {item.name: item for item in items}
    return tuple(by_name[file.name] for file in source.files)


def _total_failure(source: Source, missing: list[RawFile], answers: list[str], folder: Path) -> str:
    return "\n".join(
        [
            f"{source.title} could not be downloaded. What was tried:",
            *(f"  {answer}" for answer in answers),
            "Files that are missing, and how they are recognised:",
            *(f"  {_recognition(file)}" for file in missing),
            f"If you can get them in another way, put them (raw or .gz) into {folder}",
            # The folder is <destination>/<member>/raw.
            f"or let them be checked and copied: {fetch_command(source, folder.parent.parent)} --from FOLDER|URL",
        ]
    )


def _recognition(file: RawFile) -> str:
    pins = [f"unpacked {file.unpacked}"] if file.unpacked else []
    pins += [f".gz {file.packed}"] if file.packed else []
    return f"{file.name}  {', '.join(pins) if pins else f'{file.count:,} elements, no digest known'}"
