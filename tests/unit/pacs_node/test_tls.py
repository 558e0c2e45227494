from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacs_node.config import PeerTls, Tls
from pacs_node.errors import TlsInvalid
from pacs_node.tls import CIPHERS_1_2, EXPIRES_SOON, client_context, examine, server_context
from tests.support.certificates import LONG, Authority, scp_tls, self_signed


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_the_cipher_suites_are_those_of_the_profile(authority: Authority) -> None:
    """RFC 9325 section 4.2 for TLS 1.2, RFC 8446 section 9.1 for TLS 1.3."""
    later = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
    server = server_context(scp_tls(authority, authority.issue("node")))
    for context in (server, client_context(PeerTls())):
        assert {suite["name"] for suite in context.get_ciphers()} == {*CIPHERS_1_2, *later}
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION


def test_who_asks_for_certificates_of_senders_and_who_does_not(authority: Authority) -> None:
    node = authority.issue("node")
    assert server_context(scp_tls(authority, node)).verify_mode == ssl.CERT_REQUIRED
    assert server_context(scp_tls(authority, node, is_required=False)).verify_mode == ssl.CERT_OPTIONAL


def test_a_client_always_looks_at_certificate_and_name() -> None:
    context = client_context(PeerTls())
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_own_authorities_count_instead_of_those_of_the_system(authority: Authority) -> None:
    [known] = client_context(PeerTls(authorities=authority.certificate)).get_ca_certs()
    assert known["subject"] == ((("commonName", "authority"),),)


def test_a_certificate_is_examined_to_the_day(authority: Authority) -> None:
    node = authority.issue("node", days=LONG - 1)
    issued_at = datetime.now(UTC)
    expires_at = issued_at + timedelta(days=LONG - 1)
    tls = Tls(certificate=node.certificate, key=node.key, authorities=authority.certificate)
    examine(tls, expires_at - EXPIRES_SOON - timedelta(minutes=5))
    with pytest.raises(TlsInvalid, match=rf"node\.pem: a certificate expires on {expires_at:%Y}-"):
        examine(tls, expires_at - EXPIRES_SOON + timedelta(minutes=5))
    with pytest.raises(TlsInvalid, match=r"node\.pem: a certificate has expired on"):
        examine(tls, expires_at + timedelta(minutes=5))


def test_the_authorities_are_examined_as_well(authority: Authority) -> None:
    with pytest.raises(TlsInvalid, match=r"authority\.pem: a certificate has expired"):
        examine(Tls(authorities=authority.certificate), datetime.now(UTC) + timedelta(days=LONG + 1))


def test_all_certificates_of_a_file_are_examined(authority: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    sooner = authority.issue("sooner", days=10).certificate
    both.write_text(authority.certificate.read_text() + "between\n" + sooner.read_text())
    with pytest.raises(TlsInvalid, match="expires on"):
        examine(Tls(authorities=both), datetime.now(UTC))


def test_years_after_2049_are_read_too(tmp_path: Path) -> None:
    """They are written as GeneralizedTime (RFC 5280 section 4.1.2.5)."""
    certificate = self_signed(tmp_path, "long", days=36500).certificate
    examine(Tls(authorities=certificate), datetime.now(UTC) + timedelta(days=36400))
    with pytest.raises(TlsInvalid, match="expires on 21"):
        examine(Tls(authorities=certificate), datetime.now(UTC) + timedelta(days=36490))


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.pem").write_text(text)
    with pytest.raises(TlsInvalid, match="not certificates"):
        examine(Tls(authorities=tmp_path / "x.pem"), datetime.now(UTC))
