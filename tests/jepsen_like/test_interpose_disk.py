"""The model of a power cut: what it keeps always, what it may lose, and what it never makes up."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import pytest

from jepsen_like.interpose.disk import Disk, NotModelled, Survival, read_journal
from jepsen_like.interpose.image import Image

SEEDS = range(200)
DATABASE = Image({"db": b"a" * 2048})


def record(kind: str, handle: int = 0, number: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack("<IBIQ", len(payload), ord(kind), handle, number) + payload


def opened(handle: int, path: str, *, created: bool = False) -> bytes:
    return record("O", handle, int(created), path.encode())


def synced(handle: int, ticket: int) -> bytes:
    return record("S", handle, ticket) + record("D", handle, ticket)


def left(image: Image, journal: bytes, survival: Survival = Survival.ANY) -> list[Image]:
    """What cuts after `journal` leave, one for each seed."""

    def cut(seed: int) -> Image:
        disk = Disk(image)
        disk.replay(read_journal(journal))
        return disk.after_power_loss(Random(seed), survival, Image())

    return [cut(seed) for seed in SEEDS]


def test_what_was_synced_stays_and_what_was_not_may_be_lost() -> None:
    journal = opened(1, "db") + record("W", 1, 0, b"b" * 512) + synced(1, 1)
    journal += record("W", 1, 512, b"c" * 512)
    contents = {image.files["db"] for image in left(DATABASE, journal)}
    assert all(content[:512] == b"b" * 512 for content in contents)
    assert all(content[1024:] == b"a" * 1024 for content in contents)
    pieces = {content[512:1024] for content in contents}
    assert {b"a" * 512, b"c" * 512} < pieces, "neither lost, kept nor torn"


def test_a_sync_promises_only_what_was_written_before_it_began() -> None:
    write = record("W", 1, 0, b"b" * 512)
    unfinished = opened(1, "db") + write + record("S", 1, 1)
    overlapping = opened(1, "db") + record("S", 1, 1) + write + record("D", 1, 1)
    for journal in (unfinished, overlapping):
        assert left(DATABASE, journal, Survival.NOTHING)[0] == DATABASE


def test_what_a_failed_sync_was_to_write_is_lost_whatever_is_synced_later() -> None:
    journal = opened(1, "db") + record("W", 1, 0, b"b" * 512) + record("E", 1)
    journal += record("W", 1, 512, b"c" * 512) + synced(1, 1)
    for survival in (Survival.NOTHING, Survival.PREFIX, Survival.PIECES):
        contents = {image.files["db"] for image in left(DATABASE, journal, survival)}
        assert contents == {b"a" * 512 + b"c" * 512 + b"a" * 1024}


def test_any_pieces_of_what_was_written_later_may_arrive() -> None:
    journal = opened(1, "db") + record("W", 1, 0, b"b" * 2048)
    seen = {image.files["db"] for image in left(DATABASE, journal, Survival.PIECES)}
    later_without_earlier = b"a" * 512 + b"b" * 512
    assert any(content.startswith(later_without_earlier) for content in seen)
    torn = [c for c in seen if any(0 < c[i : i + 512].count(b"a") < 512 for i in (0, 512, 1024))]
    assert torn


def test_a_prefix_has_no_gap() -> None:
    writes = b"".join(record("W", 1, i * 512, b"b" * 512) for i in range(4))
    for image in left(DATABASE, opened(1, "db") + writes, Survival.PREFIX):
        content = image.files["db"]
        assert content == b"b" * content.count(b"b") + b"a" * content.count(b"a")


def test_a_write_that_survives_was_made_to_the_truncated_file() -> None:
    journal = opened(1, "db") + record("T", 1, 0) + record("W", 1, 0, b"b" * 512)
    for image in left(DATABASE, journal):
        content = image.files["db"]
        assert not (b"a" in content and b"b" in content), "what was cut off has come back"


def test_the_length_may_arrive_without_the_data() -> None:
    journal = opened(1, "new", created=True) + synced(1, 1) + record("W", 1, 0, b"b" * 512)
    files = [image.files for image in left(Image(), journal + opened(2, "") + synced(2, 2))]
    assert any(f["new"] and not f["new"].strip(b"\0") for f in files)


def test_a_name_is_durable_when_its_directory_was_synced() -> None:
    made = opened(1, "new", created=True) + record("W", 1, 0, b"b") + synced(1, 1)
    assert {"new" in image.files for image in left(Image(), made)} == {True, False}
    made += opened(2, "") + synced(2, 2)
    assert all(image.files["new"] == b"b" for image in left(Image(), made))
    gone = made + record("U", payload=b"new")
    assert {"new" in image.files for image in left(Image(), gone)} == {True, False}


def test_names_of_one_directory_change_in_order() -> None:
    before = Image({"old": b"o"})
    journal = opened(1, "new", created=True) + record("U", payload=b"old")
    seen = {frozenset(image.files) for image in left(before, journal)}
    assert seen == {frozenset({"old"}), frozenset({"old", "new"}), frozenset({"new"})}
    moved = record("R", payload=b"old\0new")
    assert {frozenset(i.files) for i in left(before, moved)} == {
        frozenset({"old"}),
        frozenset({"new"}),
    }


def test_a_directory_that_was_lost_takes_its_files_along() -> None:
    journal = record("M", payload=b"d") + opened(1, "d/f", created=True)
    journal += opened(2, "d") + synced(2, 1)
    seen = {(frozenset(i.files), i.directories) for i in left(Image(), journal)}
    assert seen == {(frozenset(), frozenset()), (frozenset({"d/f"}), frozenset({"d"}))}


def test_a_mapped_file_is_any_mixture_of_its_pages() -> None:
    before = Image({"db-shm": b"a" * 8192})
    after = Image({"db-shm": b"b" * 8192})
    seen = set()
    for seed in SEEDS:
        disk = Disk(before)
        disk.replay(read_journal(opened(1, "db-shm") + record("P", 1)))
        content = disk.after_power_loss(Random(seed), Survival.ANY, after).files["db-shm"]
        seen.add((content[0:1], content[4096:4097]))
    assert len(seen) == 4


def test_a_record_that_was_cut_off_did_not_happen() -> None:
    whole = opened(1, "db") + record("W", 1, 0, b"b" * 512)
    assert [r.kind for r in read_journal(whole)] == ["O", "W"]
    for cut in (1, 511, 512, 520):
        assert [r.kind for r in read_journal(whole[:-cut])] == ["O"]


def test_a_directory_whose_sync_failed_promises_nothing() -> None:
    journal = opened(1, "new", created=True) + opened(2, "") + record("E", 2)
    assert {"new" in image.files for image in left(Image(), journal)} == {True, False}
    assert all("new" in image.files for image in left(Image(), journal + synced(2, 1)))


def test_a_tree_becomes_its_image_and_keeps_its_modes(tmp_path: Path) -> None:
    image = Image({"d/kept": b"new", "made": b"m"}, frozenset({"d", "new"}))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "kept").write_bytes(b"old")
    (tmp_path / "d" / "kept").chmod(0o640)
    (tmp_path / "gone" / "deep").mkdir(parents=True)
    (tmp_path / "gone" / "deep" / "file").write_bytes(b"x")
    (tmp_path / "made").mkdir()  # a directory where a file is to be
    (tmp_path / "new").write_bytes(b"a file where a directory is to be")
    tmp_path.chmod(0o700)
    image.write_to(tmp_path)
    assert Image.of(tmp_path) == image
    assert (tmp_path / "d" / "kept").stat().st_mode & 0o777 == 0o640
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_what_is_not_modelled_is_refused() -> None:
    with pytest.raises(NotModelled, match="fallocate"):
        left(DATABASE, record("X", payload=b"fallocate"))
