"""What a refusal of Triton means, and whether to ask again. Pure tables; called from `inference.triton.client`."""

from __future__ import annotations

from inference.errors import (
    InferenceError,
    InputRefused,
    ModelNotFound,
    PredictorBroken,
    PredictorTimeout,
    PredictorUnavailable,
)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0

# As seen with Triton 2.51. INTERNAL: the model failed, or its process died, which Triton never starts again.
_BY_STATUS: dict[str, type[InferenceError]] = {
    "INVALID_ARGUMENT": InputRefused,
    "RESOURCE_EXHAUSTED": InputRefused,
    "UNIMPLEMENTED": InputRefused,
    "NOT_FOUND": ModelNotFound,
    "DEADLINE_EXCEEDED": PredictorTimeout,
    "INTERNAL": PredictorBroken,
}


def error_of(status: str, text: str) -> InferenceError:
    """Our error for a gRPC status.

    Parameters
    ----------
    status : name of the status, with or without "StatusCode."
    text : what the server says; only its first line is kept, the others are a traceback

    Returns
    -------
    PredictorUnavailable for every status that names no other cause: no connection, a full queue, a model being loaded
    """
    name = status.removeprefix("StatusCode.")
    kind = _BY_STATUS.get(name, PredictorUnavailable)
    if name == "UNAVAILABLE" and "restricted" in text:  # a closed part of the API, not a lost connection
        kind = InputRefused
    return kind(f"Triton: {(text or name).splitlines()[0]}")


def pause_s(error: InferenceError, attempt: int, attempts: int, draw: float) -> float | None:
    """How long to wait before asking again.

    Parameters
    ----------
    error : why attempt number `attempt` (from 1) failed
    attempts : how many there may be
    draw : random number in [0, 1), so that many clients do not come back at once

    Returns
    -------
    seconds, doubling from `FIRST_PAUSE_S` up to `LONGEST_PAUSE_S`, less up to a half; None to give up: at once if the
    error will not pass by asking again, after the second deadline, or when the attempts are used up
    """
    last = min(attempts, 2) if isinstance(error, PredictorTimeout) else attempts
    if not error.retryable or isinstance(error, PredictorBroken) or attempt >= last:
        return None
    return float(min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S) * (1 - draw / 2))
