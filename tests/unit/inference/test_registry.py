"""Versions are published whole, served one at a time, and rolled back; nothing that was tampered with is served."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from inference.contract import TensorSpec
from inference.errors import ContractInvalid, ModelNotFound
from inference.registry import ModelRepository
from tests.support.models import a_contract

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""FIPS 180-2, appendix B.1"""


@pytest.fixture
def repository(tmp_path: Path) -> ModelRepository:
    """One model, `doubler`, with the versions 1 and 2; 2 is served."""
    repository = ModelRepository(tmp_path / "models")
    repository.publish(b"first", a_contract(trained_on={"recipe": "first"}), maximum_batch=4)
    repository.publish(b"second", a_contract(trained_on={"recipe": "second"}), maximum_batch=4)
    return repository


def test_an_empty_folder_holds_no_model(tmp_path: Path) -> None:
    assert ModelRepository(tmp_path).models() == ()


def test_publishing_fills_in_version_file_and_hash(tmp_path: Path) -> None:
    stored = ModelRepository(tmp_path).publish(b"abc", a_contract(), maximum_batch=4)
    assert (stored.version, stored.file, stored.sha256) == (1, "1/model.onnx", SHA256_OF_ABC)
    assert (tmp_path / "doubler/1/model.onnx").read_bytes() == b"abc"


def test_the_newest_version_is_served(repository: ModelRepository) -> None:
    (entry,) = repository.models()
    assert (entry.name, entry.versions, entry.active, entry.is_whole) == ("doubler", (1, 2), 2, True)
    assert entry.contract == repository.contract("doubler") == repository.contract("doubler", 2)
    assert repository.contract("doubler").trained_on == {"recipe": "second"}


def test_an_older_version_keeps_its_contract_and_its_file(repository: ModelRepository) -> None:
    assert repository.contract("doubler", 1).trained_on == {"recipe": "first"}
    assert repository.artefact("doubler", 1) == b"first"


def test_the_contract_beside_the_configuration_is_that_of_the_served_version(repository: ModelRepository) -> None:
    beside = repository.path / "doubler/contract.json"
    assert beside.read_text() == (repository.path / "doubler/2/contract.json").read_text()
    repository.rollback("doubler")
    assert beside.read_text() == (repository.path / "doubler/1/contract.json").read_text()


def test_rolling_back_serves_the_version_before(repository: ModelRepository) -> None:
    assert repository.rollback("doubler") == 1
    assert repository.active_version("doubler") == 1
    with pytest.raises(ModelNotFound, match="no version before 1"):
        repository.rollback("doubler")
    repository.activate("doubler", 2)
    assert repository.active_version("doubler") == 2


def test_a_rolled_back_number_is_not_given_again(repository: ModelRepository) -> None:
    repository.rollback("doubler")
    assert repository.publish(b"third", a_contract(), maximum_batch=4).version == 3


def test_triton_is_told_tensors_version_and_hash(tmp_path: Path) -> None:
    contract = a_contract(outputs=(TensorSpec(name="y", shape=(3,)), TensorSpec(name="z", shape=(1, 4, 5))))
    ModelRepository(tmp_path).publish(b"abc", contract, maximum_batch=16)
    assert (tmp_path / "doubler/config.pbtxt").read_text() == (
        'name: "doubler"\n'
        'backend: "onnxruntime"\n'
        "max_batch_size: 16\n"
        "input [\n"
        '  { name: "x" data_type: TYPE_FP32 dims: [2, 3] }\n'
        "]\n"
        "output [\n"
        '  { name: "y" data_type: TYPE_FP32 dims: [3] },\n'
        '  { name: "z" data_type: TYPE_FP32 dims: [1, 4, 5] }\n'
        "]\n"
        "instance_group [{ count: 1 }]\n"
        "version_policy: { specific: { versions: [1] } }\n"
        f'parameters {{ key: "artifact_sha256" value: {{ string_value: "{SHA256_OF_ABC}" }} }}\n'
    )


def test_a_changed_file_is_seen_and_never_served(repository: ModelRepository) -> None:
    (repository.path / "doubler/1/model.onnx").write_bytes(b"tampered")
    with pytest.raises(ContractInvalid, match="is not the one of its contract"):
        repository.artefact("doubler", 1)
    with pytest.raises(ContractInvalid, match="is not the one of its contract"):
        repository.rollback("doubler")
    assert repository.active_version("doubler") == 2
    (repository.path / "doubler/2/model.onnx").write_bytes(b"tampered")
    assert [entry.is_whole for entry in repository.models()] == [False]


def test_a_model_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    repository = ModelRepository(tmp_path)
    with pytest.raises(TypeError):
        repository.publish(b"abc", a_contract(trained_on={"not JSON": object()}), maximum_batch=4)
    assert list((tmp_path / "doubler").iterdir()) == []
    assert repository.models() == ()


def test_whoever_reads_while_a_version_is_published_sees_a_whole_one(repository: ModelRepository) -> None:
    seen: list[tuple[int, bytes]] = []
    published = threading.Event()

    def read() -> None:
        while not published.is_set():
            version = repository.active_version("doubler")
            seen.append((version, repository.artefact("doubler", version)))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(3, 9):
        repository.publish(b"content %d" % number, a_contract(), maximum_batch=4)
    published.set()
    reader.join()
    assert seen
    assert all(content == b"content %d" % version for version, content in seen if version > 2)
    assert [version for version, _ in seen] == sorted(version for version, _ in seen)


@pytest.mark.parametrize("name", ["absent", "../models/doubler", "", ".", "Doubler", "doubler/1"])
def test_what_is_no_model_is_not_found(repository: ModelRepository, name: str) -> None:
    with pytest.raises(ModelNotFound):
        repository.contract(name)


def test_a_version_that_is_not_there_is_not_found(repository: ModelRepository) -> None:
    with pytest.raises(ModelNotFound, match="doubler has no version 7"):
        repository.contract("doubler", 7)
    with pytest.raises(ModelNotFound, match="doubler has no version 7"):
        repository.activate("doubler", 7)


@pytest.mark.parametrize(
    "policy",
    ["", "version_policy: { latest: { num_versions: 1 } }", "version_policy: { specific: { versions: [1, 2] } }"],
)
def test_a_configuration_that_does_not_name_one_version_is_refused(repository: ModelRepository, policy: str) -> None:
    (repository.path / "doubler/config.pbtxt").write_text(f'name: "doubler"\n{policy}\n')
    with pytest.raises(ContractInvalid, match="exactly one version"):
        repository.contract("doubler")


def test_a_contract_of_something_else_is_refused(repository: ModelRepository) -> None:
    other = (repository.path / "doubler/1/contract.json").read_text()
    (repository.path / "doubler/2/contract.json").write_text(other)
    with pytest.raises(ContractInvalid, match="is of doubler 1"):
        repository.contract("doubler")


def test_a_model_with_one_contract_for_all_is_read(repository: ModelRepository) -> None:
    (repository.path / "doubler/2/contract.json").unlink()
    assert repository.contract("doubler").trained_on == {"recipe": "second"}
    assert repository.contract("doubler", 1).trained_on == {"recipe": "first"}
