"""OHIF in Chromium shows what the node answered: outlines and axes where they belong, values as in the report.

The way of a study with everything real: node, Orthanc with DICOMweb, the built OHIF, a browser. All studies are opened
once for the whole module, and the tests look at what was on the screen. `SCREENSHOTS=FOLDER` keeps the pictures;
`.ci/run` keeps them in `.screenshots`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_node.archive.queries.machine import DELIVERIES
from pacs_node.config import Destination
from pacs_node.dimse import scu
from tests.support.ct_instances import uid
from tests.support.nodes import RunningNode, eventually, running_node
from tests.support.ohif import (
    BoolArray,
    FloatArray,
    Shown,
    Visit,
    dice,
    lps_from_scoord,
    projected,
    shown,
    visited,
)
from tests.support.peers import Orthanc, orthanc
from tests.support.series import Ball, a_series, chest_hu

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]

BALLS = (
    Ball(centre_lps=(70, 10, 6), diameter_mm=14),
    Ball(centre_lps=(-60, -20, -6), diameter_mm=10),
    Ball(centre_lps=(55, 40, 0), diameter_mm=12),
)
"""None is where another would be if the picture were mirrored; and the matrix is not square."""
SLICES, SPACING_MM = 30, 3.0
FILMED = (0, *range(10, 20))
"""Slices from the head of which pictures are taken: one far from the balls, theirs and one on either side."""
PLAIN, NEGATIVE, SHORT, TRACKED = "plain", "no nodule", "too few slices", "tracked"
CTS: dict[str, dict[str, Any]] = {
    PLAIN: {"balls": BALLS},
    NEGATIVE: {"balls": ()},
    SHORT: {"balls": BALLS, "slices": 10},
    TRACKED: {"balls": BALLS},
}
HYDRATION = "[report]\nohif_hydration = true"
LEAST_DICE = 0.95
"""The edge of the overlay may be off by a part of a canvas pixel; by three of them, Dice is 0.76."""
MOST_DIFFERENCE = 4.0
"""Grey levels of 255 that a picture may differ from what was drawn, on average; text is interpolated differently."""
LINE_PX = 0.4
"""How far ends of axes may be from where the report has them, canvas pixels; half a voxel is 0.9 of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What was on the screen, and what the node had answered."""

    folder: Path
    seen: dict[str, Any]
    ct: Mapping[str, tuple[Dataset, ...]]
    results: Mapping[str, Mapping[str, list[Dataset]]]

    def slices(self, study: str, modality: str, key: str = "slices") -> list[Shown]:
        """The slices that were on the screen with a series."""
        return [shown(self.folder, said) for said in self.seen[study][modality][key]]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("ohif")
    pictures = Path(os.environ.get("SCREENSHOTS", folder / "pictures")).absolute()
    with orthanc(folder / "pacs") as pacs:
        results = {
            **_answers(folder / "node", pacs, [PLAIN, NEGATIVE, SHORT], ("seg+sr", "captures"), ""),
            **_answers(folder / "hydrating", pacs, [TRACKED], ("seg+sr",), HYDRATION),
        }
        modalities = {PLAIN: ("SEG", "SR", "OT"), TRACKED: ("SR",), NEGATIVE: ("SR",), SHORT: ("SR",)}
        visits = [Visit(name=name, study_uid=uid(name), modalities=m, slices=FILMED) for name, m in modalities.items()]
        seen = visited(pacs.url, pictures, visits)
    ct = {study: tuple(map(dcmread, sorted((folder / "ct" / study).iterdir()))) for study in CTS}
    yield Opened(folder=pictures, seen=seen, ct=ct, results=results)


def _answers(
    folder: Path, pacs: Orthanc, studies: list[str], profile: tuple[str, ...], settings: str
) -> dict[str, dict[str, list[Dataset]]]:
    """Send CTs to the PACS and to a node that answers it, and wait; the answered documents by modality."""
    peer = pacs.peer
    destination = Destination(name=peer.name, ae_title=peer.ae_title, host=peer.host, port=peer.port, profile=profile)
    with running_node(folder, settings=settings, destinations=[destination]) as node:
        for study in studies:
            paths = _a_chest(folder.parent / "ct" / study, study=study, **CTS[study])
            scu.store(peer, paths, calling_ae_title="CT1")
            node.send(paths)
        eventually(lambda: node.states(DELIVERIES) == {"delivered": len(studies)}, timeout_s=240)
        return {study: _documents(node, study) for study in studies}


def _a_chest(folder: Path, *, balls: tuple[Ball, ...], study: str, slices: int = SLICES) -> list[Path]:
    """A chest with balls that are a little denser to the left, so that no value of theirs is zero."""
    chest = chest_hu(balls)
    return a_series(
        folder,
        hu=lambda points_lps: np.round(chest(points_lps) + 0.5 * points_lps[..., 0]),
        slices=slices,
        spacing_mm=SPACING_MM,
        size=(240, 280),
        pixel_spacing_mm=(1.0, 1.0),
        study=study,
        PatientID=study.upper().replace(" ", "-"),
        WindowCenter="-500",
        WindowWidth="1500",
    )


def _documents(node: RunningNode, study: str) -> dict[str, list[Dataset]]:
    (job,) = node.asked("study", "show", uid(study))["jobs"]
    documents: dict[str, list[Dataset]] = {}
    datasets = [dcmread(node.config.data / item["file_key"]) for item in job["results"]]
    for dataset in sorted(datasets, key=lambda dataset: dataset.InstanceNumber):
        documents.setdefault(str(dataset.Modality), []).append(dataset)
    return documents


@pytest.mark.parametrize("study", CTS)
def test_the_viewer_complains_about_nothing(opened: Opened, study: str) -> None:
    assert opened.seen[study]["errors"] == []


def test_every_segment_is_listed_under_its_label(opened: Opened) -> None:
    labels = [str(item.SegmentLabel) for item in opened.results[PLAIN]["SEG"][0].SegmentSequence]
    assert labels == ["Nodule 1", "Nodule 2", "Nodule 3"]
    assert opened.seen[PLAIN]["SEG"]["rows"] == [f"{number} {label}" for number, label in enumerate(labels, start=1)]


def test_a_click_on_a_segment_leads_to_a_slice_in_its_middle(opened: Opened) -> None:
    for number, slice_ in enumerate(opened.slices(PLAIN, "SEG", "jumps"), start=1):
        occupied = [uid for uid, mask in _masks(opened, number).items() if mask.any()]
        assert abs(occupied.index(slice_.sop_instance_uid) - (len(occupied) - 1) / 2) <= 1


def test_the_overlay_lies_where_the_segmentation_says(opened: Opened) -> None:
    slices, masks = opened.slices(PLAIN, "SEG"), _masks(opened)
    ct = _from_head(opened, PLAIN)
    assert [slice_.sop_instance_uid for slice_ in slices] == [ct[k].SOPInstanceUID for k in FILMED]
    assert not slices[0].overlay.any()
    assert dice(_overlays(slices), _expected(opened, slices, masks)) > LEAST_DICE


@pytest.mark.parametrize("shift_px", [(10, 0), (-10, 0), (0, 10), (0, -10)])
def test_an_overlay_shifted_by_ten_canvas_pixels_would_be_seen(opened: Opened, shift_px: tuple[int, int]) -> None:
    slices = opened.slices(PLAIN, "SEG")
    moved = [np.roll(mask, shift_px, (0, 1)) for mask in _expected(opened, slices, _masks(opened))]
    assert dice(_overlays(slices), moved) < LEAST_DICE - 0.5


@pytest.mark.parametrize("shift", [-1, 1])
def test_an_overlay_on_the_slice_beside_would_be_seen(opened: Opened, shift: int) -> None:
    slices, masks = opened.slices(PLAIN, "SEG"), _masks(opened)
    beside = dict(zip(masks, np.roll(list(masks.values()), shift, 0), strict=True))
    assert dice(_overlays(slices), _expected(opened, slices, beside)) < LEAST_DICE - 0.3


def test_the_overlay_lies_in_the_middle_of_every_ball_of_the_phantom(opened: Opened) -> None:
    """By the phantom's own geometry, whatever the SEG says."""
    found = np.concatenate([slice_.points_lps[slice_.overlay] for slice_ in opened.slices(PLAIN, "SEG")])
    nearest = np.argmin([np.linalg.norm(found - ball.centre_lps, axis=1) for ball in BALLS], axis=0)
    for number, ball in enumerate(BALLS):
        points = found[nearest == number]
        assert np.linalg.norm(points.mean(axis=0) - ball.centre_lps) < 1.0
        assert np.linalg.norm(points - ball.centre_lps, axis=1).max() < ball.diameter_mm / 2 + 1.0


