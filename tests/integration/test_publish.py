"""A real Triton is given new versions: good ones prove themselves beside the active one, bad ones leave nothing.

One server serves the module, and all the while somebody asks the active version: no test may make that fail.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.contract import TensorSpec
from inference.errors import InferenceError, LoadRefused, ModelNotFound, PredictorUnavailable
from inference.registry import ModelRepository
from inference.triton import TritonPredictor, TritonServer, launch
from inference.triton.wheel import find_wheel
from pacs_node.config import Config, Triton
from pacs_node.steps.publish import Live, live_of, promote, publish, rollback
from tests.support.releases import a_release

pytestmark = pytest.mark.triton

X = np.arange(6, dtype=np.float32).reshape(1, 2, 3)


@dataclass
class Asking:
    """Somebody who asks the active version again and again."""

    server: TritonServer
    models: ModelRepository
    answers: int = 0
    errors: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        client = TritonPredictor(self.server.url, self.models)
        while not self.stopped.wait(0.01):
            try:
                client.infer("doubler", self.models.active_version("doubler"), {"x": X}, ["double"])
                self.answers += 1
            except InferenceError as error:
                self.errors.append(str(error))
        client.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelRepository:
    """The system "doubler" with an active version."""
    try:
        find_wheel()
    except PredictorUnavailable as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("publish")
    models = ModelRepository(folder / "models")
    publish(models, without_server(models), a_release(folder / "first"), lambda text: None)
    promote(models, without_server(models), "doubler", None, lambda text: None)
    return models


@pytest.fixture(scope="module")
def server(models: ModelRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with launch(models.path, tmp_path_factory.mktemp("runtime")) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _asking(server: TritonServer, models: ModelRepository) -> Iterator[None]:
    asking = Asking(server, models)
    thread = threading.Thread(target=asking.run)
    thread.start()
    yield
    asking.stopped.set()
    thread.join()
    assert asking.errors == []
    assert asking.answers > 100


@pytest.fixture
def live(server: TritonServer, models: ModelRepository) -> Live:
    return live_of(Config(triton=Triton(mode="server", url=server.url)), models, server.control)


@pytest.fixture
def told() -> list[str]:
    """The lines that an administrator reads."""
    return []


def factor(live: Live, version: int) -> float:
    """What a version multiplies with, asked of the server."""
    answer = live.predictor.infer("doubler", version, {"x": X}, ["double"])["double"]
    return float(answer[0, 1, 2] / X[0, 1, 2])


def test_a_version_is_published_beside_the_active_one_promoted_and_rolled_back(
    models: ModelRepository, live: Live, tmp_path: Path, told: list[str]
) -> None:
    before = models.active_version("doubler")
    published = publish(models, live, a_release(tmp_path / "new", 3.0), told.append)
    assert [line.split(":")[0] for line in told] == ["checked", "staged", "loaded", "proven"]
    assert "3 of 3 golden cases, largest difference 0.0e+00" in told[-1]
    assert models.active_version("doubler") == before
    assert (factor(live, before), factor(live, published.version)) == (2.0, 3.0)

    promoted = promote(models, live, "doubler", None, told.append)
    assert promoted.version == published.version == models.active_version("doubler")
    assert factor(live, before) == 2.0

    began = time.monotonic()
    assert rollback(models, live, "doubler", told.append).is_live
    assert time.monotonic() - began < 2.0
    assert models.active_version("doubler") == before


def test_a_version_that_is_no_longer_served_is_loaded_when_it_is_rolled_back_to(
    models: ModelRepository, live: Live, tmp_path: Path
) -> None:
    first = models.active_version("doubler")
    for number in (4.0, 5.0):
        publish(models, live, a_release(tmp_path / str(number), number), lambda text: None)
        models.activate("doubler", max(models.system("doubler").versions))
    models.serve("doubler")
    live.load("doubler")
    second, third = models.served_versions("doubler")
    with pytest.raises(InferenceError):
        live.predictor.infer("doubler", first, {"x": X}, ["double"])
    for version in (second, first):
        done = rollback(models, live, "doubler", lambda text: None)
        assert (done.version, done.is_live) == (version, True)
    assert [factor(live, version) for version in (first, second, third)] == [2.0, 4.0, 5.0]


def cut_off(folder: Path) -> None:
    (folder / "doubler/model.onnx").write_bytes(b"junk")


BROKEN: dict[str, tuple[dict[str, Any], Callable[[Path], None] | None, str]] = {
    "junk": ({"artefact": b"junk"}, None, "release.invalid"),
    "another file": ({}, cut_off, "release.invalid"),
    "other tensors": ({"inputs": (TensorSpec(name="x", shape=(2, 4)),)}, None, "release.invalid"),
    "not finite": ({"factor": float("nan"), "golden": 2.0}, None, "model.output-invalid"),
    "other answers": ({"factor": 7.0, "golden": 2.0}, None, "model.golden-mismatch"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_version_is_refused_and_leaves_nothing(
    models: ModelRepository, live: Live, tmp_path: Path, kind: str
) -> None:
    changes, damage, code = BROKEN[kind]
    before = contents(models)
    release = a_release(tmp_path / "new", **changes)
    if damage is not None:
        damage(release)
    with pytest.raises(InferenceError) as caught:
        publish(models, live, release, lambda text: None)
    assert caught.value.code == code
    assert contents(models) == before


def test_a_version_that_the_server_refuses_is_taken_out_again(
    models: ModelRepository, live: Live, tmp_path: Path, told: list[str]
) -> None:
    """It is the server's own configuration that it cannot read; the file is well."""
    config = models.path / "doubler/config.pbtxt"
    text = config.read_text()
    config.write_text(text.replace("max_batch_size: 64", "max_batch_size: many"))
    before = contents(models)
    with pytest.raises(LoadRefused, match="Triton: "):
        publish(models, live, a_release(tmp_path / "new", 3.0), told.append)
    assert contents(models).keys() == before.keys()
    assert "taken out" in told[-2] and "could not be told" in told[-1]
    config.write_text(text)
    assert factor(live, models.active_version("doubler")) == 2.0


