"""Power is cut between any two changes of the file system: the repository is whole, and goes on from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inference.registry import ModelRepository
from tests.unit.inference.test_registry import a_pair

ROOT = Path(__file__).parents[3]

# Forks once for every file that is renamed or removed; the child ends right before that, without tidying up.
CUT_OFF = """
import itertools, os, pathlib, shutil, sys
from inference.registry import ModelRepository
from tests.unit.inference.test_registry import a_pair

folder = pathlib.Path(sys.argv[1])
left = None

def count(event, arguments):
    global left
    if left is not None and event in ("os.rename", "os.remove", "os.rmdir"):
        if left == 0:
            os._exit(1)
        left -= 1

os.fsync = lambda descriptor: None  # what is cut off here is the program; waiting for the disk takes most of the time
sys.addaudithook(count)
for cut in itertools.count():
    place = folder / str(cut)
    shutil.copytree(folder / "begin", place)
    child = os.fork()
    if child == 0:
        left = cut
        models = ModelRepository(place)
        models.add(a_pair(b"third"))
        models.serve("pair", 3)
        models.activate("pair", 3)
        models.rollback("pair")
        models.add(a_pair(b"fourth"))
        models.serve("pair", 4)
        models.withdraw("pair", 4)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


@pytest.fixture(scope="module")
def remains(tmp_path_factory: pytest.TempPathFactory) -> list[ModelRepository]:
    """What each cut left behind; the last one is that of a run without a cut."""
    folder = tmp_path_factory.mktemp("cut")
    begin = ModelRepository(folder / "begin")
    begin.publish(*a_pair(b"first"))
    begin.publish(*a_pair(b"second"))
    done = subprocess.run([sys.executable, "-c", CUT_OFF, str(folder)], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    places = sorted((path for path in folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    return [ModelRepository(place) for place in places]


def test_every_change_is_cut_off_once(remains: list[ModelRepository]) -> None:
    """A version is 4 files, 2 folders, a record and 2 configurations; then 2 records, and 9 steps to take one out."""
    assert len(remains) > 2 * (4 + 2 + 1 + 2) + 2 + 9
    assert {repository.system("pair").active for repository in remains} == {2, 3}
    last = remains[-1].system("pair")
    assert (last.active, tuple(last.versions), last.newest) == (2, (1, 2, 3), 4)


def test_the_active_version_is_whole_in_all_its_models_and_served(remains: list[ModelRepository]) -> None:
    for repository in remains:
        contracts = repository.members("pair")
        assert {contract.model for contract in contracts} == {"coarse", "fine"}
        assert len({contract.version for contract in contracts}) == 1
        for contract in contracts:
            assert repository.is_whole(contract.model, contract.version)
            assert set(repository.system("pair").kept) <= set(repository.served_versions(contract.model))


def test_a_server_that_starts_finds_every_version_that_it_is_to_serve(remains: list[ModelRepository]) -> None:
    for repository in remains:
        assert all(repository.is_whole(model, version) for model, version in repository.served())


def test_the_next_version_gets_a_number_of_its_own_and_works(remains: list[ModelRepository], tmp_path: Path) -> None:
    for left in remains[::4]:
        repository = ModelRepository(tmp_path / left.path.name)
        shutil.copytree(left.path, repository.path)
        lying = {int(path.name) for path in repository.path.glob("*/*") if path.name.isdecimal()}
        stored = repository.publish(*a_pair(b"next"))
        assert stored[0].version > max(lying)
        assert repository.members("pair") == stored
        assert list(repository.path.glob("*/.staging")) == []