def test_the_viewer_measures_the_volumes_that_the_report_says(opened: Opened) -> None:
    measured = [item["stats"]["volume"]["value"] for item in opened.seen[PLAIN]["SEG"]["segments"]]
    assert measured == pytest.approx([_values(group)["Volume"][0] for group in _groups(opened, PLAIN)[::2]], abs=0.1)


@pytest.mark.parametrize("study", [PLAIN, TRACKED])
def test_every_nodule_of_the_report_has_all_its_values(opened: Opened, study: str) -> None:
    groups = _groups(opened, study)
    due = [{**_values(volume), **_values(axes)} for volume, axes in zip(groups[::2], groups[1::2], strict=True)]
    nodules = opened.seen[study]["SR"]["nodules"]
    assert [nodule["name"].split(":")[-1] for nodule in nodules] == ["Nodule 1", "Nodule 2", "Nodule 3"]
    read = [{label["label"]: _number(label["value"]) for label in nodule["labels"]} for nodule in nodules]
    assert read == due


def test_the_first_values_stand_beside_the_axes(opened: Opened) -> None:
    for slice_, group in zip(opened.slices(PLAIN, "SR"), _groups(opened, PLAIN)[::2], strict=True):
        written = [line.rpartition(": ") for line in slice_.texts]
        assert {name: _number(value) for name, _, value in written} == dict(list(_values(group).items())[:5])


