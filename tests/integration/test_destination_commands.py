"""`pulmonode destination`: what peers take, asked and remembered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pynetdicom import AE, evt

from pacs_node.demo.pacs import free_port
from pacs_node.domain.document import CLASS_UID, SR_CLASS_UID, DocumentRole, SrClass
from tests.support.nodes import pulmonode

ENHANCED, CAPTURE = SR_CLASS_UID[SrClass.ENHANCED], CLASS_UID[DocumentRole.CAPTURES]


@contextmanager
def pacs_taking(sop_class_uids: Sequence[str]) -> Iterator[int]:
    """A PACS that takes these SOP classes only; its port."""
    entity, port = AE("OLDPACS"), free_port()
    for uid in sop_class_uids:
        entity.add_supported_context(uid)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)])
    try:
        yield port
    finally:
        server.shutdown()


def _config(folder: Path, port: int) -> str:
    path = folder / "node.toml"
    path.write_text(
        f"""
        data = "{folder / "data"}"
        [[destination]]
        name = "old"
        ae_title = "OLDPACS"
        host = "127.0.0.1"
        port = {port}
        """
    )
    return str(path)


def test_a_probe_shows_what_an_old_pacs_takes_and_will_be_sent(tmp_path: Path) -> None:
    with pacs_taking([ENHANCED, CAPTURE]) as port:
        config = _config(tmp_path, port)
        before = json.loads(pulmonode("destination", "list", "--config", config, "--json").stdout)
        done = pulmonode("destination", "probe", "old", "--config", config, "--json")
    assert (before[0]["sent"], before[0]["probed_at"]) == ("seg, sr (comprehensive3d)", None)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["sent"] == "sr (enhanced), captures"
    assert "captures take the place of seg" in facts["warnings"]
    assert CLASS_UID[DocumentRole.SEG] in facts["refused"]
    assert {ENHANCED, CAPTURE}.isdisjoint(facts["refused"])
    after = json.loads(pulmonode("destination", "list", "--config", config, "--json").stdout)
    assert (after[0]["sent"], after[0]["probed_at"] is not None) == ("sr (enhanced), captures", True)


def test_a_probe_says_for_people_what_will_be_sent_and_what_not(tmp_path: Path) -> None:
    with pacs_taking([ENHANCED, CAPTURE]) as port:
        done = pulmonode("destination", "probe", "old", "--config", _config(tmp_path, port))
    said = " ".join(done.stdout.split())
    assert "It will be sent: sr (enhanced), captures." in said
    assert "Warning: captures take the place of seg" in said


def test_a_destination_that_takes_nothing_is_a_failure(tmp_path: Path) -> None:
    with pacs_taking(["1.2.840.10008.5.1.4.1.1.2"]) as port:
        done = pulmonode("destination", "probe", "old", "--config", _config(tmp_path, port))
    assert done.returncode == 1
    assert "It will be sent: nothing." in done.stdout


def test_a_destination_that_is_down_is_said_to_be(tmp_path: Path) -> None:
    done = pulmonode("destination", "probe", "old", "--config", _config(tmp_path, free_port()))
    assert (done.returncode, "peer.unreachable" in done.stderr) == (1, True)


@pytest.mark.parametrize("name", ["new", "OLD"])
def test_an_unknown_destination_is_a_usage_error_that_names_those_there_are(tmp_path: Path, name: str) -> None:
    done = pulmonode("destination", "probe", name, "--config", _config(tmp_path, 104))
    assert done.returncode == 2
    assert f"there is no destination '{name}' in the configuration, but old" in done.stderr
