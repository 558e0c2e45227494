"""Fuzz targets for what reads bytes from the network first: the PDU layer and the scanner of attributes.

`hypothesis` builds conversations and datasets that are nearly right, and shrinks what breaks. So few examples that a
target takes seconds; FUZZ_EXAMPLES=100000 lets one run for longer.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs_node.dimse import command, scu
from pacs_node.dimse.header import Header, scan
from pacs_node.dimse.pdu import COMMAND, LAST, p_data
from pacs_node.errors import InstanceUnreadable
from tests.support.instances import an_instance, encoded
from tests.support.nodes import eventually
from tests.support.peers import ReceivingNode, receiving_node
from tests.support.wire import (
    ABORT,
    APPLICATION_CONTEXT,
    RELEASE,
    USER_INFORMATION,
    a_context,
    a_request_of,
    an_item,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
CT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


def fuzzed(examples: int) -> settings:
    """So many examples, however long each of them takes."""
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=EXAMPLES or examples, deadline=None, suppress_health_check=quiet)


# --- the PDU layer ---


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingNode]:
    """A node that receives, in this process."""
    with receiving_node(tmp_path_factory.mktemp("archive")) as running:
        yield running


uids = st.sampled_from([CT, VERIFICATION, EXPLICIT, IMPLICIT, "", "1.2", "x", "1." * 40]) | st.text("01.", max_size=70)
contexts = st.builds(
    lambda number, abstract, transfers: a_context(number, abstract, *transfers),
    st.integers(0, 255),
    uids,
    st.lists(uids, max_size=3),
)
items = st.builds(an_item, st.integers(0, 255), st.binary(max_size=40)) | contexts
users = st.just(USER_INFORMATION) | st.lists(items, max_size=3).map(lambda inner: an_item(0x50, b"".join(inner)))
requests = st.builds(
    lambda body, user, calling: a_request_of(APPLICATION_CONTEXT, *body, user, calling=calling),
    st.lists(items, max_size=4),
    users,
    st.sampled_from(["CT1", "", " "]) | st.binary(max_size=16),
)
GOOD_REQUEST = a_request_of(
    APPLICATION_CONTEXT, a_context(1, CT, EXPLICIT), a_context(3, VERIFICATION, IMPLICIT), USER_INFORMATION
)

UID_ELEMENTS = (command.AFFECTED_SOP_CLASS_UID, command.AFFECTED_SOP_INSTANCE_UID)
NUMBERS = (command.COMMAND_FIELD, command.MESSAGE_ID, command.DATA_SET_TYPE, command.PRIORITY, command.STATUS)
kinds = st.sampled_from([1, 0x30, 0x20, 0x130, 0x100, 0x8001, 0xFFF, NUMBERS[0], command.NO_DATA_SET]) | st.integers(
    0, 65535
)
elements = st.builds(
    lambda tag, value: struct.pack("<HHI", 0, tag, len(value)) + value,
    st.sampled_from(UID_ELEMENTS),
    uids.map(lambda uid: uid.encode() + b"\0" * (len(uid) % 2)),
) | st.builds(lambda tag, value: struct.pack("<HHIH", 0, tag, 2, value), st.sampled_from(NUMBERS), kinds)
commands = st.lists(elements, max_size=7).map(b"".join) | st.sampled_from(
    [command.echo_request(1, VERIFICATION), command.store_request(1, CT, "1.2.3"), command.store_request(2, CT, "")]
)
controls = st.sampled_from([COMMAND | LAST, COMMAND, LAST, 0]) | st.integers(0, 255)
fragments = st.builds(
    lambda number, control, content, lie: (
        struct.pack(">IBB", max(len(content) + 2 + lie, 0), number, control) + content
    ),
    st.sampled_from([1, 3, 1, 3, 1, 5, 0, 255]),
    controls,
    commands | st.binary(max_size=30),
    st.sampled_from([0] * 9 + [1, -1, 5, 1 << 31]),
)
data = st.lists(fragments, max_size=3).map(b"".join).map(lambda body: struct.pack(">BxI", 4, len(body)) + body)
store = an_instance("1.2.826.0.1.77.98")
STORED = b"".join(
    [*p_data(1, COMMAND, command.store_request(1, CT, store.SOPInstanceUID), 500), *p_data(1, 0, encoded(store), 500)]
)
ECHOED = b"".join(p_data(3, COMMAND, command.echo_request(1, VERIFICATION), 0))
pdus = (
    data | st.sampled_from([STORED, ECHOED, RELEASE, ABORT, b"\x06" + RELEASE[1:]]) | requests | st.binary(max_size=20)
)
conversations = st.builds(
    lambda request, rest: request + b"".join(rest), st.just(GOOD_REQUEST) | requests, st.lists(pdus, max_size=4)
)


@fuzzed(400)
@given(conversation=conversations, cut=st.integers(0, 3000))
def test_every_conversation_comes_to_an_end(node: ReceivingNode, conversation: bytes, cut: int) -> None:
    """Whatever a peer says before it closes its half: the node closes, blames the peer if anybody, and goes on."""
    node.events.clear()
    with socket.create_connection(("127.0.0.1", node.server.port), 20) as connection, suppress(ConnectionError):
        connection.sendall(conversation[:cut])
        connection.sendall(conversation[cut:])
        with suppress(OSError):  # the node may have closed before
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    eventually(lambda: any(name == "association_ended" for name, _ in node.events), every_s=0.002)
    codes = {values.get("code") for name, values in node.events if name == "association_ended"}
    assert codes <= {None, "pdu.invalid"}, codes


def test_after_all_conversations_an_echo_is_answered(node: ReceivingNode) -> None:
    assert scu.echo(node.peer, calling_ae_title="CT1").seconds < 10
    eventually(lambda: node.server.association_count == 0 and not node.sockets())


# --- the scanner ---

IDENTIFIERS = {
    (0x0008, 0x0016): "1.2.3",
    (0x0008, 0x0018): "1.2.3.4",
    (0x0020, 0x000D): "1.5",
    (0x0020, 0x000E): "1.5.6",
}
FOUND = Header(sop_class_uid="1.2.3", sop_instance_uid="1.2.3.4", study_instance_uid="1.5", series_instance_uid="1.5.6")
UNDEFINED = 0xFFFFFFFF
Element = tuple[tuple[int, int], bytes, Any, bool]
"""Tag, VR, value or items, and whether the length is left undefined."""

tags = st.tuples(st.integers(0x0008, 0x001F), st.integers(0, 0xFFFF)).filter(lambda tag: tag not in IDENTIFIERS)
decoys = st.sampled_from(sorted(IDENTIFIERS))
values = st.tuples(st.sampled_from([b"LO", b"UI", b"OB", b"UN", b"UT", b"US"]), st.binary(max_size=20))
leaves = st.builds(
    lambda tag, value: (tag, value[0], value[1] + b" " * (len(value[1]) % 2), False), tags | decoys, values
)


def sequences(inner: st.SearchStrategy[Element]) -> st.SearchStrategy[Element]:
    """Elements that hold items of such elements, among them identifiers of others."""
    return st.builds(
        lambda tag, trees, is_open: (tag, b"SQ", trees, is_open),
        tags,
        st.lists(st.lists(inner, max_size=3), max_size=3),
        st.booleans(),
    )


trees = st.lists(st.recursive(leaves, sequences, max_leaves=12), max_size=8)


def written(tree: Iterable[Element], syntax: str) -> bytes:
    """The bytes of a dataset or an item."""
    return b"".join(_element(element, syntax) for element in tree)


def _element(element: Element, syntax: str) -> bytes:
    tag, vr, value, is_open = element
    order = ">" if syntax == BIG_ENDIAN else "<"
    if isinstance(value, bytes):
        return _head(tag, vr, len(value), syntax) + value
    inside = b""
    for item in value:
        content = written(item, syntax)
        inside += struct.pack(order + "HHI", 0xFFFE, 0xE000, UNDEFINED if is_open else len(content)) + content
        inside += struct.pack(order + "HHI", 0xFFFE, 0xE00D, 0) if is_open else b""
    end = struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0) if is_open else b""
    return _head(tag, vr, UNDEFINED if is_open else len(inside), syntax) + inside + end


def _head(tag: tuple[int, int], vr: bytes, length: int, syntax: str) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    if syntax == IMPLICIT:
        return struct.pack("<HHI", *tag, length)
    if vr in (b"LO", b"UI", b"US"):
        return struct.pack(order + "HH", *tag) + vr + struct.pack(order + "H", length)
    return struct.pack(order + "HH", *tag) + vr + b"\0\0" + struct.pack(order + "I", length)


def _dataset(tree: list[Element], syntax: str) -> bytes:
    identifiers = [(tag, b"UI", uid.encode() + b"\0" * (len(uid) % 2), False) for tag, uid in IDENTIFIERS.items()]
    others = [element for element in tree if element[0] not in IDENTIFIERS]
    return written(sorted([*others, *identifiers], key=lambda element: element[0]), syntax)


syntaxes = st.sampled_from([IMPLICIT, EXPLICIT, BIG_ENDIAN])


@fuzzed(150)
@given(tree=trees, syntax=syntaxes)
def test_the_identifiers_are_found_whatever_lies_around_them(tree: list[Element], syntax: str) -> None:
    assert scan(_dataset(tree, syntax), syntax) == FOUND


@fuzzed(200)
@given(tree=trees, syntax=syntaxes, read_as=syntaxes, random=st.randoms(use_true_random=False))
def test_a_damaged_dataset_is_read_or_refused(tree: list[Element], syntax: str, read_as: str, random: Random) -> None:
    content = bytearray(_dataset(tree, syntax))
    for _ in range(random.randrange(5)):
        at = random.randrange(len(content))
        content[at] = random.choice((0, 1, 0x7F, 0xFE, 0xFF))
    with suppress(InstanceUnreadable):
        assert isinstance(scan(bytes(content), read_as), Header)
