"""Versions are published whole, switched for all models of a system at once, and rolled back; none is served damaged.

What happens if power is cut between two writes is in `test_registry_cut_off`.
"""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from inference.contract import Contract, TensorSpec
from inference.errors import ContractInvalid, ModelNotFound, RepositoryUnwritable, VersionsIncompatible
from inference.registry import Member, ModelRepository, System
from inference.registry.configuration import MARK, configuration
from tests.support.models import a_contract
from tests.support.predictors import DETECTION, a_detector

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""FIPS 180-2, appendix B.1"""


def a_pair(content: bytes, **changes: object) -> tuple[Member, Member]:
    """The models "coarse" and "fine" of the system "pair"."""
    first, second = (a_contract(name, system="pair", roles=("segmentation",), **changes) for name in ("coarse", "fine"))
    return Member(contract=first, artefact=content), Member(contract=second, artefact=content + b" fine")


def a_tensor(*shape: int, name: str = "x") -> tuple[TensorSpec, ...]:
    return (TensorSpec(name=name, shape=shape),)


@pytest.fixture
def repository(tmp_path: Path) -> ModelRepository:
    """One system of two models with the versions 1 and 2; 2 is active."""
    repository = ModelRepository(tmp_path / "models")
    repository.publish(*a_pair(b"first", trained_on={"recipe": "first"}))
    repository.publish(*a_pair(b"second", trained_on={"recipe": "second"}))
    return repository


def numbers(contracts: tuple[Contract, ...]) -> dict[str, int]:
    return {contract.model: contract.version for contract in contracts}


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    assert (repository.systems(), repository.served(), repository.active()) == ((), (), ())


def test_publishing_fills_in_version_file_and_hash(tmp_path: Path) -> None:
    (stored,) = ModelRepository(tmp_path).publish(Member(contract=a_contract(), artefact=b"abc", golden=b"cases"))
    assert (stored.version, stored.file, stored.sha256) == (1, "1/model.onnx", SHA256_OF_ABC)
    assert (tmp_path / "doubler/1/model.onnx").read_bytes() == b"abc"
    assert ModelRepository(tmp_path).golden("doubler", 1) == b"cases"


def test_the_models_of_a_system_share_the_number(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    coarse, fine = a_pair(b"content")
    repository.publish(coarse)
    assert numbers(repository.publish(coarse, fine)) == {"coarse": 2, "fine": 2}
    assert numbers(repository.members("pair")) == {"coarse": 2, "fine": 2}


def test_a_version_that_was_only_added_is_neither_served_nor_active(repository: ModelRepository) -> None:
    repository.add(a_pair(b"third"))
    assert tuple(repository.system("pair").versions) == (1, 2, 3)
    assert repository.served() == (("coarse", 1), ("coarse", 2), ("fine", 1), ("fine", 2))
    assert repository.active_version("fine") == 2
    with pytest.raises(ModelNotFound, match="coarse version 3 is not served"):
        repository.activate("pair", 3)


def test_the_active_version_the_one_before_and_a_new_one_are_served_together(repository: ModelRepository) -> None:
    repository.publish(*a_pair(b"third"))
    assert repository.served_versions("coarse") == (1, 2, 3) or repository.served_versions("coarse") == (2, 3)
    repository.add(a_pair(b"fourth"))
    assert repository.serve("pair", 4) == ("coarse", "fine")
    assert repository.served_versions("coarse") == (2, 3, 4)
    assert repository.serve("pair", 4) == ()


def test_an_older_version_keeps_its_contract_and_its_file(repository: ModelRepository) -> None:
    assert repository.contract("fine", 1).trained_on == {"recipe": "first"}
    assert repository.contract("fine").trained_on == {"recipe": "second"}
    assert repository.artefact("fine", 1) == b"first fine"


def test_rolling_back_activates_the_version_that_was_active_before(repository: ModelRepository) -> None:
    repository.publish(*a_pair(b"third"))
    repository.rollback("pair")
    repository.publish(*a_pair(b"fourth"))
    record = repository.rollback("pair")
    assert (record.active, record.before) == (2, (1,))
    assert numbers(repository.members("pair")) == {"coarse": 2, "fine": 2}
    assert repository.rollback("pair").active == 1
    with pytest.raises(ModelNotFound, match="no version before 1"):
        repository.rollback("pair")


def test_a_rollback_leaves_what_is_served_as_it_is(repository: ModelRepository) -> None:
    before = repository.served()
    repository.rollback("pair")
    assert repository.served() == before


def test_a_number_is_never_given_twice(repository: ModelRepository) -> None:
    repository.rollback("pair")
    repository.add(a_pair(b"third"))
    repository.serve("pair", 3)
    assert repository.withdraw("pair", 3, 2) == ("coarse", "fine")
    assert not (repository.path / "fine/3").exists()
    assert repository.served_versions("fine") == (1, 2)
    assert numbers(repository.publish(*a_pair(b"fourth"))) == {"coarse": 4, "fine": 4}


def test_a_system_whose_only_version_is_taken_out_is_gone(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    repository.add(a_pair(b"first"))
    repository.serve("pair", 1)
    repository.withdraw("pair", 1)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_triton_is_told_tensors_versions_and_hashes(tmp_path: Path) -> None:
    contract = a_contract(outputs=(TensorSpec(name="y", shape=(3,)), TensorSpec(name="z", shape=(1, 4, 5))))
    ModelRepository(tmp_path).publish(Member(contract=contract, artefact=b"abc"))
    assert (tmp_path / "doubler/config.pbtxt").read_text() == (
        'name: "doubler"\n'
        'backend: "onnxruntime"\n'
        "max_batch_size: 64\n"
        "instance_group [{ count: 1 }]\n"
        "# The lines above are yours to tune; those below are written by `pulmonode model`.\n"
        "input [\n"
        '  { name: "x" data_type: TYPE_FP32 dims: [2, 3] }\n'
        "]\n"
        "output [\n"
        '  { name: "y" data_type: TYPE_FP32 dims: [3] },\n'
        '  { name: "z" data_type: TYPE_FP32 dims: [1, 4, 5] }\n'
        "]\n"
        "version_policy: { specific: { versions: [1] } }\n"
        f'parameters {{ key: "artifact_sha256_1" value: {{ string_value: "{SHA256_OF_ABC}" }} }}\n'
    )


def test_what_an_administrator_tuned_stays(repository: ModelRepository) -> None:
    config = repository.path / "coarse/config.pbtxt"
    config.write_text(config.read_text().replace("count: 1", "count: 4"))
    repository.publish(*a_pair(b"third"))
    assert "instance_group [{ count: 4 }]\n" in config.read_text()
    assert repository.served_versions("coarse")[-1] == 3


def test_where_versions_differ_in_length_any_length_is_allowed(repository: ModelRepository) -> None:
    repository.publish(*a_pair(b"third", inputs=a_tensor(2, 7)))
    assert '{ name: "x" data_type: TYPE_FP32 dims: [2, -1] }' in (repository.path / "fine/config.pbtxt").read_text()


def test_a_one_pass_detector_is_served_in_any_length(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    repository.publish(Member(contract=a_detector(), artefact=b"windows"))
    config = tmp_path / "fake/config.pbtxt"
    assert '{ name: "v2" data_type: TYPE_FP32 dims: [1, 32, 32, 32] }' in config.read_text()
    one_pass = dataclasses.replace(DETECTION, is_one_pass=True)
    repository.publish(Member(contract=a_detector(detection=one_pass), artefact=b"one pass"))
    assert config.read_text().count("dims: [1, -1, -1, -1]") == 4


@pytest.mark.parametrize("tensors", [a_tensor(2, 3, 1), a_tensor(2, 3, name="y")], ids=["an axis more", "a name"])
def test_versions_with_other_tensors_are_not_served_together(
    repository: ModelRepository, tensors: tuple[TensorSpec, ...]
) -> None:
    before = repository.served()
    repository.add(a_pair(b"third", inputs=tensors))
    with pytest.raises(VersionsIncompatible, match="have other inputs"):
        repository.serve("pair", 3)
    assert repository.served() == before


def test_a_changed_file_is_seen_and_never_made_active(repository: ModelRepository) -> None:
    (repository.path / "fine/1/model.onnx").write_bytes(b"tampered")
    assert not repository.is_whole("fine", 1) and repository.is_whole("fine", 2)
    with pytest.raises(ContractInvalid, match="is not the one of its contract"):
        repository.artefact("fine", 1)
    with pytest.raises(ContractInvalid, match="is not the one of its contract"):
        repository.rollback("pair")
    assert repository.active_version("fine") == 2


def test_a_model_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    with pytest.raises(TypeError):
        repository.publish(Member(contract=a_contract(trained_on={"not JSON": object()}), artefact=b"abc"))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_repository_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, not a folder")
    with pytest.raises(RepositoryUnwritable, match="cannot be written"):
        ModelRepository(tmp_path / "models").publish(*a_pair(b"first"))


def test_models_that_are_published_together_are_of_one_system(repository: ModelRepository) -> None:
    coarse, fine = a_pair(b"third")
    with pytest.raises(ContractInvalid, match=r"of one system, not of \['doubler', 'pair'\]"):
        repository.add([coarse, Member(contract=a_contract(), artefact=b"abc")])
    with pytest.raises(ContractInvalid, match="coarse belongs to the system pair, not to other"):
        repository.add([Member(contract=a_contract("coarse", system="other"), artefact=b"abc")])


def test_whoever_reads_while_versions_are_published_sees_whole_ones(repository: ModelRepository) -> None:
    seen: list[dict[str, int]] = []
    published = threading.Event()

    def read() -> None:
        while not published.is_set():
            contracts = repository.members("pair")
            assert all(repository.is_whole(contract.model, contract.version) for contract in contracts)
            seen.append(numbers(contracts))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(3, 9):
        repository.publish(*a_pair(b"content %d" % number))
    published.set()
    reader.join()
    assert seen
    assert all(versions["coarse"] == versions["fine"] for versions in seen)
    assert [versions["fine"] for versions in seen] == sorted(versions["fine"] for versions in seen)


@pytest.mark.parametrize("name", ["absent", "../models/coarse", "", ".", "Coarse", "coarse/1"])
def test_what_is_no_model_is_not_found(repository: ModelRepository, name: str) -> None:
    for ask in (repository.contract, repository.system, repository.rollback):
        with pytest.raises(ModelNotFound):
            ask(name)


def test_what_is_no_model_is_not_served(repository: ModelRepository) -> None:
    assert repository.served_versions("absent") == ()


def test_a_version_that_is_not_there_is_not_found(repository: ModelRepository) -> None:
    for ask in (repository.contract, repository.members, repository.activate, repository.serve):
        with pytest.raises(ModelNotFound, match="has no version 7|there is no model pair"):
            ask("pair", 7)
    with pytest.raises(ModelNotFound, match="fine has no version 7"):
        repository.contract("fine", 7)


def test_a_system_without_an_active_version_says_how_to_get_one(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    repository.add(a_pair(b"first"))
    assert repository.active() == ()
    for ask in (repository.members, repository.active_version):
        with pytest.raises(ModelNotFound, match="pulmonode model promote pair"):
            ask("pair" if ask == repository.members else "fine")


@pytest.mark.parametrize("policy", ["", "version_policy: { latest: { num_versions: 1 } }"])
def test_a_configuration_that_does_not_name_versions_is_refused(repository: ModelRepository, policy: str) -> None:
    (repository.path / "fine/config.pbtxt").write_text(f'name: "fine"\n{policy}\n')
    with pytest.raises(ContractInvalid, match="does not name the versions"):
        repository.served_versions("fine")
    with pytest.raises(ContractInvalid, match="lacks the line"):
        repository.serve("pair")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"name": "pair", "versions": {}, "active": 1, "before": []}',
        '{"name": "p", "versions": {"x": []}}',
    ],
)
def test_a_damaged_record_is_refused(repository: ModelRepository, text: str) -> None:
    (repository.path / "pair.system.json").write_text(text)
    with pytest.raises(ContractInvalid, match="record of"):
        repository.members("pair")


def test_a_record_is_read_as_it_was_written() -> None:
    system = System(name="pair").published(1, ("a",)).published(2, ("a", "b")).activated(1).activated(2)
    assert System.from_json(system.to_json()) == system
    assert (system.active, system.before, system.kept, system.models) == (2, (1,), (1, 2), ("a", "b"))


def test_a_server_with_a_gpu_tries_no_algorithms_for_each_shape_of_a_one_pass_detector() -> None:
    detection = dataclasses.replace(DETECTION, is_one_pass=True)
    line = 'parameters { key: "cudnn_conv_algo_search" value: { string_value: "1" } }'
    assert line in configuration([a_detector(detection=detection)], None).split(MARK)[0]
    assert "cudnn" not in configuration([a_detector()], None)


def test_a_one_pass_detector_with_too_coarse_a_map_is_refused() -> None:
    """CTs are cut at multiples of 16 voxels, so a network that needs longer steps could not be asked."""
    detection = dataclasses.replace(DETECTION, is_one_pass=True)
    assert Contract.from_json(a_detector(detection=detection, features=(("v1", 16, 1),)).to_json()).step == 16
    for text in (a_detector(detection=detection, features=(("v1", step, 1),)).to_json() for step in (12, 32)):
        with pytest.raises(ContractInvalid, match="divides 16 voxels"):
            Contract.from_json(text)
    assert Contract.from_json(a_detector(features=(("v1", 32, 1),)).to_json()).step == 32


def test_a_one_pass_detector_whose_window_is_no_whole_number_of_cells_is_refused() -> None:
    detection = dataclasses.replace(DETECTION, roi_kji=(64, 40, 64))
    assert Contract.from_json(a_detector(detection=detection).to_json()).detection == detection
    with pytest.raises(ContractInvalid, match="a multiple of 16 voxels long"):
        Contract.from_json(a_detector(detection=dataclasses.replace(detection, is_one_pass=True)).to_json())


def test_a_contract_of_something_else_is_refused(repository: ModelRepository) -> None:
    other = (repository.path / "fine/1/contract.json").read_text()
    (repository.path / "fine/2/contract.json").write_text(other)
    with pytest.raises(ContractInvalid, match="is of fine 1"):
        repository.contract("fine")
