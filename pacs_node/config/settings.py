"""The settings: frozen, with their defaults. Which values can work is in `legality`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pacs_node.domain.rule import Rule
from pacs_node.domain.shipment import DEFAULT_PROFILE
from pacs_node.domain.step import Step
from pacs_node.parsing import secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A table `tls`: who we are (files in PEM), and by whose word peers are who they say."""

    certificate: Path | None = None
    key: Path | None = None
    key_passphrase: str = secret()
    authorities: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScpTls(Tls):
    """`[scp.tls]`: what senders have to show."""

    require_client_certificate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTls(Tls):
    """`tls` of somebody to whom the node connects; without `authorities` those of the system count."""

    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A calling AE title that may open associations: from these addresses and networks, from anywhere without any.

    `host` and `port` say where it listens itself, for reports on storage commitment.
    """

    ae_title: str
    addresses: tuple[str, ...] = ()
    host: str = ""
    port: int = 0
    tls: PeerTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scp:
    """`[scp]`: where and from whom the node receives."""

    ae_title: str = "PULMONODE"
    host: str = "0.0.0.0"
    port: int = 11112
    maximum_associations: int = 100
    maximum_pdu_bytes: int = 131072
    minimum_free_bytes: int = 1_000_000_000
    maximum_instance_bytes: int = 4_000_000_000
    connections_per_minute: int = 6000
    connection_burst: int = 6000
    tls: ScpTls | None = None
    callers: tuple[Caller, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """`[settle]`: how long a study must be quiet; `calling` overrides it per calling AE title.

    A study that has a result already must be quiet for `late_factor` times as long. One that has been quiet for
    `ahead_s` is analysed ahead while nothing else waits.
    """

    quiet_s: float = 30.0
    ahead_s: float = 3.0
    late_factor: float = 10.0
    calling: Mapping[str, float] = field(default_factory=dict)

    def quiet_for(self, calling_ae_title: str) -> float:
        """The quiet time for studies of this sender, seconds."""
        return self.calling.get(calling_ae_title, self.quiet_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """`[[destination]]`: who takes results: a peer AE by C-STORE, or if `url` is given a DICOMweb server by STOW-RS."""

    name: str
    ae_title: str = ""
    host: str = ""
    port: int = 0
    url: str = ""
    authorization: str = secret()
    profile: tuple[str, ...] = DEFAULT_PROFILE
    timeout_s: float = 30.0
    commitment: bool = False
    commitment_s: float = 600.0
    tls: PeerTls | None = None

    @property
    def endpoint(self) -> str:
        """Who is reached there: what is learned of one endpoint does not hold for another."""
        return self.url or f"{self.ae_title}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """`[[query]]`: a PACS that is asked what it holds of a study, before that is analysed; the first that fits."""

    ae_title: str
    host: str
    port: int
    calling_ae_title: tuple[str, ...] = ()
    modality: tuple[str, ...] = ("CT",)
    retrieve: str = "move"
    timeout_s: float = 10.0
    wait_s: float = 180.0
    tls: PeerTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Triton:
    """`[triton]`: who runs the models.

    `mode`: "embedded" starts the server that comes with the node, "server" uses the one at `url`, "onnx" runs ONNX
    Runtime inside the worker.
    """

    mode: str = "embedded"
    url: str = "127.0.0.1:18001"
    control_header: str = secret()
    deadline_s: float = 60.0
    threads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """`[database]`: an SQLAlchemy URL; empty means SQLite in the data folder."""

    url: str = secret()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """`[queue]`: a Celery broker URL; empty means a broker without a server, in the data folder."""

    broker_url: str = secret()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """`[work]`: the workers and the sweep."""

    processes: int = 2
    lease_s: float = 60.0
    sweep_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`[limits]`: how long each step may take."""

    plan_s: float = 300.0
    analyse_s: float = 1800.0
    compose_s: float = 900.0
    deliver_s: float = 900.0

    def of(self, step: Step) -> float:
        """The limit of a step, seconds."""
        return {
            Step.PLAN: self.plan_s,
            Step.ANTICIPATE: self.analyse_s,
            Step.ANALYSE: self.analyse_s,
            Step.COMPOSE: self.compose_s,
            Step.DELIVER: self.deliver_s,
            Step.REPORT: self.deliver_s,
            Step.CONFIRM: self.deliver_s,
            Step.COMPLETE: self.deliver_s,
        }[step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """`[retention]`: how long what is kept, and how full the disk of `data` may become."""

    keep_instances_days: float = math.inf
    keep_results_days: float = math.inf
    keep_promised_days: float = math.inf
    high_fraction: float = 1.0
    low_fraction: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`[report]`: how results are written."""

    sr_class: str = "comprehensive3d"
    ohif_hydration: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """`[audit]`: the audit trail in the data folder, and who gets it by syslog over TLS, if `syslog_host` is given."""

    keep_bytes: int = 500_000_000
    syslog_host: str = ""
    syslog_port: int = 6514
    tls: PeerTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """`[log]`: the level of the log on standard error."""

    level: str = "INFO"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration. Relative paths are relative to the working directory."""

    data: Path = Path("var")
    models: Path = Path("model_repository")
    scp: Scp = Scp()
    settle: Settle = Settle()
    query: tuple[Query, ...] = ()
    rule: tuple[Rule, ...] = (Rule(name="chest-ct"),)
    destination: tuple[Destination, ...] = ()
    triton: Triton = Triton()
    database: Database = Database()
    queue: Queue = Queue()
    work: Work = Work()
    limits: Limits = Limits()
    retention: Retention = Retention()
    report: Report = Report()
    audit: Audit = Audit()
    log: Log = Log()

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database.url or f"sqlite:///{(self.data / 'pulmonode.sqlite').resolve()}"

    @property
    def triton_runtime(self) -> Path:
        """Folder of the embedded Triton's own: its log, and the key to its model control."""
        return self.data / "triton"

    @property
    def broker_url(self) -> str:
        """The Celery broker URL in force."""
        return self.queue.broker_url or "filesystem://"
