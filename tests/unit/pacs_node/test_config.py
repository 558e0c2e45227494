from __future__ import annotations

from pathlib import Path

import pytest

from pacs_node.config import Caller, Config, Destination, Settle, load
from pacs_node.domain.rule import Rule
from pacs_node.errors import ConfigInvalid


def _loaded(folder: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environment or {})


@pytest.mark.parametrize("url", ["127.0.0.1:1", "localhost:1", "unix:/run/pulmonode/triton:1"])
def test_an_embedded_server_listens_on_this_machine(tmp_path: Path, url: str) -> None:
    (tmp_path / "node.toml").write_text(f"[triton]\nurl = '{url}'")
    assert load(tmp_path / "node.toml", {}).triton.url == url


def test_a_server_of_ones_own_may_be_anywhere(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("[triton]\nmode = 'server'\nurl = 'triton.example:8001'")
    assert load(tmp_path / "node.toml", {}).triton.mode == "server"


def _refusal(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        _loaded(folder, text, environment)
    return str(caught.value)


def test_no_file_and_an_empty_file_give_the_defaults(tmp_path: Path) -> None:
    assert load(None, {}) == _loaded(tmp_path, "") == Config()


def test_the_default_node_is_pulmonode_on_port_11112() -> None:
    assert (Config().scp.ae_title, Config().scp.port) == ("PULMONODE", 11112)


def test_a_file_replaces_only_what_it_names(tmp_path: Path) -> None:
    config = _loaded(
        tmp_path, '[scp]\nport = 104\n[[scp.callers]]\nae_title = "CT1"\naddresses = ["10.0.0.1", "10.1.0.0/16"]'
    )
    assert config.scp.port == 104
    assert config.scp.ae_title == "PULMONODE"
    assert config.scp.callers == (Caller(ae_title="CT1", addresses=("10.0.0.1", "10.1.0.0/16")),)


def test_rules_and_destinations_are_read_in_their_order(tmp_path: Path) -> None:
    text = """
        [[destination]]
        name = "pacs"
        ae_title = "PACS"
        host = "pacs.example"
        port = 104
        [[rule]]
        name = "thin"
        destinations = ["pacs"]
        thickness_mm = [0.5, 1.5]
        [[rule]]
        name = "rest"
    """
    config = _loaded(tmp_path, text)
    assert config.destination == (Destination(name="pacs", ae_title="PACS", host="pacs.example", port=104),)
    thin = Rule(name="thin", destinations=("pacs",), thickness_mm=(0.5, 1.5))
    assert config.rule == (thin, Rule(name="rest"))


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environment = {
        "PULMONODE_SCP__PORT": "105",
        "PULMONODE_SETTLE__QUIET_S": "2.5",
        "PULMONODE_REPORT__OHIF_HYDRATION": "Yes",
        "PULMONODE_DATA": "archive",
        "PULMONODE_CONFIG": "where the file came from",
        "PATH": "of no concern",
    }
    config = _loaded(tmp_path, "[scp]\nport = 104", environment)
    assert (config.scp.port, config.settle.quiet_s, config.report.ohif_hydration) == (105, 2.5, True)
    assert config.data == Path("archive")


def test_a_sender_of_its_own_has_a_quiet_time_of_its_own() -> None:
    settle = Settle(quiet_s=30, calling={"ROUTER": 5})
    assert settle.quiet_for("ROUTER") == 5
    assert settle.quiet_for("CT1") == 30


def test_database_and_broker_are_embedded_unless_named(tmp_path: Path) -> None:
    embedded = Config(data=tmp_path)
    assert embedded.database_url == f"sqlite:///{tmp_path}/pulmonode.sqlite"
    assert embedded.broker_url == "filesystem://"
    named = _loaded(tmp_path, '[database]\nurl = "postgresql://db/x"\n[queue]\nbroker_url = "redis://mq/0"')
    assert (named.database_url, named.broker_url) == ("postgresql://db/x", "redis://mq/0")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[scp]\nprot = 104", ("unknown key 'prot'", "did you mean 'port'")),
        ("[spc]\nport = 104", ("unknown key 'spc'", "did you mean 'scp'")),
        ("[[rule]]\nname = 'a'\nkernels = ['B30']", ("unknown key 'kernels'", "did you mean 'kernel'")),
        ("[report]\nxyzzy = 1", ("unknown key 'xyzzy'",)),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    message = _refusal(tmp_path, text)
    assert all(part in message for part in parts)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("scp = 7", "scp: expected a table"),
        ("[scp]\nport = 'x'", "port: 'x' is not int"),
        ("[scp]\nport = 1.5", "port: 1.5 is not int"),
        ("[scp]\nport = true", "port: True is not int"),
        ("[scp]\nport = 65536", "not a port"),
        ("[scp]\nae_title = 7", "ae_title: 7 is not str"),
        ("[scp]\nae_title = ''", "not an AE title"),
        ("[scp]\nae_title = 'SEVENTEEN-LETTERS'", "not an AE title"),
        ("[scp]\nmaximum_pdu_bytes = 4095", "at least 4096"),
        ("[scp]\nmaximum_associations = 0", "at least 1"),
        ("[scp]\ncallers = 'CT1'", "callers: expected a list"),
        ("[[scp.callers]]\naddresses = []", "ae_title must be given"),
        ("[[scp.callers]]\nae_title = 'A\\B'", "not an AE title"),
        ("[[scp.callers]]\nae_title = 'CT1'\naddresses = ['scanner']", "'scanner' is neither an address nor a network"),
        ("[scp]\nconnections_per_minute = -1", "0 for no limit, or more"),
        ("[scp]\nconnection_burst = 0", "connection_burst: at least 1"),
        ("[scp.tls]\nkey = 'k'", "scp.tls: certificate and key must be given"),
        ("[scp.tls]\ncertificate = 'c'\nauthorities = 'a'", "scp.tls: certificate and key belong together"),
        ("[scp.tls]\ncertificate = 'c'\nkey = 'k'", "authorities must be given, or require_client_certificate = false"),
        ("[[destination]]\nname = 'a'\nurl = 'http://h/'\ntls = {}", "destination a, tls: only with https"),
        ("[[destination]]\nname = 'a'\nurl = 'https://h'\ntls = {key = 'k'}", "certificate and key belong together"),
        ("[settle]\nquiet_s = 0", "quiet_s: more than 0"),
        ("[settle]\nquiet_s = nan", "quiet_s: more than 0"),
        ("[settle]\nlate_factor = 0.9", "late_factor: at least 1"),
        ("[settle]\nahead_s = 0", "ahead_s: more than 0"),
        ("[settle.calling]\nCT1 = -1", "CT1: more than 0"),
        ("[settle]\ncalling = 5", "calling: expected a table"),
        ("[[rule]]\nname = 'a'\n[[rule]]\nname = 'a'", "rule: two have the same name"),
        ("[[rule]]\nname = ''", "1 to 64 characters"),
        ("[[rule]]\npipeline = 'jnsc'", "name must be given"),
        ("[[rule]]\nname = 'a'\ndestinations = ['nowhere']", "rule a: there is no destination 'nowhere'"),
        ("[[rule]]\nname = 'a'\nmodality = 3", "modality: expected a list"),
        ("[[rule]]\nname = 'a'\nthickness_mm = [1.0]", "expected 2 values"),
        ("[[destination]]\nname = 'a'", "ae_title, host and port must be given, or url"),
        ("[[destination]]\nname = 'a'\nurl = 'https://h/dicom-web'\nport = 104", "either url (STOW-RS) or ae_title"),
        ("[[destination]]\nname = 'a'\nurl = 'ftp://h/dicom-web'", "url: https://host[:port]/path"),
        ("[[destination]]\nname = 'a'\nurl = 'https://me:secret@h/'", "without user and query"),
        ("[[destination]]\nname = 'a'\nurl = 'https://h'\nauthorization = \"a\\nb\"", "authorization: one line"),
        ("[[destination]]\nname = 'a'\nae_title = 'A'\nhost = 'h'\nport = 1\nauthorization = 'x'", "only with url"),
        ("[[destination]]\nname = 'a'\nurl = 'https://h'\nprofile = ['seg', 'pictures']", "'pictures' is none of full"),
        ("[[destination]]\nname = 'a'\nurl = 'https://h'\nprofile = []", "profile: at least one"),
        ("[[destination]]\nname = 'a'\nae_title = ' '\nhost = 'h'\nport = 104", "not an AE title"),
        ("[[destination]]\nname = 'a'\nae_title = 'A'\nhost = 'h'\nport = 0", "not a port"),
        ("[[destination]]\nname = 'a'\nae_title = 'A'\nhost = 'h'\nport = 1\ntimeout_s = 0", "timeout_s: more than 0"),
        ("[[scp.callers]]\nae_title = 'CT1'\nhost = 'h'", "host and port of CT1 go together"),
        ("[[scp.callers]]\nae_title = 'CT1'\nhost = 'h'\nport = 65536", "65536 is not a port"),
        ("[[destination]]\nname = 'a'\nurl = 'https://h'\ncommitment = true", "commitment: only without url"),
        ("[[destination]]\nname = 'a'\nae_title = 'A'\nhost = 'h'\nport = 1\ncommitment_s = 0", "commitment_s: more"),
        ("[[query]]\nae_title = ''\nhost = 'h'\nport = 1", "query, ae_title: '' is not an AE title"),
        ("[[query]]\nae_title = 'A'\nhost = ''\nport = 1", "query, host and port: must be given"),
        ("[[query]]\nae_title = 'A'\nhost = 'h'\nport = 1\nretrieve = 'push'", "retrieve: move, get, none"),
        ("[[query]]\nae_title = 'A'\nhost = 'h'\nport = 1\nwait_s = 0", "timeout_s and wait_s: more than 0"),
        ("[triton]\nmode = 'magic'", "embedded, server or onnx"),
        ("[triton]\nurl = 'localhost'", "host:port"),
        ("[triton]\nurl = '0.0.0.0:18001'", "an embedded server listens on 127.0.0.1"),
        ("[triton]\nurl = 'triton.example:18001'", "an embedded server listens on 127.0.0.1"),
        ("[triton]\ncontrol_header = 'name'", "control_header: NAME:VALUE"),
        (
            "[database]\nurl = 'postgresql://u:a@b@h/x'",
            "database, url: not a URL; in user and password write %40 for @",
        ),
        ("[queue]\nbroker_url = 'amqp://u:a/b@h/x'", "queue, broker_url: not a URL"),
        ("[triton]\ndeadline_s = 0", "deadline_s: more than 0"),
        ("[triton]\nthreads = 0", "threads: at least 1"),
        ("[work]\nprocesses = 0", "processes: at least 1"),
        ("[work]\nlease_s = 0.5", "lease_s: at least 1"),
        ("[work]\nsweep_s = 0", "sweep_s: more than 0"),
        ("[limits]\nanalyse_s = 0", "limits, analyse_s: more than 0"),
        ("[report]\nohif_hydration = 1", "ohif_hydration: 1 is not bool"),
        ("[report]\nsr_class = 'basic'", "comprehensive3d, comprehensive, enhanced"),
        ("[log]\nlevel = 'LOUD'", "DEBUG, INFO, WARNING, ERROR"),
        ("scp = [", "not TOML"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_place(tmp_path: Path, text: str, part: str) -> None:
    assert part in _refusal(tmp_path, text)


@pytest.mark.parametrize(("text", "profile"), [("'full'", ("full",)), ("['seg+sr', 'pdf']", ("seg+sr", "pdf"))])
def test_a_profile_is_a_name_or_a_list_of_names(tmp_path: Path, text: str, profile: tuple[str, ...]) -> None:
    config = _loaded(tmp_path, f"[[destination]]\nname = 'a'\nurl = 'https://h/dicom-web'\nprofile = {text}")
    assert config.destination == (Destination(name="a", url="https://h/dicom-web", profile=profile),)


def test_a_secret_is_not_printed(tmp_path: Path) -> None:
    text = "[[destination]]\nname = 'a'\nurl = 'https://h'\nauthorization = 'Bearer SECRET'"
    config = _loaded(tmp_path, text)
    assert config.destination[0].authorization == "Bearer SECRET"
    assert "SECRET" not in repr(config)


def test_two_destinations_of_one_name_are_refused(tmp_path: Path) -> None:
    block = "[[destination]]\nname = 'a'\nae_title = 'A'\nhost = 'h'\nport = 104\n"
    assert "destination: two have the same name" in _refusal(tmp_path, block + block)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("PULMONODE_SCP__PROT", "unknown key 'prot'"),
        ("PULMONODE_SCP", "expected a table"),
        ("PULMONODE_RULE__NAME", "lists cannot be set from the environment"),
    ],
)
def test_the_environment_is_checked_like_the_file(tmp_path: Path, name: str, part: str) -> None:
    assert part in _refusal(tmp_path, "[[rule]]\nname = 'a'", {name: "7"})


def test_a_file_that_is_not_there_says_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"absent\.toml: No such file or directory; name another file"):
        load(tmp_path / "absent.toml", {})


