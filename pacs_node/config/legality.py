"""Which values of the settings can work, and what is said of those that cannot. Secrets are in no message."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from pacs_node.config.settings import (
    Config,
    Destination,
    PeerTls,
    Query,
    Tls,
)
from pacs_node.domain.document import DocumentRole, SrClass
from pacs_node.domain.identifiers import is_ae_title
from pacs_node.domain.shipment import PROFILES
from pacs_node.domain.step import Step
from pacs_node.errors import ConfigInvalid

SR_CLASSES = tuple(SrClass)
RETRIEVALS = ("move", "get", "none")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LONGEST_NAME, LONGEST_URL = 64, 500
"""The database keeps no longer names of rules and destinations, and addresses of these."""


def validate(config: Config) -> None:
    """See that the node can work with these values; raises ConfigInvalid with the place of the first that it cannot."""
    for holds, message in (*_receiving(config), *_sending(config), *_working(config)):
        if not holds:
            raise ConfigInvalid(message)


def _receiving(config: Config) -> Iterator[tuple[bool, str]]:
    scp, settle = config.scp, config.settle
    yield is_ae_title(scp.ae_title), "scp, ae_title: not an AE title (1 to 16 characters)"
    yield 0 <= scp.port <= 65535, "scp, port: not a port"
    yield scp.maximum_pdu_bytes >= 4096, "scp, maximum_pdu_bytes: at least 4096"
    yield scp.maximum_associations >= 1, "scp, maximum_associations: at least 1"
    yield scp.maximum_instance_bytes >= 1, "scp, maximum_instance_bytes: at least 1"
    yield scp.connections_per_minute >= 0, "scp, connections_per_minute: 0 for no limit, or more"
    yield scp.connection_burst >= 1, "scp, connection_burst: at least 1"
    if scp.tls is not None:
        yield scp.tls.certificate is not None, "scp.tls: certificate and key must be given"
        is_trusting = scp.tls.authorities is not None or not scp.tls.require_client_certificate
        yield is_trusting, "scp.tls: authorities must be given, or require_client_certificate = false"
        yield from _tls(scp.tls, "scp.tls")
    for caller in scp.callers:
        yield is_ae_title(caller.ae_title), f"scp, callers: {caller.ae_title!r} is not an AE title"
        for address in caller.addresses:
            yield _is_network(address), f"scp, callers: {address!r} is neither an address nor a network"
        yield (caller.host == "") == (caller.port == 0), f"scp, callers: host and port of {caller.ae_title} go together"
        yield 0 <= caller.port <= 65535, f"scp, callers: {caller.port} is not a port"
        if caller.tls is not None:
            yield from _tls(caller.tls, f"scp, callers: tls of {caller.ae_title}")
    for name, quiet_s in (("quiet_s", settle.quiet_s), *settle.calling.items()):
        yield quiet_s > 0, f"settle, {name}: more than 0"
    yield settle.late_factor >= 1, "settle, late_factor: at least 1"
    yield settle.ahead_s > 0, "settle, ahead_s: more than 0"
    for query in config.query:
        yield from _query(query)


def _query(query: Query) -> Iterator[tuple[bool, str]]:
    yield is_ae_title(query.ae_title), f"query, ae_title: {query.ae_title!r} is not an AE title"
    yield query.host != "" and 1 <= query.port <= 65535, "query, host and port: must be given"
    yield query.retrieve in RETRIEVALS, f"query, retrieve: {', '.join(RETRIEVALS)}"
    yield query.timeout_s > 0 and query.wait_s > 0, "query, timeout_s and wait_s: more than 0"
    yield from _tls(query.tls or PeerTls(), "query, tls")


def _sending(config: Config) -> Iterator[tuple[bool, str]]:
    known = [destination.name for destination in config.destination]
    yield len(config.rule) > 0, "rule: at least one"
    rules = [rule.name for rule in config.rule]
    for kind, names in (("destination", known), ("rule", rules)):
        yield len(set(names)) == len(names), f"{kind}: two have the same name"
        for name in names:
            yield 1 <= len(name) <= LONGEST_NAME, f"{kind} {name!r}: names have 1 to {LONGEST_NAME} characters"
    for destination in config.destination:
        yield from _destination(destination)
    for rule in config.rule:
        for name in rule.destinations:
            yield name in known, f"rule {rule.name}: there is no destination {name!r}"


def _destination(destination: Destination) -> Iterator[tuple[bool, str]]:
    where, given = f"destination {destination.name}", (destination.ae_title, destination.host, destination.port)
    if destination.url:
        yield (
            given == ("", "", 0),
            f"{where}: either url (STOW-RS) or ae_title, host and port (C-STORE)",
        )
        yield len(destination.url) <= LONGEST_URL, f"{where}, url: at most {LONGEST_URL} characters"
        yield _is_web_address(destination.url), f"{where}, url: https://host[:port]/path, without user and query"
    else:
        yield given != ("", "", 0), f"{where}: ae_title, host and port must be given, or url for STOW-RS"
        yield is_ae_title(destination.ae_title), f"{where}, ae_title: {destination.ae_title!r} is not an AE title"
        yield destination.host != "", f"{where}, host: must be given"
        yield 1 <= destination.port <= 65535, f"{where}, port: not a port"
        yield destination.authorization == "", f"{where}, authorization: only with url"
    if destination.tls is not None:
        yield not destination.url.startswith("http:"), f"{where}, tls: only with https"
        yield from _tls(destination.tls, f"{where}, tls")
    yield destination.authorization.isprintable(), f"{where}, authorization: one line"
    yield destination.timeout_s > 0, f"{where}, timeout_s: more than 0"
    yield not (destination.commitment and destination.url), f"{where}, commitment: only without url"
    yield destination.commitment_s > 0, f"{where}, commitment_s: more than 0"
    yield len(destination.profile) > 0, f"{where}, profile: at least one"
    for name in destination.profile:
        known = (*PROFILES, *DocumentRole)
        yield name in known, f"{where}, profile: {name!r} is none of {', '.join(known)}"


def _tls(tls: Tls, where: str) -> Iterator[tuple[bool, str]]:
    yield (tls.certificate is None) == (tls.key is None), f"{where}: certificate and key belong together"


def _working(config: Config) -> Iterator[tuple[bool, str]]:
    triton, work = config.triton, config.work
    for place, url in (("database, url", config.database.url), ("queue, broker_url", config.queue.broker_url)):
        yield _is_url(url), f"{place}: not a URL; in user and password write %40 for @, %3A for :, %2F for /"
    yield triton.mode in ("embedded", "server", "onnx"), "triton, mode: embedded, server or onnx"
    yield _is_host_and_port(triton.url), "triton, url: host:port, for example 127.0.0.1:18001"
    name, _, value = triton.control_header.partition(":")
    is_header = triton.control_header == "" or (name.strip() != "" and value.strip() != "")
    yield is_header and triton.control_header.isprintable(), "triton, control_header: NAME:VALUE"
    is_here = triton.mode != "embedded" or _is_on_this_machine(triton.url.rpartition(":")[0])
    yield is_here, "triton, url: an embedded server listens on 127.0.0.1 or unix:/path, as it knows no TLS"
    yield triton.deadline_s > 0, "triton, deadline_s: more than 0"
    yield triton.threads >= 1, "triton, threads: at least 1"
    yield work.processes >= 1, "work, processes: at least 1"
    yield work.lease_s >= 1, "work, lease_s: at least 1"
    yield work.sweep_s > 0, "work, sweep_s: more than 0"
    for step in Step:
        yield config.limits.of(step) > 0, f"limits, {step}_s: more than 0"
    yield from _retaining(config)
    yield config.report.sr_class in SR_CLASSES, f"report, sr_class: {', '.join(SR_CLASSES)}"
    yield config.audit.keep_bytes >= 1_000_000, "audit, keep_bytes: at least 1000000"
    yield 1 <= config.audit.syslog_port <= 65535, "audit, syslog_port: not a port"
    if config.audit.tls is not None:
        yield from _tls(config.audit.tls, "audit, tls")
    yield config.log.level.upper() in LOG_LEVELS, f"log, level: {', '.join(LOG_LEVELS)}"


def _retaining(config: Config) -> Iterator[tuple[bool, str]]:
    kept = config.retention
    for kind in ("instances", "results", "promised"):
        name = f"keep_{kind}_days"
        yield getattr(kept, name) >= 0, f"retention, {name}: at least 0; inf for ever"
    for rule in config.rule:
        yield rule.keep_days is None or rule.keep_days >= 0, f"rule {rule.name}, keep_days: at least 0; inf for ever"
    is_ordered = 0 <= kept.low_fraction <= kept.high_fraction <= 1
    yield is_ordered, "retention: 0 <= low_fraction <= high_fraction <= 1"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_web_address(text: str) -> bool:
    try:
        address = urlsplit(text)
        is_plain = address.username is None and not address.query and not address.fragment
        return address.scheme in ("http", "https") and bool(address.hostname) and is_plain and (address.port or 1) > 0
    except ValueError:
        return False


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return text == "" or (parts.scheme != "" and (parts.port or 0) >= 0 and parts.netloc.count("@") <= 1)
    except ValueError:
        return False


def _is_on_this_machine(host: str) -> bool:
    try:
        return host.startswith("unix:") or host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_host_and_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return host != "" and port.isdecimal() and 1 <= int(port) <= 65535
