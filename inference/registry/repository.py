"""`ModelRepository`: reads the folder, and changes it by one rename at a time."""

from __future__ import annotations

import dataclasses
import fcntl
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference.contract import Contract
from inference.errors import ContractInvalid, ModelNotFound
from inference.registry.configuration import configuration, served_in
from inference.registry.record import System
from inference.registry.storage import (
    content_of,
    highest_number,
    remove_version,
    sha256_of,
    text_of,
    write,
    writing,
)

ARTEFACT, CONTRACT, GOLDEN, CONFIG = "model.onnx", "contract.json", "golden.npz", "config.pbtxt"

_RECORD = ".system.json"
_LOCK = ".lock"
_STAGING = ".staging"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of a version that is to be published.

    Parameters
    ----------
    contract : its version, file and hash are filled in by the repository
    artefact : content of the ONNX file
    golden : content of the file with its golden cases; empty if it has none
    """

    contract: Contract
    artefact: bytes
    golden: bytes = b""

    @property
    def is_whole(self) -> bool:
        """Whether the file is the one that the contract names."""
        return sha256_of(self.artefact) == self.contract.sha256


class ModelRepository:
    """A folder of models. Nothing is cached: what another process publishes is seen at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def systems(self) -> tuple[System, ...]:
        """Every published system, by name; raises ContractInvalid."""
        names = sorted(record.name.removesuffix(_RECORD) for record in self.path.glob(f"*{_RECORD}"))
        return tuple(self.system(name) for name in names)

    def system(self, name: str) -> System:
        """One system; raises ModelNotFound, ContractInvalid."""
        path = self._record(name)
        if not path.exists():
            raise ModelNotFound(f"there is no system {name}; `pulmonode model list` shows what there is")
        return System.from_json(text_of(path))

    def members(self, system: str, version: int | None = None) -> tuple[Contract, ...]:
        """The contracts of all models of a system, of one and the same version.

        Parameters
        ----------
        version : None for the active one

        Raises
        ------
        ModelNotFound, ContractInvalid
        """
        record = self.system(system)
        number = _active(record) if version is None else version
        return tuple(self.contract(model, number) for model in record.members(number))

    def active(self) -> tuple[Contract, ...]:
        """The contracts of the active version of every system; raises ContractInvalid."""
        names = [system.name for system in self.systems() if system.active is not None]
        return tuple(contract for name in names for contract in self.members(name))

    def active_version(self, name: str) -> int:
        """The active version of the system that a model belongs to.

        Raises
        ------
        ModelNotFound, ContractInvalid
        """
        _check_name(name)
        for system in self.systems():
            if name in system.models:
                return _active(system)
        raise ModelNotFound(f"there is no model {name}; `pulmonode model list` shows what there is")

    def contract(self, name: str, version: int | None = None) -> Contract:
        """The contract of a version, by default of the active one.

        Two calls for two models of a system may meet two active versions: ask for `members`, or name the version.

        Raises
        ------
        ModelNotFound, ContractInvalid
        """
        number = self.active_version(name) if version is None else version
        contract = Contract.from_json(text_of(self._version(name, number) / CONTRACT))
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
        content = content_of(self._version(name, version) / ARTEFACT)
        if sha256_of(content) != contract.sha256:
            raise ContractInvalid(f"the file of {name} version {version} is not the one of its contract")
        return content

    def golden(self, name: str, version: int) -> bytes:
        """The content of the file with a version's golden cases; empty if it has none; raises ModelNotFound."""
        path = self._version(name, version) / GOLDEN
        return path.read_bytes() if path.exists() else b""

    def is_whole(self, name: str, version: int) -> bool:
        """Whether a version's contract can be read and its file is the one that the contract names."""
        try:
            self.artefact(name, version)
        except (ModelNotFound, ContractInvalid):
            return False
        return True

    def served(self) -> tuple[tuple[str, int], ...]:
        """Every model and version that a server of this repository serves; raises ContractInvalid."""
        names = sorted(config.parent.name for config in self.path.glob(f"*/{CONFIG}"))
        return tuple((name, version) for name in names for version in self.served_versions(name))

    def served_versions(self, name: str) -> tuple[int, ...]:
        """The versions of a model that a server serves, rising; none if there is no such model.

        Raises
        ------
        ContractInvalid
        """
        _check_name(name)
        path = self.path / name / CONFIG
        return served_in(text_of(path), name) if path.exists() else ()

    def add(self, members: Sequence[Member]) -> tuple[Contract, ...]:
        """Store a set of models as the next version of their system; it is neither served nor active.

        Returns
        -------
        the contracts as stored

        Raises
        ------
        ContractInvalid, ModelNotFound : the models are of several systems, or one belongs to another
        """
        name = self._system_of(members)
        placed: list[Path] = []
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self._changing(name) as record:
            folders = [self.path / member.contract.model for member in members]
            number = 1 + max(record.newest, *(highest_number(folder) for folder in folders))
            stored = tuple(_stored(member, number) for member in members)
            try:
                for folder, member, contract in zip(folders, members, stored, strict=True):
                    _stage(folder / _STAGING, member, contract)
                for folder in folders:
                    placed.append((folder / _STAGING).rename(folder / str(number)))
                self._replace(record.published(number, tuple(contract.model for contract in stored)))
            except BaseException:
                for version in (*placed, *(folder / _STAGING for folder in folders)):
                    remove_version(version)
                raise
        return stored

    def serve(self, system: str, *also: int) -> tuple[str, ...]:
        """Let servers serve what has to be kept of a system, and these versions; they have to be told.

        Returns
        -------
        the models whose configuration is another now

        Raises
        ------
        ModelNotFound, ContractInvalid; VersionsIncompatible : nothing is changed
        """
        with self._changing(system) as record:
            return self._serve(record, also)

    def activate(self, system: str, version: int) -> None:
        """Make a version that is served the active one, in one rename for all its models.

        Raises
        ------
        ModelNotFound : it is not there, or not served; ContractInvalid : its file is another than its contract names
        """
        with self._changing(system) as record:
            for model in record.members(version):
                self.artefact(model, version)
                if version not in self.served_versions(model):
                    raise ModelNotFound(f"{model} version {version} is not served")
            self._replace(record.activated(version))

    def rollback(self, system: str) -> System:
        """Make the version before the active one again, in one rename for all its models.

        It is served already, unless this is one of several in a row: then `serve` it.

        Raises
        ------
        ModelNotFound : there is none; ContractInvalid : its file is another than its contract names
        """
        with self._changing(system) as record:
            changed = record.rolled_back()
            assert changed.active is not None
            for model in changed.members(changed.active):
                self.artefact(model, changed.active)
            self._replace(changed)
        return changed

    def withdraw(self, system: str, version: int, *also: int) -> tuple[str, ...]:
        """Take out a version that never was active, first of what is served, its files last.

        Parameters
        ----------
        also : what is served beside the versions that have to be kept

        Returns
        -------
        the models whose configuration is another now
        """
        with self._changing(system) as record:
            models = record.members(version)
            without = record.withdrawn(version)
            changed = self._serve(record, also)
            self._replace(without)
            for model in models:
                remove_version(self.path / model / str(version))
        return changed

    def publish(self, *members: Member) -> tuple[Contract, ...]:
        """Store a set of models as the next version of their system and make it active without any proof.

        For repositories that no server serves yet, such as those of tests.
        """
        stored = self.add(members)
        system, version = _system(stored[0]), stored[0].version
        self.serve(system, version)
        self.activate(system, version)
        return stored

    @contextmanager
    def _changing(self, system: str) -> Iterator[System]:
        """The record of a system that nobody else changes meanwhile; a new one if there is none."""
        path = self._record(system)
        with writing(self.path), (self.path / _LOCK).open("ab") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            yield System.from_json(text_of(path)) if path.exists() else System(name=system)

    def _replace(self, record: System) -> None:
        if record.versions:
            write(self._record(record.name), record.to_json().encode())
        else:
            self._record(record.name).unlink(missing_ok=True)

    def _serve(self, record: System, also: Collection[int]) -> tuple[str, ...]:
        """Replace the configurations of all models that then read differently; work out every text before."""
        wanted = {*record.kept, *also}
        texts: dict[Path, str] = {}
        for model in record.models:
            numbers = [number for number in sorted(wanted) if model in record.members(number)]
            path = self.path / model / CONFIG
            present = text_of(path) if path.exists() else None
            contracts = [self.contract(model, number) for number in numbers]
            text = configuration(contracts, present) if contracts else ""
            if text != (present or ""):
                texts[path] = text
        for path, text in texts.items():
            write(path, text.encode()) if text else path.unlink()
        return tuple(path.parent.name for path in texts)

    def _system_of(self, members: Sequence[Member]) -> str:
        """The one system that all of these models belong to."""
        names = {_system(member.contract) for member in members}
        if len(names) != 1:
            raise ContractInvalid(f"models that are published together are of one system, not of {sorted(names)}")
        (name,) = names
        for model in (name, *(member.contract.model for member in members)):
            _check_name(model)
        for system in self.systems():
            taken = {member.contract.model for member in members} & set(system.models)
            if taken and system.name != name:
                raise ContractInvalid(f"{', '.join(sorted(taken))} belongs to the system {system.name}, not to {name}")
        return name

    def _record(self, system: str) -> Path:
        _check_name(system)
        return self.path / f"{system}{_RECORD}"

    def _folder(self, name: str) -> Path:
        _check_name(name)
        if not (self.path / name).is_dir():
            raise ModelNotFound(f"there is no model {name}; `pulmonode model list` shows what there is")
        return self.path / name

    def _version(self, name: str, version: int) -> Path:
        folder = self._folder(name) / str(version)
        if not folder.is_dir():
            raise ModelNotFound(f"{name} has no version {version}; `pulmonode model list` shows what there is")
        return folder


def _check_name(name: str) -> None:
    """A name becomes a path."""
    if not _NAME.fullmatch(name):
        raise ModelNotFound(f"{name!r} is no name of a model or system: lower-case letters, digits and _")


def _system(contract: Contract) -> str:
    """The system of a model; one that names none is a system of its own."""
    return contract.system or contract.model


def _active(system: System) -> int:
    if system.active is None:
        raise ModelNotFound(f"no version of {system.name} is active yet: pulmonode model promote {system.name}")
    return system.active


def _stored(member: Member, version: int) -> Contract:
    file, sha256 = f"{version}/{ARTEFACT}", sha256_of(member.artefact)
    return dataclasses.replace(member.contract, version=version, file=file, sha256=sha256)


def _stage(folder: Path, member: Member, contract: Contract) -> None:
    """Write all files of a version into a folder of its own, in place of what a publication that was cut off left."""
    remove_version(folder)
    folder.mkdir(parents=True)
    write(folder / ARTEFACT, member.artefact)
    write(folder / CONTRACT, contract.to_json().encode())
    if member.golden:
        write(folder / GOLDEN, member.golden)