def test_a_secret_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer SECRET\n")
    (tmp_path / "url").write_text("postgresql://u:SECRET@h/x")
    text = f"[[destination]]\nname = 'a'\nurl = 'https://h'\nauthorization_file = '{tmp_path / 'token'}'"
    config = _loaded(tmp_path, text, {"PULMONODE_DATABASE__URL_FILE": str(tmp_path / "url")})
    assert config.destination[0].authorization == "Bearer SECRET"
    assert config.database_url == "postgresql://u:SECRET@h/x"
    assert "SECRET" not in repr(config)


def test_a_secret_is_in_no_refusal(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"SECRET\xff")
    (tmp_path / "lines").write_text("SECRET\nSECRET")
    block = "[[destination]]\nname = 'a'\nurl = 'https://h'\n"
    for text, part in (
        ("[database]\nurl = 8675309", "database, url: not a text"),
        ("[database]\nurl = ['SECRET']", "database, url: not a text"),
        ("[database]\nurl = 'postgresql://u:SEC@RET@h/SECRET'", "database, url: not a URL"),
        ("[queue]\nbroker_url = 'SECRET'", "queue, broker_url: not a URL"),
        ("[triton]\ncontrol_header = 'SECRET'", "control_header: NAME:VALUE"),
        (f"{block}authorization = 'SECRET'\nauthorization_file = 'x'", "either authorization or authorization_file"),
        (f"{block}authorization_file = '{tmp_path / 'bytes'}'", "not text in UTF-8"),
        (f"{block}authorization_file = '{tmp_path / 'lines'}'", "authorization: one line"),
        (f"{block}authorization_file = '{tmp_path / 'absent'}'", "absent: No such file or directory"),
        (f"{block}autorization = 'SECRET'", "did you mean 'authorization'?"),
    ):
        message = _refusal(tmp_path, text)
        assert part in message
        assert not {word for word in ("SECRET", "8675309", "RET") if word in message}
