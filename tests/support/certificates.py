"""Certificates for tests: authorities and what they issue, made by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pacs_node.config import PeerTls, ScpTls

LONG, PAST = 3650, -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its private key, in files."""

    certificate: Path
    key: Path


class Authority:
    """An authority with files in a folder.

    Parameters
    ----------
    name : of the authority, and of its files
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._own = self_signed(folder, name)

    @property
    def certificate(self) -> Path:
        """What those trust who trust the authority."""
        return self._own.certificate

    def issue(self, name: str, *, days: int = LONG, host: str = "localhost") -> Issued:
        """A certificate for a host and 127.0.0.1 that is good for so many days; it has expired with `PAST`."""
        key, request, certificate = (self._folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extensions = self._folder / f"{name}.txt"
        extensions.write_text(f"subjectAltName = DNS:{host}, IP:127.0.0.1\n")
        _openssl("req", "-new", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        authority = ("-CA", self._own.certificate, "-CAkey", self._own.key, "-CAcreateserial")
        _openssl("x509", "-req", "-in", request, *authority, "-days", days, "-extfile", extensions, "-out", certificate)
        return Issued(certificate=certificate, key=key)


def self_signed(folder: Path, name: str, *, days: int = LONG) -> Issued:
    """A certificate that nobody vouches for."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    names = ("-addext", "subjectAltName = DNS:localhost, IP:127.0.0.1")
    _openssl("req", "-x509", *_KEY, "-keyout", key, "-out", certificate, "-subj", f"/CN={name}", "-days", days, *names)
    return Issued(certificate=certificate, key=key)


def encrypted(issued: Issued, passphrase: str) -> Issued:
    """The same with a private key that a pass phrase opens."""
    key = issued.key.with_suffix(".locked")
    _openssl("ec", "-in", issued.key, "-aes256", "-passout", f"pass:{passphrase}", "-out", key)
    return Issued(certificate=issued.certificate, key=key)


def peer_tls(authority: Authority, issued: Issued | None = None, **settings: str) -> PeerTls:
    """Trust this authority, and show this certificate."""
    who = {} if issued is None else {"certificate": issued.certificate, "key": issued.key}
    return PeerTls(authorities=authority.certificate, **who, **settings)


def scp_tls(authority: Authority, issued: Issued, *, is_required: bool = True) -> ScpTls:
    """Show this certificate, and trust this authority."""
    return ScpTls(
        certificate=issued.certificate,
        key=issued.key,
        authorities=authority.certificate,
        require_client_certificate=is_required,
    )


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
