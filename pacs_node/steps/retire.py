"""Jobs that were planned with a version that is served no longer: their study is planned again, with what is active.

A version stays served while it is active and while it is the one before, so this takes two promotions or a long queue.
Called from `steps.analyse`.
"""

from __future__ import annotations

from inference.errors import InferenceError
from inference.registry import ModelRepository
from pacs_node.archive import records
from pacs_node.errors import ModelRetired, NodeError


def check_served(models: ModelRepository, job: records.Job) -> None:
    """See that servers of the repository serve every version that a job names.

    Raises
    ------
    ModelRetired, ContractInvalid
    """
    for model in job.models:
        if model.version not in models.served_versions(model.name):
            raise ModelRetired(f"{model.name} version {model.version} is no longer served; the study is planned again")


def cause_of(
    error: InferenceError | NodeError, models: ModelRepository, job: records.Job
) -> InferenceError | NodeError:
    """Why a job failed: if a version was retired under it, because of that, whatever the server said."""
    try:
        check_served(models, job)
    except ModelRetired as retired:
        return retired
    except InferenceError:
        return error
    return error
