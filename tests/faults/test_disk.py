"""Promise 5: a disk that runs full refuses instances, loses none, and is received on again when there is room.

The disk is a small file system of its own in memory, and the process that receives has all of its data there.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pacs_node.dimse.requestor import Requestor
from tests.support.instances import an_instance, encoded
from tests.support.nodes import eventually
from tests.support.peers import sent
from tests.support.serving import ServingNode, serving_node
from tests.support.wire import Wire

PROPOSED = [(str(CTImageStorage), [str(ExplicitVRLittleEndian)])]
MEBIBYTE = 1 << 20
DISK_BYTES = 24 * MEBIBYTE
FULL, TOO_LARGE = 0xA700, 0xC001


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty disk of 24 MiB."""
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def room(disk: Path) -> Iterator[Room]:
    """The rest of the disk, all of it free at the end."""
    held = Room(disk)
    yield held
    held.leave(DISK_BYTES)


class Room:
    """What a file of somebody else leaves free on the disk."""

    def __init__(self, disk: Path) -> None:
        self._disk, self._file = disk, disk / "somebody-else"

    @property
    def free_bytes(self) -> int:
        """What is free now."""
        seen = os.statvfs(self._disk)
        return seen.f_bavail * seen.f_frsize

    def leave(self, count: int) -> None:
        """Leave so many bytes, at most what nobody else holds."""
        self._file.write_bytes(b"")
        with self._file.open("wb", buffering=0) as file:
            while (extra := min(self.free_bytes - count, MEBIBYTE)) > 0:
                file.write(bytes(extra))


@pytest.fixture(scope="module")
def node(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingNode]:
    """A node with its data on the disk, and a limit for instances that is below its size."""
    limits = {"minimum_free_bytes": 2 * MEBIBYTE, "maximum_instance_bytes": 12 * MEBIBYTE}
    with serving_node(tmp_path_factory.mktemp("node"), data=disk / "data", **limits) as running:
        yield running


def a_large_instance(mebibytes: int) -> Dataset:
    """One that no file system could store as holes."""
    return an_instance(PixelData=Random(mebibytes).randbytes(mebibytes * MEBIBYTE))


def indexed(node: ServingNode) -> set[str]:
    """The instances that the database knows."""
    with closing(sqlite3.connect(f"file:{node.data / 'pulmonode.sqlite'}?mode=ro", uri=True)) as connection:
        return {uid for (uid,) in connection.execute("SELECT sop_instance_uid FROM instance")}


def test_below_the_watermark_nothing_is_taken_until_there_is_room(node: ServingNode, room: Room) -> None:
    dataset, before = an_instance(), len(node.stored())
    with Requestor(node.peer, "CT1", PROPOSED, 30) as association:
        room.leave(MEBIBYTE)
        assert [sent(association, dataset) for _ in range(2)] == [FULL, FULL]
        assert node.echo_s() < 10
        room.leave(8 * MEBIBYTE)
        assert sent(association, dataset) == 0
    assert len(node.stored()) == before + 1
    assert node.events("instance_refused")[-1]["code"] == "storage.full"


def test_a_disk_that_fills_in_the_middle_gives_the_room_back_at_once(node: ServingNode, room: Room) -> None:
    dataset, before = a_large_instance(8), node.stored()
    room.leave(5 * MEBIBYTE)
    with Wire(node.peer) as wire:
        pdus = wire.store(dataset, encoded(dataset))
        wire.send(*pdus[:-10])
        eventually(lambda: node.drafts() == [] and room.free_bytes > 4 * MEBIBYTE)
        wire.send(*pdus[-10:])
        assert wire.status() == FULL
        wire.send(*wire.store(small := an_instance(), encoded(small)))
        assert wire.status() == 0
        room.leave(12 * MEBIBYTE)
        wire.send(*pdus)
        assert wire.status() == 0
    stored = set(node.stored()) - set(before)
    assert sorted(path.stat().st_size // MEBIBYTE for path in stored) == [0, 8]
    for path in stored:
        path.unlink()


def test_a_disk_without_a_byte_stops_neither_the_process_nor_the_index(node: ServingNode, room: Room) -> None:
    """What was acknowledged before the last byte went is in the index as soon as there is room again."""
    acknowledged = [an_instance() for _ in range(21)]
    with Requestor(node.peer, "CT1", PROPOSED, 30) as association:
        assert [sent(association, dataset) for dataset in acknowledged[:20]] == [0] * 20
        room.leave(0)
        assert sent(association, an_instance()) == FULL
        assert node.echo_s() < 10
        room.leave(8 * MEBIBYTE)
        assert sent(association, acknowledged[20]) == 0
    eventually(lambda: {str(dataset.SOPInstanceUID) for dataset in acknowledged} <= indexed(node))


def test_an_instance_beyond_the_maximum_never_fills_the_disk(node: ServingNode, room: Room) -> None:
    before = room.free_bytes
    with Wire(node.peer) as wire:
        dataset = a_large_instance(13)
        pdus = wire.store(dataset, encoded(dataset))
        wire.send(*pdus[:-10])
        eventually(lambda: node.drafts() == [])
        wire.send(*pdus[-10:])
        assert wire.status() == TOO_LARGE
    assert before - room.free_bytes < MEBIBYTE