def test_a_version_that_the_server_cannot_see_is_taken_out_again(
    server: TritonServer, models: ModelRepository, tmp_path: Path
) -> None:
    """The server mounts another folder than the one that is published into."""
    shutil.copytree(models.path, tmp_path / "copy")
    copy = ModelRepository(tmp_path / "copy")
    live = live_of(Config(triton=Triton(mode="server", url=server.url)), copy, server.control)
    before = contents(copy)
    with pytest.raises(ModelNotFound, match="is not found"):
        publish(copy, live, a_release(tmp_path / "new", 3.0), lambda text: None)
    assert contents(copy) == before


def test_a_system_that_the_server_did_not_know_is_loaded_and_unloaded(
    models: ModelRepository, live: Live, tmp_path: Path
) -> None:
    release = a_release(tmp_path / "new", 8.0, system="octupler")
    shutil.move(release / "doubler", release / "octupler")
    contract = release / "octupler/contract.json"
    contract.write_text(contract.read_text().replace('"model": "doubler"', '"model": "octupler"'))
    done = publish(models, live, release, lambda text: None)
    assert (done.version, done.active) == (1, None)
    with pytest.raises(ModelNotFound, match="pulmonode model promote octupler"):
        models.active_version("octupler")
    assert models.withdraw("octupler", 1) == ("octupler",)
    live.load("octupler")
    assert "octupler" not in [model for model, _ in models.served()]


def test_without_its_server_a_version_is_not_published_but_rolled_back(
    models: ModelRepository, tmp_path: Path, told: list[str]
) -> None:
    shutil.copytree(models.path, tmp_path / "copy")
    copy = ModelRepository(tmp_path / "copy")
    publish(copy, without_server(copy), a_release(tmp_path / "third", 3.0), told.append)
    promote(copy, without_server(copy), "doubler", None, told.append)
    down = live_of(Config(triton=Triton(mode="server", url="127.0.0.1:9")), copy)
    before = contents(copy)
    with pytest.raises(PredictorUnavailable, match=r"start it .*, or set PULMONODE_TRITON__MODE=onnx"):
        publish(copy, down, a_release(tmp_path / "fourth", 4.0), told.append)
    with pytest.raises(PredictorUnavailable, match="start it"):
        promote(copy, down, "doubler", None, told.append)
    assert contents(copy) == before
    began, active = time.monotonic(), copy.active_version("doubler")
    assert not rollback(copy, down, "doubler", told.append).is_live
    assert time.monotonic() - began < 5.0
    assert "from its next start" in told[-1]
    assert copy.active_version("doubler") < active


def test_a_server_that_starts_serves_every_version_that_may_still_be_asked(
    models: ModelRepository, tmp_path: Path
) -> None:
    shutil.copytree(models.path, tmp_path / "copy")
    copy = ModelRepository(tmp_path / "copy")
    publish(copy, without_server(copy), a_release(tmp_path / "new", 9.0), lambda text: None)
    versions = copy.served_versions("doubler")
    assert len(versions) >= 2
    with launch(copy.path, tmp_path / "runtime") as other:
        live = live_of(Config(triton=Triton(mode="server", url=other.url)), copy)
        assert [factor(live, version) for version in (versions[0], versions[-1])][-1] == 9.0


def without_server(models: ModelRepository) -> Live:
    return live_of(Config(triton=Triton(mode="onnx")), models)


def contents(models: ModelRepository) -> dict[str, bytes]:
    """Every file, except for the number that is never given twice."""
    files = {str(path.relative_to(models.path)): path for path in models.path.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes().partition(b'"newest"')[0] for name, path in files.items() if "__pycache__" not in name
    }
