"""Whatever kind a folder is, its drawn nodules come out as patches and slices, and the rest is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pacs_node.report import compose
from tests.support.results import a_request, as_bytes, balls_hu, case_from_files
from tests.support.series import a_series
from tests.unit.training.data.test_deeplesion import ROW
from tests.unit.training.data.test_deeplesion import a_folder as a_deeplesion_folder
from tests.unit.training.data.test_luna16_mhd import SERIES
from tests.unit.training.data.test_luna16_mhd import a_folder as a_luna16_folder
from tests.unit.training.data.test_phantom_folder import a_phantom
from training.data.known import Refusal
from training.data.reading import PackedFolder, drawn_in, known_series


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT with two dense shapes in lung and the node's segmentation of them."""
    folder = tmp_path_factory.mktemp("pair")
    case, _ = case_from_files(a_series(folder / "ct", hu=balls_hu, slices=24, size=(64, 64)))
    (folder / "seg.dcm").write_bytes(as_bytes(compose(a_request(case))[0].dataset))
    return folder


def test_segmented_nodules_become_patches_that_know_each_other(pair: Path) -> None:
    refused: list[Refusal] = []
    nodules = [drawn.patch for drawn in drawn_in(pair, refused.append)]
    assert refused == []
    assert len(nodules) == 2
    for nodule in nodules:
        # shapes of 30 HU in lung of -850 HU: half covered, as a voxel of the mask is at least, is -410 HU
        assert nodule.patch_hu[nodule.mask].min() >= -410
        assert nodule.patch_hu[nodule.others].min() >= -410
        assert nodule.patch_hu[~nodule.mask & ~nodule.others].max() <= -410
        assert np.argwhere(nodule.mask).mean(axis=0) == pytest.approx(25, abs=0.5)
        assert nodule.ratings == ()


def test_segmented_nodules_become_slices(pair: Path) -> None:
    slices = [drawn.largest for drawn in drawn_in(pair, pytest.fail)]
    assert len(slices) == 2
    for one in slices:
        assert one is not None
        assert one.readers_RJI.shape == (1, 71, 71)
        assert (one.image_hu[one.mask()] == 30).all()
        assert one.pixel_spacing_mm == 0.8


def test_a_phantom_that_recipes_use_themselves_is_refused(tmp_path: Path) -> None:
    """How others come back with their nodules: tests of `training.data.phantom`."""
    refused: list[Refusal] = []
    a_phantom(tmp_path)
    assert list(drawn_in(tmp_path, refused.append)) == []
    assert [one.code for one in refused] == ["phantom.reserved"]


def test_lesions_that_were_only_measured_are_series_but_no_slices(tmp_path: Path) -> None:
    folder = a_deeplesion_folder(tmp_path, ROW, ROW | {"Possibly_noisy": "1"})
    refused: list[Refusal] = []
    assert len(list(known_series(folder, refused.append))) == 1
    assert list(drawn_in(folder, refused.append)) == []
    assert [one.code for one in refused] == ["recist.noisy", "recist.noisy", "nodule.not-drawn"]


def test_a_volume_without_its_voxels_is_refused_and_the_reading_goes_on(tmp_path: Path) -> None:
    folder = a_luna16_folder(tmp_path)
    header = (folder / "subset3" / f"{SERIES}.mhd").read_text()
    (folder / "subset3" / "1.0.mhd").write_text(header.replace(f"{SERIES}.raw", "gone.raw"))
    refused: list[Refusal] = []
    assert [series.series_uid for series in known_series(folder, refused.append)] == [SERIES]
    assert [(one.code, one.subject) for one in refused] == [("luna16.pixels", "1.0")]


def test_a_pack_holds_no_series(tmp_path: Path) -> None:
    (tmp_path / "nodules.csv").touch()
    with pytest.raises(PackedFolder):
        list(known_series(tmp_path, pytest.fail))
