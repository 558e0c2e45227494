"""Promise 10 on the real Triton that comes with the node: dead models, a stopped server, and strangers who load models.

One server and its successor, a story told once; the tests look at what was noted meanwhile.
"""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest

from inference.errors import InferenceError, InputRefused, LoadRefused, PredictorUnavailable
from inference.registry import ModelRepository
from inference.triton import Retries, TritonPredictor, TritonServer, control_of, start
from inference.triton.wheel import find_wheel
from pacs_node.demo.pacs import free_port
from pacs_node.processes.triton import Keeper, Pace
from tests.support.models import a_member, a_repository, doubler
from tests.support.nodes import eventually

pytestmark = [pytest.mark.triton, pytest.mark.slow]

SOON = Pace(examine_s=0.5, answer_s=1.0, model_s=3.0, silences=3, pause_s=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was seen."""

    key_mode: int
    addresses: set[str]
    strangers: dict[str, InferenceError | None]
    answers_after_stranger: bool
    answers_after_dead_model: bool
    pids: tuple[int, int]
    old_keys_opens: InferenceError | None


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    try:
        find_wheel()
    except PredictorUnavailable as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("triton")
    models, runtime, started = a_repository(folder / "models"), folder / "runtime", []
    port = free_port()

    def begin() -> TritonServer:
        started.append(start(models.path, runtime, port=port, threads=1))
        return started[-1]

    client = TritonPredictor(f"127.0.0.1:{port}", models, retries=Retries(attempts=1), deadline_s=5)
    keeper = Keeper(begin, SOON)
    try:
        eventually(lambda: _answers(client))
        first, old_key = started[0], control_of(runtime)
        key_mode = stat.S_IMODE((runtime / "control-key").stat().st_mode)
        connections = psutil.Process(first.process.pid).net_connections()
        models.publish(a_member(doubler(3.0)))
        strangers = {
            kind: _refusal(models, port, header)
            for kind, header in {"without a key": {}, "with another": dict.fromkeys(old_key, "other")}.items()
        }
        answers_after_stranger = _answers(client)

        for stub in [
            p for p in psutil.Process(first.process.pid).children(True) if "/doubler" in " ".join(p.cmdline())
        ]:
            stub.kill()
        eventually(lambda: not _answers(client))
        answers_after_dead_model = bool(eventually(lambda: _answers(client)))

        first.process.send_signal(signal.SIGSTOP)
        eventually(lambda: len(started) == 2)
        eventually(lambda: _answers(client))
        yield Story(
            key_mode=key_mode,
            addresses={c.laddr.ip.removeprefix("::ffff:") for c in connections if c.status == psutil.CONN_LISTEN},
            strangers=strangers,
            answers_after_stranger=answers_after_stranger,
            answers_after_dead_model=answers_after_dead_model,
            pids=(first.process.pid, started[1].process.pid),
            old_keys_opens=_refusal(models, port, old_key),
        )
    finally:
        keeper.stop()
        client.close()
    assert not psutil.pid_exists(started[-1].process.pid)


def test_it_listens_on_this_machine_only(story: Story) -> None:
    assert story.addresses == {"127.0.0.1"}


@pytest.mark.parametrize("kind", ["without a key", "with another"])
def test_a_stranger_loads_no_model(story: Story, kind: str) -> None:
    assert isinstance(story.strangers[kind], LoadRefused | InputRefused)
    assert "restricted" in str(story.strangers[kind])
    assert story.answers_after_stranger


def test_the_key_is_for_the_user_of_the_node_and_ends_with_the_server(story: Story) -> None:
    assert story.key_mode == 0o600
    assert isinstance(story.old_keys_opens, LoadRefused | InputRefused)


def test_a_model_whose_process_died_is_started_again(story: Story) -> None:
    assert story.answers_after_dead_model


def test_a_server_that_is_stopped_but_not_dead_is_replaced(story: Story) -> None:
    assert story.pids[0] != story.pids[1]


def _answers(client: TritonPredictor) -> bool:
    try:
        client.canary("doubler", 1)
    except InferenceError:
        return False
    return True


def _refusal(models: ModelRepository, port: int, header: dict[str, str]) -> InferenceError | None:
    """What comes of a stranger's order to load."""
    stranger = TritonPredictor(f"127.0.0.1:{port}", models, retries=Retries(attempts=1), control=header)
    try:
        stranger.load("doubler")
    except InferenceError as error:
        return error
    finally:
        stranger.close()
    return None
