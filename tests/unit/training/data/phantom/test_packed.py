"""Phantoms that were written become a pack of their own, nodules to the voxel, synthetic wherever they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import phantoms as benchmark
from tests.support.torch_networks import a_nodule
from tests.unit.training.data.phantom.conftest import small
from tests.unit.training.results.records import a_run
from training import runs
from training.data import packs
from training.data.packing import SyntheticMixed, pack
from training.data.packs import PackWriter
from training.data.phantom import dicomise
from training.data.phantom_folder import (
    RESERVED_SEEDS,
    PhantomOther,
    PhantomReserved,
    PhantomSeries,
    find,
    remade,
)
from training.papers import HEADLINES
from training.results import Run, page
from training.sources import Sources
from training.systems.hr_mpf import hr_mpf_smoke
from training.systems.hr_mpf_training import built, served
from training.systems.jnsc.judging import TUNING_SEEDS, UNSEEN_SEEDS
from training.systems.jnsc.recipes import RECIPES

SEEDS = (13, 15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small phantoms, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("phantoms")
    for seed in SEEDS:
        dicomise.write(small(seed), folder / str(seed))
    return folder


@pytest.fixture
def series(folder: Path) -> PhantomSeries:
    found = next(find(folder / str(SEEDS[0])))
    assert isinstance(found, PhantomSeries)
    return found


def test_a_seed_that_recipes_use_themselves_is_reserved() -> None:
    own = {seed for make in RECIPES.values() for seed in make().phantoms}
    assert {*own, *TUNING_SEEDS, *UNSEEN_SEEDS, *benchmark.SEEDS} == RESERVED_SEEDS


def changed(series: PhantomSeries, **fields: object) -> PhantomSeries:
    kept = {name: getattr(series, name) for name in PhantomSeries.__slots__}
    return PhantomSeries(**(kept | fields))


def test_a_reserved_phantom_and_one_that_comes_out_otherwise_are_refused(series: PhantomSeries) -> None:
    with pytest.raises(PhantomReserved):
        remade(changed(series, seed=1))
    with pytest.raises(PhantomOther):
        remade(changed(series, series_uid="2.25.1"))


@pytest.mark.slow
def test_phantoms_are_packed_alone_and_the_pack_says_synthetic(folder: Path, tmp_path: Path) -> None:
    packed = pack([folder], tmp_path / "pack", lambda text: None)
    assert packed.is_synthetic and packed.about["synthetic"] is True
    first, second = map(small, SEEDS)
    count = len(first.nodules) + len(second.nodules)
    assert packed.nodules == {"phantoms": count} and packed.about["patients"] == 2
    nodules = packs.load_nodules(tmp_path / "pack/nodules")
    assert {one.patient_id for one in nodules} == {f"phantom-{seed}" for seed in SEEDS}
    volume = {f"phantom-{SEEDS[0]}:{one.number}": one for one in first.nodules}
    for one in nodules:
        if one.nodule_id in volume and volume[one.nodule_id].diameter_mm > 8:
            assert one.mask.sum() == pytest.approx(volume[one.nodule_id].volume_mm3, rel=0.15), "voxels of 1 mm3"
    own = Sources(data=tmp_path / "pack", cache=tmp_path)
    said = runs.said(own)
    assert said["data"].startswith("validation patients of SYNTHETIC, a pack of phantoms: ")
    assert own.remark == packs.SYNTHETIC
    with pytest.raises(SyntheticMixed):
        pack([tmp_path / "pack", real(tmp_path / "real")], tmp_path / "mixed", lambda text: None)
    again = pack([tmp_path / "pack"], tmp_path / "again", lambda text: None)
    assert again.is_synthetic, "also by way of an earlier pack"


def test_phantoms_and_real_data_are_never_mixed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SyntheticMixed) as refused:
        pack([folder, real(tmp_path / "real")], tmp_path / "pack", lambda text: None)
    assert refused.value.code == "pack.synthetic"
    assert not (tmp_path / "pack").exists()


def real(folder: Path) -> Path:
    with PackWriter(folder) as writer:
        writer.add_nodule(a_nodule())
    return folder


def test_every_mention_of_a_run_on_phantoms_says_synthetic() -> None:
    run = a_run("hr_mpf_paper")
    synthetic = Run(
        system=run.system, purpose=run.purpose, about={**run.about, "pack": {"synthetic": True}}, figures=run.figures
    )
    rows = [
        line
        for line in page([synthetic], HEADLINES, {}).splitlines()
        if line.startswith(("`hr_mpf_paper", "| hr_mpf_paper"))
    ]
    assert len(rows) == 2
    assert all(", **synthetic data**" in row for row in rows)
    assert "synthetic" not in page([run], HEADLINES, {})


def test_a_contract_names_the_pack_that_its_model_was_trained_on(tmp_path: Path) -> None:
    recipe = hr_mpf_smoke()
    models = served(recipe, built(recipe))
    (tmp_path / "pack.json").write_text('{"synthetic": true, "nodules": {"phantoms": 4}, "slices": {"phantoms": 4}}')
    (one,) = runs.labelled(models, Sources(data=tmp_path, cache=tmp_path))
    said = "SYNTHETIC, a pack of phantoms: 4 of phantoms"
    assert one.contract.label_rule.endswith(f"; masks as they are in {said}")
    assert one.contract.trained_on == {"sources": (said,)}
    assert runs.labelled(models, Sources(data=tmp_path / "shared", cache=tmp_path)) == models
    assert "LUNA16" not in models[0].contract.label_rule