@pytest.mark.parametrize("study", [PLAIN, TRACKED])
def test_axes_are_drawn_on_their_slices_where_the_report_has_them(opened: Opened, study: str) -> None:
    ct = {item.SOPInstanceUID: item for item in opened.ct[study]}
    for slice_, group in zip(opened.slices(study, "SR"), _groups(opened, study)[1::2], strict=True):
        axes = [item.ContentSequence[0] for item in group.ContentSequence if item.ValueType == "NUM"]
        instances = {axis.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for axis in axes}
        assert instances == {slice_.sop_instance_uid}
        assert len(slice_.lines) == len(axes) == 2
        for axis in axes:
            ends_lps = lps_from_scoord(np.reshape(axis.GraphicData, (2, 2)), ct[slice_.sop_instance_uid])
            due = np.array([slice_.canvas_from_lps(end) for end in ends_lps])
            assert min(_distance(due, line.reshape(2, 2)) for line in slice_.lines) < LINE_PX


def test_the_measurement_panel_takes_the_axes_over(opened: Opened) -> None:
    """As the viewer's own tool, which measures them anew."""
    panel = opened.seen[TRACKED]["SR"]["rows"]
    assert len(panel) == len(BALLS)
    for slice_, group in zip(opened.slices(TRACKED, "SR"), _groups(opened, TRACKED)[1::2], strict=True):
        axes = _values(group)
        measured = {text[0]: _number(text[3:])[0] for text in slice_.texts}
        assert measured == pytest.approx({"L": axes["Long Axis"][0], "W": axes["Short Axis"][0]}, abs=0.1)


def test_a_report_without_nodule_says_so_on_the_screen(opened: Opened) -> None:
    """And no more than what was covered: the lungs of this phantom have no end."""
    assert "No nodule found in the part of the lungs that was covered." in opened.seen[NEGATIVE]["SR"]["text"]
    assert "No nodule found" not in opened.seen[PLAIN]["SR"]["text"]


