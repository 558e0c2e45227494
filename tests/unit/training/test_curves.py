"""Curves lie in a table that a resumed run goes on with, and in a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from training.curves import CurveWriter, draw
from training.loop import Moment


def _moment(step: int, loss: float, figures: dict[str, float] | None = None) -> Moment:
    return Moment(step=step, phase="only", losses={"loss": loss}, figures=figures or {})


def _rows(path: Path) -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file))


def test_a_row_is_the_mean_of_ten_steps_and_a_validation_has_its_own(tmp_path: Path) -> None:
    writer = CurveWriter(tmp_path / "curves.csv", 0)
    for step in range(1, 21):
        writer(_moment(step, float(step), {"dice": 0.5} if step == 5 else None))
    assert _rows(tmp_path / "curves.csv") == [
        ["step", "phase", "what", "value"],
        ["5", "only", "validation dice", "0.5"],
        ["10", "only", "loss", "5.5"],
        ["20", "only", "loss", "15.5"],
    ]


def test_rows_of_steps_that_are_done_again_are_dropped(tmp_path: Path) -> None:
    writer = CurveWriter(tmp_path / "curves.csv", 0)
    for step in range(1, 31):
        writer(_moment(step, 1.0))
    CurveWriter(tmp_path / "curves.csv", 17)
    assert [row[0] for row in _rows(tmp_path / "curves.csv")] == ["step", "10"]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    writer = CurveWriter(tmp_path / "curves.csv", 0)
    for step in range(1, 31):
        writer(_moment(step, 1 / step, {"dice": step / 30} if step % 10 == 0 else None))
    draw(tmp_path / "curves.csv", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
