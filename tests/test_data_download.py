"""Downloads: any failure leads to the next mirror, only good files get their name, nothing is overwritten."""

import io
import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.data import NotFoundError, finding, load, placing, sources, transfer
from experiments.data.datasets import load_source
from experiments.data.download import fetch, fetch_from
from experiments.errors import UserError
from tests.idx_files import Member, idx_bytes, tiny_labels
from tests.mirrors import Mirrors, serving

TEST_LABELS = "t10k-labels-idx1-ubyte"


@pytest.fixture
def member() -> Member:
    return Member("packed")


@pytest.fixture
def server(member: Member, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving({f"{name}.gz": data for name, data in member.packed.items()}) as mirrors:
        yield mirrors


def names(folder: Path) -> set[str]:
    """All that lies in a folder, hidden things too."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


ALL = {f"{name}.gz" for name in Member().arrays}


def test_a_good_mirror(tmp_path: Path, member: Member, server: Mirrors) -> None:
    seen: list[tuple[str, int, int]] = []
    items = fetch(
        member.source, tmp_path, base_urls=[server.url("good")[:-1]], progress=lambda *report: seen.append(report)
    )
    folder = tmp_path / "Tiny" / "raw"
    assert names(folder) == ALL
    assert [item.name for item in items] == list(member.arrays)
    assert all(item.pinned and item.path == folder / f"{item.name}.gz" for item in items)
    assert all(item.origin == f"{server.url('good')}{item.name}.gz" for item in items)
    data = load_source(member.source, tmp_path)
    assert data.sha256 == {item.name: item.sha256 for item in items}
    assert data.unverified == ()
    for name, content in member.packed.items():
        assert (f"{name}.gz", len(content), len(content)) in seen


@pytest.mark.parametrize(
    ("behaviour", "answer"),
    [
        ("missing", "answered 404 Not Found"),
        ("broken", "answered 503 Service Unavailable"),
        ("silent", "no answer within 1 s"),
        ("stalled", "stalled: no byte within 1 s"),
        ("reset", "the connection was reset"),
        ("cut", "the connection ended before the file was complete"),
        ("shorter", "a truncated gzip file"),
        ("garbled", "a damaged gzip file"),
        ("portal", "a web page"),
        ("loop", "TooManyRedirects"),
    ],
)
def test_every_failure_leads_to_the_next_mirror(
    tmp_path: Path, member: Member, server: Mirrors, behaviour: str, answer: str
) -> None:
    bad, good = server.url(behaviour), server.url("good")
    patience = 1 if behaviour in ("silent", "stalled") else 30  # the good one has to be faster, on a busy machine too
    fetch(member.source, tmp_path / "one", base_urls=[bad, good], timeout=patience)
    assert names(tmp_path / "one" / "Tiny" / "raw") == ALL
    load_source(member.source, tmp_path / "one")
    # It was tried first, and only once: its time-out is not waited for again with each file.
    assert set(server.asked(behaviour)) == {"train-images-idx3-ubyte.gz"}

    with pytest.raises(UserError) as caught:
        fetch(member.source, tmp_path / "two", base_urls=[bad], timeout=patience)
    text = str(caught.value)
    folder = tmp_path / "two" / "Tiny" / "raw"
    assert f"{bad}train-images-idx3-ubyte.gz: " in text
    assert answer in text
    assert f"into {folder}" in text
    for file in member.source.files:
        assert f"{file.name}  .gz {file.packed}" in text
    assert names(folder) == set()


def test_wrong_but_well_formed_files_are_not_accepted(tmp_path: Path, member: Member, server: Mirrors) -> None:
    server.files = {f"{name}.gz": data for name, data in Member("packed", seed=9).packed.items()}
    with pytest.raises(UserError, match="not the file as published, whose digest is sha256:"):
        fetch(member.source, tmp_path, base_urls=[server.url("good")])
    unpacked = Member("unpacked")
    with pytest.raises(UserError, match="damaged or altered"):
        fetch(unpacked.source, tmp_path, base_urls=[server.url("good")])
    assert names(tmp_path / "Tiny" / "raw") == set()


def test_a_dead_address(tmp_path: Path, member: Member, server: Mirrors) -> None:
    with serving({}) as closed:
        dead = closed.url("good")
    fetch(member.source, tmp_path, base_urls=["http://[bad", dead, server.url("good")], timeout=2)
    with pytest.raises(UserError, match=r"the connection was refused"):
        fetch(member.source, tmp_path / "two", base_urls=[dead], timeout=2)


def test_a_dripping_server_is_given_up() -> None:
    meter = transfer._Meter("file", 0.01, None)
    time.sleep(0.05)
    meter.update(1 << 20)
    meter.reset()
    time.sleep(0.05)
    with pytest.raises(TimeoutError, match="too slow: 10 bytes"):
        meter.update(10)


def test_what_is_there_is_kept_and_not_fetched_again(tmp_path: Path, member: Member, server: Mirrors) -> None:
    folder = tmp_path / "Tiny" / "raw"
    member.write(folder, packed=True)
    (folder / f"{TEST_LABELS}.gz").unlink()
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    items = fetch(member.source, tmp_path, base_urls=[server.url("good")])
    assert server.asked("good") == [f"{TEST_LABELS}.gz"]
    assert [item.origin for item in items[:3]] == ["already there"] * 3
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert {item.origin for item in fetch(member.source, tmp_path, base_urls=["http://nowhere.invalid"])} == {
        "already there"
    }


@pytest.mark.parametrize("packed", [False, True])
def test_an_invalid_file_that_exists_is_refused_before_anything_is_fetched(
    tmp_path: Path, member: Member, server: Mirrors, packed: bool
) -> None:
    folder = tmp_path / "Tiny" / "raw"
    folder.mkdir(parents=True)
    path = member.put(folder, TEST_LABELS, packed=packed)
    path.write_bytes(path.read_bytes()[:-3])
    content = path.read_bytes()
    with pytest.raises(UserError) as caught:
        fetch(member.source, tmp_path, base_urls=[server.url("good")])
    assert f"{path}: " in str(caught.value)
    assert "truncated" in str(caught.value)
    assert "Move them away" in str(caught.value)
    assert path.read_bytes() == content
    assert names(folder) == {path.name}
    assert server.requests == []


def test_a_partial_failure_keeps_what_is_good_and_goes_on_from_there(
    tmp_path: Path, member: Member, server: Mirrors
) -> None:
    lacking = dict(server.files)
    del server.files[f"{TEST_LABELS}.gz"]
    with pytest.raises(UserError) as caught:
        fetch(member.source, tmp_path, base_urls=[server.url("good")])
    assert "answered 404" in str(caught.value)
    assert f"{TEST_LABELS}  .gz" in str(caught.value)
    assert "train-images-idx3-ubyte  .gz" not in str(caught.value)
    assert names(tmp_path / "Tiny" / "raw") == ALL - {f"{TEST_LABELS}.gz"}
    server.files, server.requests = lacking, []
    fetch(member.source, tmp_path, base_urls=[server.url("good")])
    assert server.asked("good") == [f"{TEST_LABELS}.gz"]


def test_an_interrupted_download_leaves_nothing(tmp_path: Path, member: Member, server: Mirrors) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(member.source, tmp_path, base_urls=[server.url("good")], progress=interrupt)
    assert names(tmp_path / "Tiny" / "raw") == set()


def test_what_a_killed_download_left_is_cleared_but_not_what_another_is_writing(
    tmp_path: Path, member: Member, server: Mirrors
) -> None:
    folder = tmp_path / "Tiny" / "raw"
    for age, name in ((3600, "old"), (0, "fresh")):
        left = folder / f"{placing.TEMPORARY}{name}"
        left.mkdir(parents=True)
        (left / "part").write_bytes(b"part")
        for path in (left / "part", left):
            os.utime(path, (time.time() - age,) * 2)
    fetch(member.source, tmp_path, base_urls=[server.url("good")])
    assert names(folder) == ALL | {f"{placing.TEMPORARY}fresh"}


def test_a_server_that_unpacks_on_the_way(tmp_path: Path, server: Mirrors) -> None:
    member = Member("unpacked")
    server.files = {f"{name}.gz": data for name, data in member.raw.items()}
    fetch(member.source, tmp_path, base_urls=[server.url("good")])
    assert names(tmp_path / "Tiny" / "raw") == set(member.arrays)
    assert load_source(member.source, tmp_path).unverified == ()


def test_an_unwritable_destination_and_a_full_disk(
    tmp_path: Path, member: Member, server: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*--data-dir"):
        fetch(member.source, tmp_path / "file", base_urls=[server.url("good")])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write .*No space left on device"):
        fetch(member.source, tmp_path, base_urls=[server.url("good")], progress=full)
    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(UserError, match=r"cannot write to .*No space left on device"):
        fetch(member.source, tmp_path, base_urls=[server.url("good")])
    assert names(tmp_path / "Tiny" / "raw") == set()


def test_a_file_that_appears_meanwhile_is_left(tmp_path: Path, member: Member, server: Mirrors) -> None:
    path = tmp_path / "Tiny" / "raw" / "train-images-idx3-ubyte.gz"

    def appear(*_: object) -> None:
        path.write_bytes(b"mine")

    with pytest.raises(UserError, match="appeared while it was being fetched"):
        fetch(member.source, tmp_path, base_urls=[server.url("good")], progress=appear)
    assert path.read_bytes() == b"mine"


def test_from_an_address_it_is_the_only_mirror(tmp_path: Path, member: Member, server: Mirrors) -> None:
    fetch_from(member.source, server.url("good"), tmp_path)
    assert names(tmp_path / "Tiny" / "raw") == ALL
    with pytest.raises(UserError, match="404"):
        fetch_from(member.source, server.url("missing"), tmp_path / "two")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", ["", "Tiny/raw"])
def test_from_a_folder(tmp_path: Path, layout: str, packed: bool) -> None:
    member = Member("unpacked")
    origin = member.write(tmp_path / "origin" / layout, packed=packed)
    items = fetch_from(member.source, tmp_path / "origin", tmp_path / "here")
    assert names(tmp_path / "here" / "Tiny" / "raw") == names(origin)
    assert all(item.pinned for item in items)
    assert len(names(origin)) == 4
    load_source(member.source, tmp_path / "here")


def test_from_a_folder_with_something_wrong_nothing_is_copied(tmp_path: Path) -> None:
    member = Member("unpacked")
    origin = member.write(tmp_path / "origin")
    (origin / TEST_LABELS).write_bytes(idx_bytes(tiny_labels(4, seed=77)))
    with pytest.raises(UserError, match="damaged or altered") as caught:
        fetch_from(member.source, origin, tmp_path / "here")
    assert str(origin / TEST_LABELS) in str(caught.value)
    assert names(tmp_path / "here" / "Tiny" / "raw") == set()
    (origin / TEST_LABELS).unlink()
    with pytest.raises(UserError, match=f"missing {TEST_LABELS} "):
        fetch_from(member.source, origin, tmp_path / "here")
    with pytest.raises(UserError, match="there is no such file or folder"):
        fetch_from(member.source, tmp_path / "none", tmp_path / "here")
    (tmp_path / "plain").write_text("text")
    with pytest.raises(UserError, match="this file is neither"):
        fetch_from(member.source, tmp_path / "plain", tmp_path / "here")


def test_files_that_no_digest_covers_say_so(tmp_path: Path) -> None:
    member = Member("packed")
    items = fetch_from(member.source, member.write(tmp_path / "origin"), tmp_path / "here")
    assert [item.pinned for item in items] == [False] * 4


def archive(member: Member) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as opened:
        opened.writestr("gzip/other-mapping.txt", "0 48")
        for name, data in member.packed.items():
            opened.writestr(f"gzip/{name}.gz", data)
    return memory.getvalue()


def test_a_member_published_as_an_archive(
    tmp_path: Path, member: Member, server: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = archive(member)
    del member.packed[TEST_LABELS]
    server.files = {"whole.zip": whole, "half.zip": whole[: len(whole) // 2], "lacking.zip": archive(member)}
    urls = {name: f"{server.url('good')}{name}.zip" for name in ("whole", "half", "lacking", "none")}
    source = replace(member.source, archives=tuple(urls.values()))
    monkeypatch.setattr(sources, "archives", lambda _: [urls["none"], urls["half"], urls["lacking"], urls["whole"]])
    items = fetch(source, tmp_path)
    assert names(tmp_path / "Tiny" / "raw") == ALL
    assert {item.origin for item in items} == {urls["whole"]}
    monkeypatch.setattr(sources, "archives", lambda _: [urls["none"], urls["half"], urls["lacking"]])
    with pytest.raises(UserError) as caught:
        fetch(source, tmp_path / "two")
    for answer in ("404", "a damaged zip archive", f"the archive lacks {TEST_LABELS}.gz"):
        assert answer in str(caught.value)
    assert names(tmp_path / "two" / "Tiny" / "raw") == set()
    (tmp_path / "gzip.zip").write_bytes(whole)
    fetch_from(source, tmp_path / "gzip.zip", tmp_path / "three")
    assert names(tmp_path / "three" / "Tiny" / "raw") == ALL


def test_from_an_archive_with_something_wrong_nothing_is_copied(tmp_path: Path, member: Member) -> None:
    member.packed[TEST_LABELS] = member.packed[TEST_LABELS][:-1]
    path = tmp_path / "gzip.zip"
    path.write_bytes(archive(member))
    with pytest.raises(UserError) as caught:
        fetch_from(member.source, path, tmp_path / "here")
    assert str(caught.value).startswith(f"{path}: {TEST_LABELS}.gz: a truncated gzip file")
    assert names(tmp_path / "here" / "Tiny" / "raw") == set()


def test_load_downloads_only_when_asked_and_only_what_is_not_found(
    tmp_path: Path, member: Member, server: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setattr(finding, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(sources, "FAMILY", (replace(member.source, name="mnist"),))
    monkeypatch.setattr(sources, "mirrors", lambda _: [server.url("missing"), server.url("good")])
    with pytest.raises(NotFoundError, match="was not found"):
        load("mnist")
    assert server.requests == []
    assert load("mnist", download=True).source == str(tmp_path / "cache" / "Tiny" / "raw")
    asked = len(server.requests)
    assert load("mnist", download=True).source == load("mnist").source
    assert len(server.requests) == asked
    (tmp_path / "cache" / "Tiny" / "raw" / f"{TEST_LABELS}.gz").unlink()
    assert load("mnist", download=True).unverified == ()
    assert server.asked("good")[-1] == f"{TEST_LABELS}.gz"
    flat = member.write(tmp_path / "flat", packed=True)
    (flat / f"{TEST_LABELS}.gz").unlink()
    assert load("mnist", flat, download=True).source == str(flat / "Tiny" / "raw")
    assert load("mnist", tmp_path / "named", download=True).source == str(tmp_path / "named" / "Tiny" / "raw")


def test_the_family_has_mirrors_and_only_emnist_an_archive() -> None:
    for member in sources.FAMILY:
        mirrors, archives = sources.mirrors(member), sources.archives(member)
        assert bool(mirrors) != bool(archives)
        assert bool(archives) == (member.name == "emnist-digits")
        assert all(url.startswith("http") and url.endswith("/") for url in mirrors)
        assert all(url.startswith("http") and url.endswith("/gzip.zip") for url in archives)
    assert len(sources.mirrors(sources.MNIST)) == 3
