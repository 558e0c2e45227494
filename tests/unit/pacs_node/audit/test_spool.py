from __future__ import annotations

import multiprocessing
import resource
import stat
from pathlib import Path

import pytest

from pacs_node.audit.spool import Position, Spool


def a_spool(folder: Path, *, keep_bytes: int = 10_000, file_bytes: int = 1000) -> Spool:
    return Spool(folder, keep_bytes=keep_bytes, file_bytes=file_bytes)


def everything(spool: Spool, position: Position = Position(), most: int = 7) -> list[str]:  # noqa: B008 - frozen
    found: list[str] = []
    while lines := spool.read(position, most):
        found += [line for line, _ in lines]
        position = lines[-1][1]
    return found


def test_lines_come_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "new")
    for number in range(50):
        spool.append([f"{number:030}a", f"{number:030}b"])
    assert len(list((tmp_path / "new").glob("*.jsonl"))) == 4
    assert everything(spool) == [f"{number:030}{end}" for number in range(50) for end in "ab"]


def test_reading_goes_on_where_it_ended(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append(["one", "two"])
    [_, (line, position)] = spool.read(spool.sent())
    assert (line, spool.read(position)) == ("two", [])
    spool.save_sent(position)
    spool.append(["three"])
    assert everything(spool, a_spool(tmp_path).sent()) == ["three"]


def test_the_oldest_files_are_removed_and_what_is_sent_goes_on_after_them(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, keep_bytes=3000)
    spool.append(["first"])
    [(_, position)] = spool.read(Position())
    for number in range(100):
        spool.append([f"{number:099}"])
    sizes = [path.stat().st_size for path in tmp_path.glob("*.jsonl")]
    assert sum(sizes) <= 3000 + 1100
    left = everything(spool, position)
    assert left == [f"{number:099}" for number in range(100 - len(left), 100)]
    assert len(left) > 20


def test_a_line_that_a_dead_process_left_half_spoils_no_other(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append(["one"])
    with next(tmp_path.glob("*.jsonl")).open("ab") as file:
        file.write(b'{"half')
    assert everything(spool) == ["one"]
    spool.append(["two"])
    assert everything(spool) == ["one", '{"half', "two"]


def test_lines_that_found_no_room_leave_nothing_behind_and_come_once(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append(["first"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))  # room for one and a half of these
    try:
        with pytest.raises(OSError, match="large"):
            spool.append(["a line of 20 letters", "and another one of 20"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert everything(spool) == ["first"]
    spool.append(["a line of 20 letters", "and another one of 20"])
    assert everything(spool) == ["first", "a line of 20 letters", "and another one of 20"]


def test_a_position_that_cannot_be_read_means_from_the_start(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append(["one"])
    (tmp_path / "sent").write_text("junk")
    assert everything(spool, spool.sent()) == ["one"]


def test_only_one_sends(tmp_path: Path) -> None:
    with a_spool(tmp_path).sender() as first, a_spool(tmp_path).sender() as second:
        assert (first, second) == (True, False)
    with a_spool(tmp_path).sender() as again:
        assert again


def test_only_the_node_may_read_the_trail(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append(["one"])
    spool.save_sent(Position(1, 4))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def _append(folder: Path, name: str) -> None:
    for number in range(100):
        a_spool(folder, keep_bytes=1_000_000).append([f"{name}{number:020}"] * 3)


def test_several_processes_append_without_losing_or_tearing_a_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append, args=(tmp_path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    lines = everything(a_spool(tmp_path))
    for name in "ab":
        expected = [f"{name}{number:020}" for number in range(100) for _ in range(3)]
        assert [line for line in lines if line.startswith(name)] == expected
    assert len(lines) == 600


@pytest.mark.parametrize("number", [1, 3])
def test_not_more_is_read_than_asked_for(tmp_path: Path, number: int) -> None:
    spool = a_spool(tmp_path)
    spool.append(["line"] * 5)
    assert len(spool.read(Position(), number)) == number
