"""The model repository on disk: which models and versions there are, which one is served, and how that changes.

    <model>/config.pbtxt, contract.json        of the active version; `config.pbtxt` is what Triton reads
    <model>/<version>/model.onnx, contract.json, config.pbtxt        immutable once it is there

A version is staged beside the others (Triton ignores folders that are not numbers) and renamed into place; the active
one is switched by replacing `<model>/config.pbtxt`. Both are atomic, so a server may load at any moment.

Called from the predictors, `pacs_node.node`, `pulmonode model` and `training.export`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.contract import Contract, TensorSpec
from inference.errors import ContractInvalid, ModelNotFound

ARTEFACT, CONTRACT, CONFIG = "model.onnx", "contract.json", "config.pbtxt"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# The one form of version_policy that is written here and in `training.export`. Anything else is refused rather than
# half understood: Triton's own parser would need tritonclient, which only `inference.triton` may import.
_ACTIVE = re.compile(r"^version_policy: \{ specific: \{ versions: \[(\d+)\] \} \}$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model as it lies on disk.

    Parameters
    ----------
    name : its folder
    versions : the numbers of its versions, rising
    active : the one that is served
    contract : of the active version
    is_whole : the active version's file has the hash that its contract names
    """

    name: str
    versions: tuple[int, ...]
    active: int
    contract: Contract
    is_whole: bool


class ModelRepository:
    """A folder of models. Nothing is cached: what another process publishes is seen at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def models(self) -> tuple[ModelEntry, ...]:
        """Every model, by name; hashes every active file.

        Raises
        ------
        ContractInvalid : a configuration or contract cannot be read
        """
        names = sorted(config.parent.name for config in self.path.glob(f"*/{CONFIG}"))
        return tuple(self._entry(name) for name in names)

    def active_version(self, name: str) -> int:
        """The version that is served.

        Raises
        ------
        ModelNotFound, ContractInvalid
        """
        active = _ACTIVE.findall(_read(self._folder(name) / CONFIG))
        if len(active) != 1:
            raise ContractInvalid(f"{CONFIG} of {name} does not name exactly one version to serve")
        return int(active[0])

    def contract(self, name: str, version: int | None = None) -> Contract:
        """The contract of a version, by default of the active one.

        Raises
        ------
        ModelNotFound, ContractInvalid
        """
        number = self.active_version(name) if version is None else version
        own = self._version(name, number) / CONTRACT
        contract = Contract.from_json(_read(own if own.exists() else self._folder(name) / CONTRACT))
        if (contract.model, contract.version) != (name, number):
            raise ContractInvalid(f"{CONTRACT} of {name} version {number} is of {contract.model} {contract.version}")
        return contract

    def artefact(self, name: str, version: int) -> bytes:
        """The content of a version's file, with the hash that its contract names.

        Raises
        ------
        ModelNotFound, ContractInvalid : also if the hash is another
        """
        contract = self.contract(name, version)
        content = _content(self._version(name, version) / ARTEFACT)
        if _sha256(content) != contract.sha256:
            raise ContractInvalid(f"the file of {name} version {version} is not the one of its contract")
        return content

    def publish(self, artefact: bytes, contract: Contract, *, maximum_batch: int) -> Contract:
        """Store a model as its next version and serve it.

        Parameters
        ----------
        artefact : an ONNX file
        contract : its version, file and hash are filled in here
        maximum_batch : the largest batch that the server takes

        Returns
        -------
        the contract as stored
        """
        _check_name(contract.model)
        folder = self.path / contract.model
        folder.mkdir(parents=True, exist_ok=True)
        version = max(_numbers(folder), default=0) + 1
        stored = dataclasses.replace(contract, version=version, file=f"{version}/{ARTEFACT}", sha256=_sha256(artefact))
        staging = folder / f".staging-{uuid.uuid4().hex}"
        staging.mkdir()
        try:
            _write(staging / ARTEFACT, artefact)
            _write(staging / CONTRACT, stored.to_json().encode())
            _write(staging / CONFIG, _config(stored, maximum_batch).encode())
            staging.rename(folder / str(version))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self.activate(contract.model, version)
        return stored

    def activate(self, name: str, version: int) -> None:
        """Serve a version that is there, after checking its file; a running server has to load the model again.

        Raises
        ------
        ModelNotFound, ContractInvalid
        """
        self.artefact(name, version)
        for file in (CONTRACT, CONFIG):  # the configuration last: it is the switch
            _write(self.path / name / file, _content(self._version(name, version) / file))

    def rollback(self, name: str) -> int:
        """Serve the version before the active one, and say which that is.

        Raises
        ------
        ModelNotFound : there is none; ContractInvalid
        """
        active = self.active_version(name)
        earlier = [number for number in _numbers(self._folder(name)) if number < active]
        if not earlier:
            raise ModelNotFound(f"{name} has no version before {active}")
        self.activate(name, max(earlier))
        return max(earlier)

    def _entry(self, name: str) -> ModelEntry:
        contract = self.contract(name)
        file = self._version(name, contract.version) / ARTEFACT
        return ModelEntry(
            name=name,
            versions=_numbers(self._folder(name)),
            active=contract.version,
            contract=contract,
            is_whole=file.exists() and _sha256(file.read_bytes()) == contract.sha256,
        )

    def _folder(self, name: str) -> Path:
        _check_name(name)
        if not (self.path / name / CONFIG).exists():
            raise ModelNotFound(f"there is no model {name}; `pulmonode model list` shows what there is")
        return self.path / name

    def _version(self, name: str, version: int) -> Path:
        _check_name(name)
        folder = self.path / name / str(version)
        if not folder.is_dir():
            raise ModelNotFound(f"{name} has no version {version}; `pulmonode model list` shows what there is")
        return folder


def _check_name(name: str) -> None:
    """A model's name becomes a path."""
    if not _NAME.fullmatch(name):
        raise ModelNotFound(f"{name!r} is no name of a model: lower-case letters, digits and _")


def _numbers(folder: Path) -> tuple[int, ...]:
    return tuple(sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()))


def _read(path: Path) -> str:
    try:
        return _content(path).decode()
    except UnicodeDecodeError as error:
        raise ContractInvalid(f"{path.name} of {path.parent.name} is not text") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContractInvalid(f"{path.parent.name}/{path.name} cannot be read: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    """Put a file in place so that a reader, or a power cut, meets the old one or the whole new one."""
    part = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _config(contract: Contract, maximum_batch: int) -> str:
    """Triton's configuration. One instance, on a GPU if the server has one, else on the CPU with all its threads."""
    lines = [
        f'name: "{contract.model}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {maximum_batch}",
        _tensors("input", contract.inputs),
        _tensors("output", contract.outputs),
        "instance_group [{ count: 1 }]",
        f"version_policy: {{ specific: {{ versions: [{contract.version}] }} }}",
        f'parameters {{ key: "artifact_sha256" value: {{ string_value: "{contract.sha256}" }} }}',
    ]
    return "\n".join(lines) + "\n"


def _tensors(kind: str, specs: Sequence[TensorSpec]) -> str:
    rows = [f'  {{ name: "{spec.name}" data_type: TYPE_FP32 dims: {list(spec.shape)} }}' for spec in specs]
    return f"{kind} [\n" + ",\n".join(rows) + "\n]"