def test_a_report_on_a_study_that_was_not_analysed_says_why_on_the_screen(opened: Opened) -> None:
    text = opened.seen[SHORT]["SR"]["text"]
    assert "Not analysed: the series has 10 slices, at least 20 are needed" in text
    assert "No nodule found" not in text


def test_secondary_captures_are_shown_as_they_were_drawn(opened: Opened) -> None:
    captures = opened.results[PLAIN]["OT"]
    slices = opened.slices(PLAIN, "OT")
    assert len(captures) == 1 + len(BALLS)
    assert [slice_.sop_instance_uid for slice_ in slices] == [capture.SOPInstanceUID for capture in captures]
    for slice_ in slices:
        off = [_difference(slice_, capture) for capture in captures]
        assert min(off) < MOST_DIFFERENCE
        assert captures[int(np.argmin(off))].SOPInstanceUID == slice_.sop_instance_uid


def _difference(slice_: Shown, capture: Dataset) -> float:
    """Mean difference of grey levels between the canvas and the picture when it is fitted into it."""
    assert slice_.picture is not None
    height, width = slice_.picture.shape[:2]
    fitted = ImageOps.pad(Image.fromarray(capture.pixel_array), (width, height), Image.Resampling.BILINEAR)
    return float(np.abs(np.asarray(fitted, int) - slice_.picture).mean())


def _masks(opened: Opened, *numbers: int) -> dict[str, BoolArray]:
    """Mask of the segments (all if none is named) on every CT instance, from head to feet."""
    (seg,) = opened.results[PLAIN]["SEG"]
    ct = _from_head(opened, PLAIN)
    masks = {item.SOPInstanceUID: np.zeros((item.Rows, item.Columns), bool) for item in ct}
    at = {round(float(item.ImagePositionPatient[2]), 2): item.SOPInstanceUID for item in ct}
    for frame, item in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        if not numbers or number in numbers:
            masks[at[round(float(item.PlanePositionSequence[0].ImagePositionPatient[2]), 2)]] |= frame.astype(bool)
    return masks


def _from_head(opened: Opened, study: str) -> list[Dataset]:
    return sorted(opened.ct[study], key=lambda item: -float(item.ImagePositionPatient[2]))


def _overlays(slices: list[Shown]) -> list[BoolArray]:
    return [slice_.overlay for slice_ in slices]


def _expected(opened: Opened, slices: list[Shown], masks: Mapping[str, BoolArray]) -> list[BoolArray]:
    ct = {item.SOPInstanceUID: item for item in opened.ct[PLAIN]}
    names = [slice_.sop_instance_uid for slice_ in slices]
    return [projected(masks[name], ct[name], slice_.points_lps) for name, slice_ in zip(names, slices, strict=True)]


def _groups(opened: Opened, study: str) -> list[Dataset]:
    """The measurement groups of the report: of every nodule the one of its volume, then the one of its axes."""
    containers = opened.results[study]["SR"][0].ContentSequence
    (measured,) = [item for item in containers if item.ConceptNameCodeSequence[0].CodeValue == "126010"]
    return list(measured.ContentSequence)


def _values(group: Dataset) -> dict[str, tuple[float, str]]:
    """Number and unit of every measurement of a group, by what it is called."""
    numbers = [item for item in group.ContentSequence if item.ValueType == "NUM"]
    values = [item.MeasuredValueSequence[0] for item in numbers]
    return {
        str(item.ConceptNameCodeSequence[0].CodeMeaning): (
            float(value.NumericValue),
            str(value.MeasurementUnitsCodeSequence[0].CodeValue),
        )
        for item, value in zip(numbers, values, strict=True)
    }


def _number(text: str) -> tuple[float, str]:
    """Number and unit of a text like "8.60 mm"."""
    number, _, unit = text.partition(" ")
    return float(number), unit


def _distance(due: FloatArray, line: FloatArray) -> float:
    """The largest distance of the ends of two lines, whichever end is named first."""
    return min(float(np.linalg.norm(due - ends, axis=1).max()) for ends in (line, line[::-1]))
