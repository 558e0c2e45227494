"""The pipeline that a rule chooses, and the one that a job was planned with.

Called from the steps, from `processes` at the start and in the doctor, and from the command line.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.errors import InferenceError
from inference.pipeline import Pipeline
from inference.registry import ModelRepository
from inference.systems import Choice, assembled, restored
from pacs_node.archive.records import Job, NewJob
from pacs_node.domain.rule import Rule
from pacs_node.errors import ConfigInvalid


def pipeline_chosen(models: ModelRepository, rule: Rule) -> Pipeline:
    """The pipeline of a rule, with the active versions of its models.

    Raises
    ------
    ModelNotFound, ContractInvalid
    """
    choice = Choice(pipeline=rule.pipeline, segmentation=rule.segmentation, malignancy=rule.malignancy)
    return assembled(choice, models.active())


def pipeline_of(models: ModelRepository, job: Job | NewJob) -> Pipeline:
    """The pipeline with the very model versions that the job names.

    Raises
    ------
    ModelNotFound, ContractInvalid
    """
    return restored(job.pipeline, job.models, models.contract)


def check_rules(models: ModelRepository, rules: Sequence[Rule]) -> tuple[Pipeline, ...]:
    """The pipelines of all rules.

    Raises
    ------
    ConfigInvalid : a rule chooses what is not in the repository; the message says what is
    """
    pipelines = []
    for rule in rules:
        try:
            pipelines.append(pipeline_chosen(models, rule))
        except InferenceError as error:
            raise ConfigInvalid(f"rule {rule.name}: {error}") from error
    return tuple(pipelines)
