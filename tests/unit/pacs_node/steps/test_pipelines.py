"""What rules may choose, seen in a model repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.registry import ModelRepository
from pacs_node.domain.rule import Rule
from pacs_node.errors import ConfigInvalid
from pacs_node.steps.pipelines import check_rules
from tests.support.systems import five_systems


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelRepository:
    """Five systems."""
    return ModelRepository(five_systems(tmp_path_factory.mktemp("models")))


def test_every_system_is_a_pipeline(models: ModelRepository) -> None:
    systems = ("jnsc", "hr_mpf", "mt_net", "detection_guided", "dsnet")
    pipelines = check_rules(models, [Rule(name=system, pipeline=system) for system in systems])
    assert [pipeline.name for pipeline in pipelines] == list(systems)
    assert {pipeline.detector.model for pipeline in pipelines} == {"jnsc"}
    assert [len(pipeline.segmentation) for pipeline in pipelines] == [0, 1, 2, 1, 1]
    assert [len(pipeline.malignancy) for pipeline in pipelines] == [0, 1, 2, 1, 0]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(name="chest", pipeline="unet"), "rule chest: there is no system 'unet' for segmentation; there are: det"),
        (Rule(name="chest", malignancy="dsnet"), "rule chest: there is no system 'dsnet' for malignancy; there are: d"),
    ],
)
def test_a_rule_that_chooses_what_there_is_not_is_a_fault_of_the_configuration(
    models: ModelRepository, rule: Rule, message: str
) -> None:
    with pytest.raises(ConfigInvalid, match=message):
        check_rules(models, [Rule(name="good"), rule])


def test_without_any_model_no_rule_can_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no model for detection"):
        check_rules(ModelRepository(tmp_path), [Rule(name="chest")])
