"""What a step makes of an exception.

A step is the last place that knows its row: whatever goes wrong while it acts has to be recorded there, or the row
would be tried again for ever without a trace.
"""

from __future__ import annotations

from inference.errors import InferenceError
from pacs_node.errors import DatabaseUnavailable, NodeError, UnexpectedFailure


def failure_of(error: Exception) -> InferenceError | NodeError:
    """The error to be recorded; of an unexpected one only its kind, since its text may hold patient data.

    Raises
    ------
    DatabaseUnavailable : nothing can be recorded now; the lease will run out
    """
    if isinstance(error, DatabaseUnavailable):
        raise error
    if isinstance(error, InferenceError | NodeError):
        return error
    return UnexpectedFailure(f"an unexpected {type(error).__name__} in {_place(error)}; please report it")


def _place(error: Exception) -> str:
    """Module and line of our own code that the exception passed last."""
    place, step = "the node", error.__traceback__
    while step is not None:
        module = step.tb_frame.f_globals.get("__name__", "")
        if module.startswith(("pacs_node.", "inference.")):
            place = f"{module}, line {step.tb_lineno}"
        step = step.tb_next
    return place
