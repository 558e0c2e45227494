"""A pack brings its split and folds, the shared data have the committed ones, and what is not there is said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.torch_networks import a_nodule
from tests.support.torch_slices import a_slice
from training import runs
from training.cli.options import sources_of_run
from training.data import packs, scans, sides, splits
from training.data.packs import PackWriter
from training.data.scans import Scan
from training.data.sides import COMMITTED_FOLDS, COMMITTED_SPLITS, decided, folds
from training.data.splits import SplitBroken
from training.errors import DataLacking, OtherRun
from training.sources import Sources
from training.systems.baselines import baseline_smoke

PATIENTS = [f"P{n:02}" for n in range(15)]


def a_pack(folder: Path, patients: Sequence[str] = PATIENTS, *, readers: int = 1) -> Path:
    """A nodule and a slice of each patient."""
    with PackWriter(folder) as writer:
        for number, patient in enumerate(patients):
            writer.add_nodule(dataclasses.replace(a_nodule(patient), series_uid=f"1.{number}"))
            writer.add_slice(a_slice(number, patient=patient, readers=readers), f"1.{number}")
    sides.save(decided(dict.fromkeys(patients, "benign"), []), folder)
    return folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen patients."""
    return a_pack(tmp_path_factory.mktemp("pack"))


def sources(data: Path, fold: int | None = None) -> Sources:
    return Sources(data=data, cache=data, tell=lambda text: None, fold=fold)


def test_the_split_of_a_pack_is_that_of_both_kinds(pack: Path) -> None:
    own = sources(pack)
    assert own.luna16_split == own.lidc_split == own.patients == splits.load(pack / "split.json")
    assert (len(own.luna16_nodules(own.luna16_split.train)), len(own.lidc_slices(own.lidc_split.validation))) == (12, 3)


def test_other_folders_have_the_committed_splits(tmp_path: Path) -> None:
    own = sources(tmp_path)
    assert [own.luna16_split, own.lidc_split] == [splits.load(path) for path in COMMITTED_SPLITS]
    assert len(own.patients.train) == 482


@pytest.mark.parametrize("is_pack", [True, False])
def test_folds_part_the_patients(pack: Path, tmp_path: Path, is_pack: bool) -> None:
    data = pack if is_pack else tmp_path
    everyone = sources(data).patients
    validated: list[str] = []
    for number in range(1, 6):
        split = sources(data, number).luna16_split
        assert split == sources(data, number).lidc_split
        splits.guard(split.train, split.validation)
        assert len(split.train) + len(split.validation) == sum(
            map(len, (everyone.train, everyone.validation, everyone.unused))
        )
        validated += split.validation
    assert sorted(validated) == sorted((*everyone.train, *everyone.validation, *everyone.unused))


def test_the_shared_data_have_the_committed_folds(tmp_path: Path) -> None:
    assert sources(tmp_path, 2).lidc_split.validation == folds.load(COMMITTED_FOLDS).patients[1]


def test_a_fold_that_nobody_is_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataLacking, match="choose one of 1, 2") as refused:
        sources(a_pack(tmp_path, PATIENTS[:2]), 3).luna16_split  # noqa: B018
    assert refused.value.code == "data.lacking"


def test_slices_of_fewer_readers_than_asked_for_are_an_error_that_says_so(pack: Path) -> None:
    own = sources(pack)
    with pytest.raises(DataLacking, match="4 readers drew; those of these patients .12. were drawn by 1 at most"):
        own.lidc_slices(own.lidc_split.train, readers=4)


def test_an_empty_folder_has_neither_nodules_nor_slices(tmp_path: Path) -> None:
    own = sources(tmp_path)
    with pytest.raises(DataLacking, match="no patches of nodules"):
        own.luna16_nodules(own.luna16_split.train)
    with pytest.raises(DataLacking, match="data pack"):
        own.lidc_slices(own.lidc_split.train)


def test_patients_that_the_data_do_not_have_are_an_error(pack: Path) -> None:
    with pytest.raises(DataLacking, match="none of 15 nodules"):
        sources(pack).luna16_nodules(["somebody"])


