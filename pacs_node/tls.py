"""TLS for everything that the node connects to and is connected from: one profile, and what its failures mean.

The profile is "BCP 195 RFC 8996, 9325 TLS Secure Transport Connection" (PS3.15 section B.12): TLS 1.3 where both sides
know it, else TLS 1.2 with forward secrecy and authenticated encryption; nothing older, no renegotiation. It includes
what the Non-Downgrading BCP 195 profile (section B.10) asks for. Called from the doors that open sockets.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from pacs_node.config import PeerTls, ScpTls, Tls
from pacs_node.errors import TlsInvalid

PROFILE = "BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile"
CIPHERS_1_2 = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""RFC 9325 section 4.2. For TLS 1.3 Python keeps OpenSSL's list, all of which that RFC allows."""
EXPIRES_SOON = timedelta(days=30)
_READABLE_BY_OTHERS = 0o007
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME = 0xA0, 0x17


class Fault(StrEnum):
    """Why there is no secure connection; also a code of the log."""

    NOT_TLS = "tls.not-tls"
    OLD_VERSION = "tls.old-version"
    NO_CERTIFICATE = "tls.no-certificate"
    EXPIRED = "tls.expired"
    UNKNOWN_AUTHORITY = "tls.unknown-authority"
    OTHER_NAME = "tls.other-name"
    REFUSED = "tls.refused"
    TIMEOUT = "tls.timeout"
    FAILED = "tls.failed"


ADVICE = {
    Fault.NOT_TLS: "the peer closed the connection, or does not speak TLS on this port",
    Fault.OLD_VERSION: "the peer knows only versions or cipher suites of TLS that are not safe any more",
    Fault.NO_CERTIFICATE: "the peer asks for a certificate of ours; set certificate and key of its tls",
    Fault.EXPIRED: "a certificate of the peer has expired, or is not valid yet; compare the clocks",
    Fault.UNKNOWN_AUTHORITY: "the certificate of the peer is of none of the authorities of its tls",
    Fault.OTHER_NAME: "the certificate of the peer is for another host; set server_name of its tls",
    Fault.REFUSED: "the peer does not accept our certificate",
    Fault.TIMEOUT: "the TLS handshake took too long",
    Fault.FAILED: "the TLS handshake failed",
}
"""What each means where we opened the connection."""

_OF_REASON = {
    "WRONG_VERSION_NUMBER": Fault.NOT_TLS,
    "HTTP_REQUEST": Fault.NOT_TLS,
    "UNEXPECTED_EOF_WHILE_READING": Fault.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": Fault.NOT_TLS,
    "RECORD_LAYER_FAILURE": Fault.NOT_TLS,
    "UNSUPPORTED_PROTOCOL": Fault.OLD_VERSION,
    "VERSION_TOO_LOW": Fault.OLD_VERSION,
    "NO_SHARED_CIPHER": Fault.OLD_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": Fault.OLD_VERSION,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Fault.NO_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": Fault.NO_CERTIFICATE,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": Fault.REFUSED,
    "SSLV3_ALERT_BAD_CERTIFICATE": Fault.REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": Fault.REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": Fault.REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": Fault.REFUSED,
    "TLSV1_ALERT_UNKNOWN_CA": Fault.REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": Fault.REFUSED,
}
"""Names that OpenSSL gives to errors, alerts of the peer among them."""
_OF_VERIFICATION = {9: Fault.EXPIRED, 10: Fault.EXPIRED, 62: Fault.OTHER_NAME, 64: Fault.OTHER_NAME}
"""X509_V_ERR_* of OpenSSL; all others are about the authorities."""


def server_context(tls: ScpTls) -> ssl.SSLContext:
    """How connections are accepted; raises TlsInvalid."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    elif tls.authorities is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(tls: PeerTls) -> ssl.SSLContext:
    """How connections are opened: the peer has to prove its name, to our or the system's authorities.

    Raises
    ------
    TlsInvalid
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, tls)
    if tls.authorities is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def fault_of(error: object) -> Fault:
    """What an error of a TLS connection means, without any text of the peer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _OF_VERIFICATION.get(error.verify_code, Fault.UNKNOWN_AUTHORITY)
    if isinstance(error, TimeoutError):
        return Fault.TIMEOUT
    if isinstance(error, ssl.SSLEOFError | ConnectionError):  # some peers say nothing when they mind
        return Fault.NOT_TLS
    return _OF_REASON.get(getattr(error, "reason", None) or "", Fault.FAILED)


def examine(tls: Tls, now: datetime) -> None:
    """See that certificates are in force and stay so for `EXPIRES_SOON`.

    Raises
    ------
    TlsInvalid : one expires soon, or is already worth nothing
    """
    for path in (tls.certificate, tls.authorities):
        for expires_at in _expiries(path) if path is not None else ():
            if expires_at <= now:
                raise TlsInvalid(f"{path}: a certificate has expired on {expires_at:%Y-%m-%d}")
            if expires_at - now <= EXPIRES_SOON:
                raise TlsInvalid(f"{path}: a certificate expires on {expires_at:%Y-%m-%d}")


def _context(protocol: int, tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(("@SECLEVEL=2", *CIPHERS_1_2)))  # level 2: RSA keys have at least 2048 bits
    context.options |= ssl.OP_NO_RENEGOTIATION
    if tls.authorities is not None:
        _load_authorities(context, tls.authorities)
    if tls.certificate is not None and tls.key is not None:
        _load_certificate(context, tls.certificate, tls.key, tls.key_passphrase)
    return context


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise TlsInvalid(f"{path}: not certificates in PEM") from error
    except OSError as error:
        raise TlsInvalid(f"{path}: {error.strerror}") from error


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path, passphrase: str) -> None:
    try:
        if key.stat().st_mode & _READABLE_BY_OTHERS:
            raise TlsInvalid(f"{key}: everybody on this machine can read this private key; chmod o= and renew it")
        certificate.read_bytes()
        key.read_bytes()
    except OSError as error:
        raise TlsInvalid(f"{error.filename}: {error.strerror}") from error
    try:
        context.load_cert_chain(certificate, key, password=lambda: passphrase)  # or OpenSSL asks at the terminal
    except ssl.SSLError as error:
        raise TlsInvalid(
            f"{certificate}, {key}: not a certificate and its key in PEM, or key_passphrase does not open the key"
        ) from error


def _expiries(path: Path) -> Iterator[datetime]:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        for encoded in _CERTIFICATE.findall(text):
            yield _expires_at(base64.b64decode(encoded))
    except OSError as error:
        raise TlsInvalid(f"{path}: {error.strerror}") from error
    except (ValueError, IndexError, StopIteration) as error:
        raise TlsInvalid(f"{path}: not certificates in PEM") from error


def _expires_at(certificate: bytes) -> datetime:
    """The end of the validity of a certificate in DER (RFC 5280 section 4.1), which Python's ssl does not tell."""
    _, signed = next(_elements(next(_elements(certificate))[1]))
    fields = [content for tag, content in _elements(signed) if tag != _VERSION]
    tag, end = list(_elements(fields[3]))[1]  # serial number, algorithm, issuer, validity: begin and end
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(end.decode("ascii"), form).replace(tzinfo=UTC)


def _elements(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element of a sequence in DER (X.690 section 8.1)."""
    while encoded:
        tag, length, at = encoded[0], encoded[1], 2
        if length & 0x80:
            at += length & 0x7F
            length = int.from_bytes(encoded[2:at])
        yield tag, encoded[at : at + length]
        encoded = encoded[at + length :]
