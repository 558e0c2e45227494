"""Storing files at a DICOMweb server, one request each, so that every answer is about one instance.

Called from `pacs_node.node`.
"""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import urllib3
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from pacs_node.config import PeerTls
from pacs_node.dicomweb.answer import Verdict, judged
from pacs_node.errors import (
    InstanceUnreadable,
    NodeError,
    PeerRefused,
    PeerTimeout,
    PeerTlsFailed,
    PeerUnreachable,
    StorageFailed,
)
from pacs_node.tls import ADVICE, client_context, fault_of

_LONGEST_ANSWER_BYTES = 512 << 20
_UNREADABLE = (InvalidDicomError, OSError, ValueError, KeyError, AttributeError, EOFError, NotImplementedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A DICOMweb server.

    Parameters
    ----------
    url : its base
    tls : for https; without authorities those count that the system trusts
    authorization : value of the Authorization header, "" for none
    timeout_s : for connecting, and for every wait for an answer
    """

    url: str
    authorization: str = field(default="", repr=False)
    timeout_s: float = 30.0
    tls: PeerTls = PeerTls()


def store(server: Server, paths: Sequence[Path]) -> None:
    """Store files in their order, as they are.

    An instance that the server refuses is delivered nevertheless if the server has it with the same content.

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused
    PeerRefusedContext : the server does not take this SOP class
    PeerRefusedInstance : the server refused an instance; those before it are stored
    InstanceUnreadable : a file is not DICOM
    StorageFailed : a file cannot be read
    """
    with _pool(server) as pool:
        for path in paths:
            _store(server, pool, path)


def reach(server: Server) -> None:
    """See whether the server answers, with a search that changes nothing.

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused
    """
    with _pool(server) as pool:
        status, _ = _asked(server, pool, "GET", "studies?limit=1", {"Accept": "application/dicom+json"})
    if status not in (200, 204, 400):  # a server may search by other means, but it is there
        raise PeerRefused(f"the server answered a search with HTTP {status}; check url and authorization")


def _store(server: Server, pool: urllib3.PoolManager, path: Path) -> None:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InstanceUnreadable("a file to be sent is gone") from error
    except OSError as error:
        raise StorageFailed("the disk does not give a file to be sent") from error
    try:
        ours = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        named = (str(ours.SOPClassUID), str(ours.SOPInstanceUID))
    except _UNREADABLE as error:
        raise InstanceUnreadable("a file to be sent cannot be read as DICOM") from error
    media_type, body = _multipart(content)
    headers = {"Content-Type": media_type, "Accept": "application/dicom+json"}
    status, answer = _asked(server, pool, "POST", "studies", headers, body)
    judgement = judged(status, answer, *named)
    if judgement.verdict is Verdict.STORED:
        return
    if judgement.verdict is Verdict.DOUBTFUL and _holds(server, pool, pydicom.dcmread(io.BytesIO(content))):
        return
    assert judgement.error is not None
    raise judgement.error


def _holds(server: Server, pool: urllib3.PoolManager, ours: Dataset) -> bool:
    """Whether the server has this very instance: the same attributes with the same values."""
    place = f"studies/{ours.StudyInstanceUID}/series/{ours.SeriesInstanceUID}/instances/{ours.SOPInstanceUID}"
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    status, answer = _asked(server, pool, "GET", place, headers)
    if status not in (200, 404, 410):
        raise PeerRefused(f"the server does not say whether it has the instance (HTTP {status})")
    try:
        return status == 200 and bool(pydicom.dcmread(io.BytesIO(_first_part(answer))) == ours)
    except _UNREADABLE:
        return False


def _multipart(content: bytes) -> tuple[str, bytes]:
    """One instance as multipart/related (PS3.18 section 8.6.1.2.1)."""
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return f'multipart/related; type="application/dicom"; boundary={boundary}', b"".join(
        (head, content, f"\r\n--{boundary}--\r\n".encode())
    )


def _first_part(body: bytes) -> bytes:
    """The first part of a multipart body; what it begins with tells its boundary."""
    boundary, _, rest = body.lstrip(b"\r\n").partition(b"\r\n")
    _, _, content = rest.partition(b"\r\n\r\n")
    return content.partition(b"\r\n" + boundary)[0]


@contextmanager
def _pool(server: Server) -> Iterator[urllib3.PoolManager]:
    timeout = urllib3.Timeout(connect=server.timeout_s, read=server.timeout_s)
    named: dict[str, Any] = {"server_hostname": server.tls.server_name} if server.tls.server_name else {}
    context = client_context(server.tls)
    with urllib3.PoolManager(timeout=timeout, retries=False, ssl_context=context, **named) as pool:
        yield pool


def _asked(
    server: Server, pool: urllib3.PoolManager, method: str, place: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, bytes]:
    given = headers | ({"Authorization": server.authorization} if server.authorization else {})
    url = f"{server.url.rstrip('/')}/{place}"
    try:
        response = pool.request(
            method,
            url,
            body=io.BytesIO(body) if body else None,  # sent block by block: the time-out is for each, not for all
            headers=given | ({"Content-Length": str(len(body))} if body else {}),
            redirect=False,
            preload_content=False,
        )
        return response.status, _read(response, time.monotonic() + server.timeout_s)
    except urllib3.exceptions.HTTPError as error:
        raise _translated(error) from error


def _read(response: urllib3.BaseHTTPResponse, deadline_s: float) -> bytes:
    """The whole body, unless it is endless or drips."""
    content = io.BytesIO()
    for chunk in response.stream(1 << 16):
        content.write(chunk)
        if time.monotonic() > deadline_s or content.tell() > _LONGEST_ANSWER_BYTES:
            response.close()
            raise PeerTimeout("the server did not come to an end with its answer")
    return content.getvalue()


def _translated(error: urllib3.exceptions.HTTPError) -> NodeError:
    if isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError):
        return PeerUnreachable("no connection to the server; check url and firewall")
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return PeerTimeout("no connection to the server in time; check url and firewall")
    if isinstance(error, urllib3.exceptions.SSLError):
        return PeerTlsFailed(f"no secure connection: {ADVICE[fault_of(error.args[0])]}")
    is_late = isinstance(error, urllib3.exceptions.TimeoutError)
    lost: PeerUnreachable = PeerTimeout("the server did not answer in time") if is_late else PeerUnreachable(_LOST)
    lost.is_met = True
    return lost


_LOST = "the connection to the server was lost"
