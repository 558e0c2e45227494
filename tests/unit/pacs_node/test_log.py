from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from datetime import datetime

import pytest

from pacs_node import log

LIBRARIES = ("pynetdicom", "pydicom", "highdicom", "kombu", "celery", "amqp", "alembic", "sqlalchemy")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    names = ("pulmonode", *LIBRARIES)
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in names}
    yield
    logging.getLogger("pulmonode").handlers = []
    for name, (level, propagate) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).propagate = propagate


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_line_with_time_level_and_name(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info")
    log.event("job_failed", level=logging.ERROR, job_id=17, code="series.gap", duration_s=1.5)
    (line,) = _lines(capsys)
    at = datetime.fromisoformat(str(line.pop("at")))
    assert at.tzinfo is not None
    assert line == {"level": "error", "event": "job_failed", "job_id": 17, "code": "series.gap", "duration_s": 1.5}


def test_a_value_cannot_break_out_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO")
    log.event("rejected", calling_ae_title='A"\n{"event": "forged"}')
    (line,) = _lines(capsys)
    assert line["calling_ae_title"] == 'A"\n{"event": "forged"}'


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("WARNING")
    log.event("quiet")
    assert _lines(capsys) == []


def test_an_unlisted_key_is_an_error_in_tests() -> None:
    with pytest.raises(KeyError, match="patient_name"):
        log.event("stored", patient_name="CANARY")


def test_an_unlisted_key_is_dropped_in_production(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "STRICT", False)
    log.configure("DEBUG")
    log.event("stored", patient_name="CANARY", instances=3)
    (line,) = _lines(capsys)
    assert line["instances"] == 3
    assert "CANARY" not in json.dumps(line)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_libraries_say_nothing_at_any_level(library: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("DEBUG")
    logging.getLogger(library).critical("CANARY")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("word", ["name", "birth", "patient", "uid", "path", "file", "text", "message"])
def test_no_key_invites_patient_data(word: str) -> None:
    assert [key for key in log.KEYS if word in key.split("_")] == []


def test_what_libraries_warn_of_is_not_said() -> None:
    """They quote the values that they do not like."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log.configure("DEBUG")
        warnings.warn("Invalid value for VR PN: 'CANARY^PATIENT'", stacklevel=1)
