"""The real tritonserver of the wheel: it answers as models here do, names its failures, and never lingers."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from inference.contract import Contract, TensorSpec
from inference.errors import (
    ContractInvalid,
    InputRefused,
    ModelNotFound,
    ModelOutputInvalid,
    PredictorBroken,
    PredictorTimeout,
    PredictorUnavailable,
)
from inference.onnx import OnnxPredictor
from inference.predictor import FloatTensor, zeros
from inference.registry import ModelRepository
from inference.triton import Retries, TritonPredictor, TritonServer, launch
from inference.triton.wheel import find_wheel
from tests.support.models import a_contract, a_member, a_repository, doubler
from tests.support.nodes import eventually

pytestmark = pytest.mark.triton

X = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
ROOT = Path(__file__).parents[2]

# Starts a server as `pulmonode node up` does, and says so; the tests then kill it.
A_PARENT = """
import pathlib, sys, time
from inference.triton import launch
server = launch(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module", autouse=True)
def _wheel() -> None:
    try:
        find_wheel()
    except PredictorUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelRepository:
    return a_repository(tmp_path_factory.mktemp("triton") / "models")


@pytest.fixture(scope="module")
def server(models: ModelRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server that every test leaves as it found it."""
    with launch(models.path, tmp_path_factory.mktemp("runtime")) as running:
        yield running


@pytest.fixture
def predictor(server: TritonServer, models: ModelRepository) -> Iterator[TritonPredictor]:
    client = TritonPredictor(server.url, models)
    yield client
    client.close()


def test_a_server_without_a_search_leaves_it_to_the_node(predictor: TritonPredictor, models: ModelRepository) -> None:
    assert predictor.search(models.contract("doubler", 1), np.zeros((64, 64, 64), np.int16), [(0, 0, 0)]) is None


@pytest.fixture
def copied(models: ModelRepository, tmp_path: Path) -> ModelRepository:
    """A copy of the repository: what a client believes whose server has another one."""
    shutil.copytree(models.path, tmp_path / "copy")
    return ModelRepository(tmp_path / "copy")


def doubled(predictor: TritonPredictor, version: int = 1) -> FloatTensor:
    return predictor.infer("doubler", version, {"x": X}, ["double"])["double"]


def processes_of(runtime: Path, model: str = "") -> list[psutil.Process]:
    """The living tritonserver and stubs of a runtime folder; only the stubs of a model, if one is named."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        arguments = " ".join(process.info["cmdline"] or ())
        is_triton = str(process.info["name"]).startswith("triton") and process.info["status"] != psutil.STATUS_ZOMBIE
        if is_triton and f"{runtime}/backends" in arguments and f"/{model}" in arguments:
            found.append(process)
    return found


def stub_of(runtime: Path, model: str) -> psutil.Process:
    """The process of a model; the one before it may take a moment to end after the model was loaded again."""
    eventually(lambda: len(processes_of(runtime, model)) == 1)
    (stub,) = processes_of(runtime, model)
    return stub


def suspend(process: psutil.Process) -> None:
    """SIGSTOP, awaited: until every thread has seen it, the process may still answer."""
    process.suspend()
    tasks = Path(f"/proc/{process.pid}/task")
    eventually(lambda: all(_is_stopped(task) for task in tasks.iterdir()), every_s=0.01)


def _is_stopped(task: Path) -> bool:
    try:
        state = (task / "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):  # the thread has ended
        return True
    return state == "T"


def shared_memory_of(process: psutil.Process) -> list[Path]:
    """What lies in /dev/shm under the prefix that stands in the arguments of a tritonserver."""
    (prefix,) = [argument.rpartition("=")[2] for argument in process.cmdline() if "shm-region-prefix-name" in argument]
    return list(Path("/dev/shm").glob(f"{prefix}*"))


def started_parent(models: ModelRepository, runtime: Path) -> subprocess.Popen[str]:
    """A process that has started a server."""
    arguments = [sys.executable, "-c", A_PARENT, str(models.path), str(runtime)]
    parent = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    parent.stdout.close()
    return parent


def test_it_answers_with_the_outputs_asked_for(predictor: TritonPredictor) -> None:
    both = predictor.infer("doubler", 1, {"x": X}, ["half", "double"])
    np.testing.assert_array_equal(both["double"], 2 * X)
    np.testing.assert_array_equal(both["half"], X / 2)
    assert set(predictor.infer("doubler", 1, {"x": X}, ["half"])) == {"half"}


def test_the_shipped_models_answer_as_in_this_process(tmp_path: Path) -> None:
    shipped = ModelRepository(ROOT / "model_repository")
    windows = np.random.default_rng(1).normal(size=(8, 1, 64, 64, 64)).astype(np.float32)
    with launch(shipped.path, tmp_path / "runtime") as server:
        triton, onnx = TritonPredictor(server.url, shipped), OnnxPredictor(shipped, threads=2)
        for model, version in shipped.served():
            contract = shipped.contract(model, version)
            shapes = {spec.name: spec.shape for spec in contract.inputs}
            inputs = {name: np.resize(windows, (8, *shape)) for name, shape in shapes.items()}
            outputs = [contract.outputs[0].name, contract.outputs[-1].name]
            served = triton.infer(model, version, inputs, outputs)
            local = onnx.infer(model, version, inputs, outputs)
            for name in outputs:
                np.testing.assert_allclose(served[name], local[name], rtol=0, atol=1e-5)
        triton.close()
    assert "jnsc" in [model for model, _ in shipped.served()]


def test_many_threads_may_ask_at_once(predictor: TritonPredictor) -> None:
    def ask(number: int) -> FloatTensor:
        return predictor.infer("doubler", 1, {"x": X + number}, ["double"])["double"]

    with ThreadPoolExecutor(8) as pool:
        for number, answer in enumerate(pool.map(ask, range(64))):
            np.testing.assert_array_equal(answer, 2 * (X + number))


def test_every_model_passes_its_canary(predictor: TritonPredictor, models: ModelRepository) -> None:
    for model, version in models.served():
        predictor.canary(model, version)


def test_a_value_that_is_not_finite_is_refused(predictor: TritonPredictor) -> None:
    with pytest.raises(ModelOutputInvalid, match="not finite"):
        predictor.infer("logarithm", 1, {"x": np.full((1, 2), -2, np.float32)}, ["y"])


def test_a_batch_beyond_the_servers_limit_is_refused(predictor: TritonPredictor) -> None:
    batch = np.zeros((64 + 1, 2, 3), np.float32)
    predictor.infer("doubler", 1, {"x": batch[:-1]}, ["double"])
    with pytest.raises(InputRefused, match="batch-size must be <= 64"):
        predictor.infer("doubler", 1, {"x": batch}, ["double"])


def test_what_the_contract_does_not_have_is_refused(predictor: TritonPredictor) -> None:
    for inputs, outputs in (({"y": X}, ["half"]), ({"x": X[:, :1]}, ["half"]), ({"x": X}, ["third"])):
        with pytest.raises(InputRefused):
            predictor.infer("doubler", 1, inputs, outputs)
    for model, version in (("absent", 1), ("doubler", 7)):
        with pytest.raises(ModelNotFound):
            predictor.infer(model, version, {"x": X}, ["half"])


def test_a_version_that_only_the_client_has_is_not_found(server: TritonServer, copied: ModelRepository) -> None:
    copied.publish(a_member(doubler(3.0)))
    client = TritonPredictor(server.url, copied)
    with pytest.raises(ModelNotFound, match="version 2 is not found"):
        doubled(client, version=2)
    client.close()


def test_a_server_with_another_file_is_refused(server: TritonServer, copied: ModelRepository) -> None:
    shutil.rmtree(copied.path)
    copied.publish(a_member(doubler(3.0)))
    client = TritonPredictor(server.url, copied)
    with pytest.raises(ContractInvalid, match="another file as doubler version 1"):
        doubled(client)
    client.close()


WIDE, OTHER = TensorSpec(name="x", shape=(2, 4)), TensorSpec(name="other", shape=(2, 3))


@pytest.mark.parametrize(
    "believed",
    [a_contract(inputs=(WIDE,)), a_contract(inputs=(OTHER,)), a_contract(outputs=(OTHER,))],
    ids=["a shape", "an input", "an output"],
)
def test_the_server_refuses_what_it_does_not_have(
    server: TritonServer, copied: ModelRepository, believed: Contract
) -> None:
    shutil.rmtree(copied.path)
    copied.publish(a_member(doubler(), believed))
    client = TritonPredictor(server.url, copied)
    with pytest.raises(InputRefused, match="Triton: "):
        client.infer("doubler", 1, zeros(believed.inputs), [believed.outputs[-1].name])
    client.close()


def test_a_deadline_is_kept_and_passes(server: TritonServer, models: ModelRepository) -> None:
    pauses: list[float] = []
    client = TritonPredictor(server.url, models, deadline_s=5.0, retries=Retries(draw=lambda: 0.0, sleep=pauses.append))
    np.testing.assert_array_equal(doubled(client), 2 * X)
    process = psutil.Process(server.process.pid)
    try:
        suspend(process)
        with pytest.raises(PredictorTimeout):
            doubled(client)
    finally:
        process.resume()
    assert pauses == [0.1]
    patient = TritonPredictor(server.url, models)
    np.testing.assert_array_equal(doubled(patient), 2 * X)
    for used in (client, patient):
        used.close()


def test_a_dead_model_process_is_broken_until_it_is_reloaded(server: TritonServer, predictor: TritonPredictor) -> None:
    runtime = server.log.parent
    stub_of(runtime, "doubler").kill()
    eventually(lambda: not processes_of(runtime, "doubler"))
    for _ in range(2):
        with pytest.raises(PredictorBroken, match="is not healthy"):
            doubled(predictor)
    predictor.canary("logarithm", 1)
    assert server.reload() == ("doubler",)
    np.testing.assert_array_equal(doubled(predictor), 2 * X)
    assert server.reload() == ()


def test_an_answer_to_the_request_before_is_refused(models: ModelRepository, tmp_path: Path) -> None:
    """The server gives up a process that shows no life for a second; what that answers later, the next one gets."""
    with launch(models.path, tmp_path / "runtime") as server, ThreadPoolExecutor() as pool:
        first, second = (
            TritonPredictor(server.url, models, retries=Retries(attempts=1), is_embedded=True) for _ in "ab"
        )
        np.testing.assert_array_equal(doubled(first), 2 * X)
        stub = stub_of(server.log.parent, "doubler")
        suspend(stub)
        with pytest.raises(PredictorBroken, match="is not healthy"):
            doubled(first)
        answer = pool.submit(second.infer, "doubler", 1, {"x": X + 100}, ["double"])
        time.sleep(0.3)  # the second request waits in the server; that it does is no part of the proof
        stub.resume()
        with pytest.raises(PredictorUnavailable):
            answer.result()
        with pytest.raises(PredictorUnavailable):
            doubled(second)
        for used in (first, second):
            used.close()


def test_what_a_model_answered_while_it_was_loaded_anew_is_refused_once(
    server: TritonServer, models: ModelRepository
) -> None:
    watchful = TritonPredictor(server.url, models, is_embedded=True)
    keeper = TritonPredictor(server.url, models, control=server.control, is_embedded=True)
    for _ in range(4):
        np.testing.assert_array_equal(doubled(watchful), 2 * X)
    keeper.reload("doubler")
    with pytest.raises(PredictorBroken, match="loaded again"):
        doubled(watchful)
    np.testing.assert_array_equal(doubled(watchful), 2 * X)
    for used in (watchful, keeper):
        used.close()


def test_a_server_that_died_is_unavailable_and_one_on_the_same_port_is_found_again(
    models: ModelRepository, tmp_path: Path
) -> None:
    pauses: list[float] = []
    first = launch(models.path, tmp_path / "runtime")
    host, _, port = first.url.rpartition(":")
    hasty = TritonPredictor(first.url, models, retries=Retries(attempts=3, draw=lambda: 0.0, sleep=pauses.append))
    np.testing.assert_array_equal(doubled(hasty), 2 * X)
    first.process.kill()
    first.process.wait()
    assert not first.is_running
    with pytest.raises(PredictorUnavailable) as caught:
        doubled(hasty)
    assert type(caught.value) is PredictorUnavailable
    assert pauses == [0.1, 0.2]
    first.stop()
    with launch(models.path, tmp_path / "runtime", host=host, port=int(port)):
        patient = TritonPredictor(first.url, models)
        np.testing.assert_array_equal(doubled(patient), 2 * X)
        assert eventually(lambda: _answers(hasty), timeout_s=20)
    for used in (hasty, patient):
        used.close()


def _answers(predictor: TritonPredictor) -> bool:
    try:
        return bool(np.array_equal(doubled(predictor), 2 * X))
    except PredictorUnavailable:
        return False


def test_stopping_leaves_nothing(models: ModelRepository, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    with launch(models.path, runtime) as server:
        process = psutil.Process(server.process.pid)
        shared_memory = shared_memory_of(process)
        assert len(processes_of(runtime)) == 3  # the server and one process for each of the two models
        assert shared_memory
    assert not server.is_running
    assert processes_of(runtime) == []
    assert not any(segment.exists() for segment in shared_memory)
    server.stop()  # twice is harmless


def test_nothing_outlives_a_killed_parent(models: ModelRepository, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    parent = started_parent(models, runtime)
    assert len(processes_of(runtime)) == 3
    parent.kill()
    parent.wait()
    eventually(lambda: not processes_of(runtime), timeout_s=30)


def test_the_next_start_removes_what_a_killed_server_left(models: ModelRepository, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    parent = started_parent(models, runtime)
    orphans = processes_of(runtime)
    (server,) = [process for process in orphans if process.name() == "tritonserver"]
    shared_memory = shared_memory_of(server)
    for process in orphans:
        suspend(process)  # so that none can tidy up after itself
    server.kill()
    parent.kill()
    parent.wait()
    eventually(lambda: len(processes_of(runtime)) == 2)  # a killed process takes a moment to die
    with launch(models.path, runtime):
        assert not set(processes_of(runtime)) & set(orphans)
        assert not any(segment.exists() for segment in shared_memory)
        assert len(processes_of(runtime)) == 3


def test_two_servers_never_share_a_folder(server: TritonServer, models: ModelRepository) -> None:
    arguments = [sys.executable, "-c", A_PARENT, str(models.path), str(server.log.parent)]
    refused = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "another process runs its Triton in" in refused.stderr
    assert server.is_running


def test_a_port_in_use_is_named(models: ModelRepository, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PredictorUnavailable, match=f"127.0.0.1:{port} cannot be listened on"):
            launch(models.path, tmp_path / "runtime", port=port)


def test_a_changed_file_is_not_served(copied: ModelRepository, tmp_path: Path) -> None:
    (copied.path / "doubler/1/model.onnx").write_bytes(doubler(3.0))
    runtime = tmp_path / "runtime"
    with pytest.raises(
        PredictorUnavailable, match=r"'doubler'.*not the file that artifact_sha256_1 names.*triton\.log"
    ):
        launch(copied.path, runtime)
    assert processes_of(runtime) == []


def test_a_unix_socket_is_for_this_user_only(models: ModelRepository, tmp_path: Path) -> None:
    with launch(models.path, tmp_path / "runtime", host=f"unix:{tmp_path / 's'}") as server:
        client = TritonPredictor(server.url, models)
        np.testing.assert_array_equal(doubled(client), 2 * X)
        client.close()
        mode = Path(server.url.removeprefix("unix:")).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert not mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_a_wheel_without_its_server_is_named(tmp_path: Path) -> None:
    about = tmp_path / "nvidia_pytriton-0.7.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-pytriton\nVersion: 0.7.0\n")
    code = "from inference.triton.wheel import find_wheel; find_wheel()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    refused = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "the wheel has no tritonserver" in refused.stderr
    assert "set triton.mode to onnx or server" in refused.stderr
