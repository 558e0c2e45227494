"""The node's log: one JSON object per line on standard error, no patient data by construction.

`event(name, key=value)`: the name is a constant, the keys come from the list below; values are ids, counts, durations,
codes and AE titles. A key that is not listed is dropped in production, an error in tests (`STRICT`). UIDs, paths and
texts of third-party exceptions have no key, so they cannot be logged.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from datetime import UTC, datetime

KEYS = frozenset(
    {
        "address",
        "advice",
        "association_id",
        "associations",
        "attempt",
        "bytes",
        "called_ae_title",
        "calling_ae_title",
        "candidates",
        "code",
        "commitment_id",
        "count",
        "delivery_id",
        "destination",
        "document",
        "duration_s",
        "event",
        "exit_code",
        "findings",
        "instances",
        "job_id",
        "mode",
        "model",
        "next_s",
        "outcome",
        "pid",
        "pipeline",
        "port",
        "process",
        "refused_hash",
        "rule",
        "signal",
        "stage",
        "state",
        "status",
        "step",
        "stored_hash",
        "study_id",
        "verdict",
        "version",
    }
)

STRICT = False
"""Set by the tests: an unlisted key raises instead of being dropped."""

_logger = logging.getLogger("pulmonode")


def event(name: str, *, level: int = logging.INFO, **values: object) -> None:
    """Log one event.

    Parameters
    ----------
    name : a constant such as "job_failed"
    level : of `logging`
    values : only keys of `KEYS`
    """
    unknown = values.keys() - KEYS
    if unknown and STRICT:
        raise KeyError(f"not on the log's list: {sorted(unknown)}")
    if _logger.isEnabledFor(level):
        kept = {key: value for key, value in values.items() if key not in unknown}
        _logger.log(level, json.dumps({"event": name, **kept}, default=str))


def configure(level: str) -> None:
    """Send the log to standard error from `level` on, and silence the libraries, which may log patient data.

    Their warnings, too, which quote the values that they do not like.
    """
    warnings.simplefilter("ignore")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    _logger.handlers = [handler]
    _logger.setLevel(level.upper())
    _logger.propagate = False
    _logger.disabled = False  # a library that sets up its own log may have switched all others off
    for library in ("pynetdicom", "pydicom", "highdicom", "kombu", "celery", "amqp", "alembic", "sqlalchemy"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return f'{{"at": "{at}", "level": "{record.levelname.lower()}", ' + record.getMessage().removeprefix("{")