def test_examples_are_slices_or_else_those_of_patches(pack: Path, tmp_path: Path) -> None:
    own = sources(pack)
    assert {one.patient_id for one in own.examples(2)} <= set(own.lidc_split.validation)
    with PackWriter(tmp_path) as writer:
        for patient in PATIENTS[:5]:
            writer.add_nodule(a_nodule(patient))
    sides.save(decided(dict.fromkeys(PATIENTS[:5], "benign"), []), tmp_path)
    assert len(sources(tmp_path).examples(2)) == 1


def test_backgrounds_are_those_of_the_pack_whatever_the_cache_holds(tmp_path: Path) -> None:
    one = Scan(
        name="looked at",
        synthetic=False,
        volume_hu=np.zeros((2, 2, 2), np.int16),
        target=np.zeros((2, 2, 2), np.int8),
        places_kji=np.zeros((1, 3), np.int16),
        nodules_kji=np.zeros((0, 3), np.int16),
    )
    scans.save(dataclasses.replace(one, name="of other data"), tmp_path / "background-0.npz")
    pack = a_pack(tmp_path, PATIENTS[:5])
    assert sources(pack).scans((), has_backgrounds=True) == ()
    (pack / packs.BACKGROUNDS).mkdir()
    scans.save(one, pack / packs.BACKGROUNDS / "0001.npz")
    assert [scan.name for scan in sources(pack).scans((), has_backgrounds=True)] == ["looked at"]
    assert sources(pack).scans((), has_backgrounds=False) == ()


def begun(run: Path, own: Sources) -> Path:
    """The folder of a run that has not trained yet."""
    runs.begin(run, runs.about(baseline_smoke(), own, run), own.patients)
    return run


def test_a_run_with_a_fold_says_so_and_is_measured_on_it(pack: Path, tmp_path: Path) -> None:
    begun(tmp_path / "run", sources(pack, 2))
    assert json.loads((tmp_path / "run/run.json").read_text())["fold"] == 2
    own = sources_of_run(tmp_path / "run", pack, tmp_path / "cache")
    assert own.patients == sources(pack, 2).patients != sources(pack).patients


def test_a_run_is_not_taken_up_with_another_fold_or_other_data(pack: Path, tmp_path: Path) -> None:
    run = begun(tmp_path / "run", sources(pack, 2))
    assert runs.about(baseline_smoke(), sources(pack, 2), run)["fold"] == 2
    other = a_pack(tmp_path / "other", PATIENTS[:14])
    for own, changed in ((sources(pack, 3), "fold"), (sources(pack), "fold"), (sources(other, 2), "data_sha256")):
        with pytest.raises(OtherRun, match=changed) as refused:
            runs.about(baseline_smoke(), own, run)
        assert refused.value.code == "run.other"


def test_a_run_is_not_measured_on_patients_that_it_was_trained_on(pack: Path, tmp_path: Path) -> None:
    run = begun(tmp_path / "run", sources(pack))
    elsewhere = a_pack(tmp_path / "elsewhere", [f"N{n}" for n in range(5)])
    assert sources_of_run(run, elsewhere, tmp_path / "cache").patients.validation
    trained = splits.load(pack / "split.json").train
    dealt_anew = a_pack(tmp_path / "dealt-anew", trained[:5])
    with pytest.raises(SplitBroken, match="1 patients are on both sides"):
        sources_of_run(run, dealt_anew, tmp_path / "cache")


def test_the_fingerprint_of_a_pack_changes_with_its_pixels_and_that_of_other_files_does_not(
    pack: Path, tmp_path: Path
) -> None:
    copy = a_pack(tmp_path / "copy")
    assert runs.fingerprint(copy) == runs.fingerprint(pack)
    (copy / "remarks.txt").write_text("ours")
    assert runs.fingerprint(copy) == runs.fingerprint(pack)
    with (copy / "nodules/nodules.jsonl").open("a") as table:
        table.write("\n")
    assert runs.fingerprint(copy) != runs.fingerprint(pack)
