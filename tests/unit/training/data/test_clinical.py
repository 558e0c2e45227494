"""Slices around nodules, and the clinical set that nobody is pre-trained on."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.torch_networks import a_nodule
from tests.support.torch_nodules import NoduleSources
from training.data import clinical, splits
from training.data.clinical import (
    NOISE_HU,
    PATIENTS,
    Look,
    Parting,
    clinical_patients,
    clinical_set,
    looking,
    nodules_of,
    samples_with_presence,
    slices_around,
    without_clinical,
)
from training.data.luna16 import EDGE, Nodule
from training.errors import DataLacking

TABLE = Path(__file__).parents[4] / "../shared/data/luna16_nodules/nodules.csv"


def heights(nodule: Nodule, drawn: int | None, empty: int | None) -> list[int]:
    return [int(one.case_id.rpartition(":")[2]) for one in slices_around(nodule, drawn=drawn, empty=empty)]


def test_all_slices_of_a_nodule_come_with_as_many_empty_ones_on_either_side() -> None:
    """A ball of radius 2 around slice 25 spans 23..27; 22 and 28 are left out."""
    found = heights(a_nodule(radius=2), None, None)
    assert found[0] == 25, "the largest one"
    assert sorted(found[:5]) == [23, 24, 25, 26, 27]
    assert sorted(found[5:]) == [19, 20, 21, 29, 30]


def test_a_few_slices_are_spread_evenly_around_the_largest() -> None:
    """Radius 4 spans 21..29; of the eight others, those at a quarter and at three quarters."""
    assert heights(a_nodule(radius=4), 3, 2) == [25, 23, 28, 19, 31]
    assert heights(a_nodule(radius=4), 1, 0) == [25]


def test_slices_that_show_another_nodule_are_not_empty() -> None:
    nodule = a_nodule(radius=2)
    others = np.zeros((EDGE,) * 3, bool)
    others[21, 5, 5] = True
    assert heights(dataclasses.replace(nodule, others=others), 1, 2) == [25, 29, 20]


def test_presence_and_malignancy_follow_from_the_mask() -> None:
    samples = samples_with_presence(slices_around(a_nodule(radius=4, ratings=(5, 5, 4)), drawn=1, empty=1))
    assert samples.masks_NJI.any(axis=(1, 2)).tolist() == [True, False]
    assert samples.malignant_N[0] == 1 and np.isnan(samples.malignant_N[1])


def test_clinical_patients_have_many_nodules_and_are_not_pre_trained_on() -> None:
    sources = NoduleSources(train=5, validation=2)
    train = nodules_of(sources.nodules, sources.luna16_split.train)
    patients = clinical_patients(train)
    assert sorted(patients) == [f"clinical-{n}" for n in range(PATIENTS)]
    assert {nodule.patient_id for nodule in without_clinical(train)} == {f"train-{n}" for n in range(5)}


def test_clinical_patients_are_on_one_side_unless_the_paper_is_followed() -> None:
    """28 lesions: 11/56 of them are 5.5, so two patients of four lesions each, or six lesions, are tested on."""
    nodules = NoduleSources(train=0, validation=0).nodules
    by_patient, as_printed = (clinical_set(nodules, parting) for parting in Parting)
    sides = [{nodule.patient_id for nodule in side} for side in (by_patient.train, by_patient.test)]
    assert not sides[0] & sides[1] and len(sides[1]) == 2
    assert len(by_patient.test) == 8 and len(by_patient.train) == 20
    assert len(as_printed.test) == 6 and len(as_printed.train) == 22
    leaked = {nodule.patient_id for nodule in as_printed.train} & {nodule.patient_id for nodule in as_printed.test}
    assert leaked


def test_too_few_patients_with_many_nodules_are_an_error_that_says_what_is_needed() -> None:
    one = [dataclasses.replace(a_nodule("P1"), nodule_id=f"P1:{number}") for number in range(8)]
    for parting in Parting:
        with pytest.raises(DataLacking, match="needs 2 training patients with 4 nodules or more, there are 1"):
            clinical_set(one, parting)


def test_the_synthetic_look_is_noisier_and_the_same_each_time() -> None:
    slices = slices_around(a_nodule(radius=4), drawn=1, empty=0)
    (one,), (again,), (same,) = (
        looking(slices, Look.LOW_DOSE_SHARP),
        looking(slices, Look.LOW_DOSE_SHARP),
        looking(slices, Look.AS_SCANNED),
    )
    assert np.array_equal(one.image_hu, again.image_hu)
    assert same is slices[0]
    assert np.array_equal(one.readers_RJI, slices[0].readers_RJI)
    difference = (one.image_hu.astype(float) - slices[0].image_hu)[:12, :12]
    assert difference.std() == pytest.approx(NOISE_HU, rel=0.25), "noise, and a little sharpening of the noise before"


@pytest.mark.data
@pytest.mark.skipif(not TABLE.is_file(), reason="../shared/data is not there")
def test_the_clinical_set_is_about_as_large_as_the_papers() -> None:
    """41 lesions of 7 patients where the paper has 56; only the table is read."""
    ball, split = a_nodule(), splits.load(Path(clinical.__file__).parent / "luna16_split.json")
    rows = csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines())
    nodules = [
        dataclasses.replace(ball, patient_id=row["patient_id"], nodule_id=f"{row['file']}:{row['index']}")
        for row in rows
    ]
    lesions = clinical_set(nodules_of(nodules, split.train), Parting.BY_PATIENT)
    assert (len(lesions.train), len(lesions.test)) == (29, 12)
    assert len({lesion.patient_id for lesion in lesions.test}) == 2
