"""RECIST axes out of structured reports: as the standard has them, as others write them, and broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pacs_node.report import compose
from tests.support import recist_reports as sr
from tests.support.recist_reports import LONG, SHORT, axis, group, image, line, report
from tests.support.results import a_case, a_request, read_back
from training.data.dicom_seg import pseudonym
from training.data.recist_sr import measurements_of, read_reports
from training.labels.recist import RecistAxes

LONG_LINE, SHORT_LINE = (10.5, 20.5, 30.5, 20.5), (20.5, 14.5, 20.5, 26.5)
AXES = RecistAxes(long_xy=((10.0, 20.0), (30.0, 20.0)), short_xy=((20.0, 14.0), (20.0, 26.0)))


def a_group(long: tuple[str, str, str] = LONG, short: tuple[str, str, str] = SHORT) -> Dataset:
    return group(axis(long, line(*LONG_LINE, on=image())), axis(short, line(*SHORT_LINE, on=image())))


def refusal(*groups: Dataset) -> str:
    (refused,) = measurements_of(report(groups)).refused
    return refused.code


def test_a_measurement_group_gives_axes_in_pixel_centres_with_their_image() -> None:
    (found,) = measurements_of(report([a_group()])).measurements
    assert found.axes == AXES
    assert (found.image, found.series, found.patient_id) == (sr.IMAGE_UID, sr.SERIES_UID, pseudonym("PAT-3"))
    assert found.frame_number is None
    assert found.name == f"{sr.REPORT_UID} group 1"


@pytest.mark.parametrize(
    ("long", "short"),
    [
        (("G-A185", "SRT", "Long Axis"), ("G-A186", "SRT", "Short Axis")),
        (("131187009", "SCT", "Major Axis"), ("131188004", "SCT", "Minor Axis")),
        (("103339001", "SCT", "Long axis"), ("131189007", "SCT", "Perpendicular Axis")),
        (("L1", "99ACME", "Long Axis"), ("L2", "99ACME", "SHORT AXIS ")),
    ],
)
def test_the_codes_and_names_that_others_use_are_known(long: tuple[str, str, str], short: tuple[str, str, str]) -> None:
    (found,) = measurements_of(report([a_group(long, short)])).measurements
    assert found.axes == AXES


def test_the_tracking_uid_names_the_measurement_and_a_frame_is_kept() -> None:
    tracked = group(
        axis(LONG, line(*LONG_LINE, on=image(frame=7))),
        axis(SHORT, line(*SHORT_LINE, on=image(frame=7))),
        tracking_uid="1.2.9.9",
    )
    (found,) = measurements_of(report([tracked])).measurements
    assert (found.name, found.frame_number) == ("1.2.9.9", 7)


def test_axes_that_are_named_the_wrong_way_round_are_sorted_by_length() -> None:
    (found,) = measurements_of(report([a_group(SHORT, LONG)])).measurements
    assert found.axes == AXES


def test_coordinates_may_stand_elsewhere_and_be_referred_to() -> None:
    """Root 1, measurements 1.1, group 1.1.1; its third item is the line, its fourth the image."""
    by_reference = [Dataset(), Dataset()]
    for reference, place in zip(by_reference, ([1, 1, 1, 3], [1, 1, 1, 4]), strict=True):
        reference.RelationshipType, reference.ReferencedContentItemIdentifier = "INFERRED FROM", place
    third = line(*LONG_LINE)
    third.ContentSequence = [by_reference[1]]
    referring = group(axis(LONG, by_reference[0]), axis(SHORT, line(*SHORT_LINE, on=image())), third, image())
    (found,) = measurements_of(report([referring])).measurements
    assert found.axes == AXES


def test_a_reference_to_nothing_is_refused() -> None:
    nowhere = Dataset()
    nowhere.RelationshipType, nowhere.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 1, 99]
    short = axis(SHORT, line(*SHORT_LINE, on=image()))
    assert refusal(group(axis(LONG, nowhere), short)) == "recist.no-coordinates"


def test_groups_without_axes_are_passed_over() -> None:
    volume = group(axis(("118565006", "SCT", "Volume")))
    reading = measurements_of(report([volume, a_group()]))
    assert len(reading.measurements) == 1
    assert reading.refused == ()


def test_what_a_group_lacks_is_said() -> None:
    long = axis(LONG, line(*LONG_LINE, on=image()))
    other = axis(SHORT, line(*SHORT_LINE, on=image("1.2.3.4.6")))
    other_frame = axis(SHORT, line(*SHORT_LINE, on=image(frame=2)))
    in_space = sr.item("SCOORD3D", GraphicType="POLYLINE", GraphicData=[0.0] * 6)
    assert refusal(group(long)) == "recist.one-axis"
    assert refusal(group(long, long, axis(SHORT))) == "recist.several-axes"
    assert refusal(group(long, axis(SHORT))) == "recist.no-coordinates"
    assert refusal(group(long, axis(SHORT, in_space))) == "recist.three-dimensional"
    assert refusal(group(long, axis(SHORT, line(*SHORT_LINE)))) == "recist.no-image"
    assert refusal(group(long, other)) == "recist.two-images"
    assert refusal(group(long, other_frame)) == "recist.two-images"


@pytest.mark.parametrize(
    ("numbers", "kind", "code"),
    [
        ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0), "POLYLINE", "recist.not-a-line"),
        ((1.0, 2.0, 3.0, 4.0), "CIRCLE", "recist.not-a-line"),
        ((1.0, 2.0, 1.0, 2.0), "POLYLINE", "recist.coordinates"),
        ((1.0, 2.0, 3e7, 4.0), "POLYLINE", "recist.coordinates"),
        ((1.0, 2.0, float("nan"), 4.0), "POLYLINE", "recist.coordinates"),
    ],
)
def test_coordinates_that_are_no_axis_are_refused(numbers: tuple[float, ...], kind: str, code: str) -> None:
    long = axis(LONG, line(*LONG_LINE, on=image()))
    assert refusal(group(long, axis(SHORT, line(*numbers, on=image(), kind=kind)))) == code


def test_files_that_are_no_reports_are_refused_and_the_others_read(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("no report")
    document = report([a_group()])
    document.save_as(tmp_path / "good.dcm", enforce_file_format=True)
    whole = (tmp_path / "good.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:200])
    reading = read_reports([tmp_path / name for name in ("text.dcm", "cut.dcm", "good.dcm", "absent.dcm")])
    assert len(reading.measurements) == 1
    assert {(item.subject, item.code) for item in reading.refused} >= {
        ("text.dcm", "recist.not-a-report"),
        ("absent.dcm", "recist.not-a-report"),
    }


def test_the_reports_of_the_node_itself_are_read() -> None:
    """Each finding's two axes, where the measurement put them."""
    case = a_case()
    written = read_back(compose(a_request(case)))[-1]
    reading = measurements_of(written)
    assert reading.refused == ()
    for found, finding in zip(reading.measurements, case.result.findings, strict=True):
        drawn = (finding.long_axis, finding.short_axis)
        expected = [[(column, row) for row, column in axis.ends_ji] for axis in drawn]
        assert [list(found.axes.long_xy), list(found.axes.short_xy)] == [
            [pytest.approx(end, abs=1e-4) for end in ends] for ends in expected
        ]
        assert found.image == str(case.source[finding.long_axis.slice_k].SOPInstanceUID)
        assert found.series == str(case.source[0].SeriesInstanceUID)
