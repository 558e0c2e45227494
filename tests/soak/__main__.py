"""An hour in the life of a node that everything happens to: nothing is lost, doubled or mixed up, or this fails.

Several senders send chests: whole, in bursts, twice, broken off in the middle, with late slices, with other content
under a known UID, with hostile instances, packets and port probes between them. Meanwhile processes of the node are
killed or stopped at random, its small disk runs full, the PACS goes away, and a second PACS is dead, silent, slow,
refusing, aborting or loses its answers from time to time. Every answer of the node goes to a ledger on disk. In the end
the faults are mended, the node comes to rest and is stopped, and the ledger is compared with its files, its database
and both PACS, and each finding with the place of the nodule that was sent.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random, SystemRandom

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.soak import ledger, report
from tests.soak.destinations import Pacs, pacs
from tests.soak.evidence import gathered
from tests.soak.faults import FaultMaker
from tests.soak.judgement import Judgement, judge
from tests.soak.keeping import Keeper, small_disk, write_settings
from tests.soak.schedule import Stream
from tests.soak.senders import Sender, Traffic
from tests.soak.watching import Watcher

EXAMPLES = """
examples:
  python -m tests.soak                          an hour, as `make soak` does
  python -m tests.soak --minutes 5              a first look
  python -m tests.soak --seed 7 --minutes 60    the faults and senders of a run whose report names seed 7
  make soak ARGS="--minutes 10"                 the same by make

what it leaves in --out:
  report.md, report.json, soak.png    the report; its last one is in deploy/docs/reliability.md
  ledger.jsonl, faults.jsonl, timeline.csv, pulmonode.sqlite, node/node.log    what it is made of
  evidence/    what the node kept, where something was lost, doubled or wrong

exit code: 0 nothing was lost, doubled or wrong; 1 something was, or the node did not come to rest and end;
2 wrong usage.
As root the data of the node is on a small file system in memory, which runs full; otherwise no disk does.
Senders wait while many studies wait: a slow machine has fewer studies, not later ones. Ctrl-C ends the traffic early.
"""
DISK_BYTES, DISK_BYTES_PER_MINUTE = 1 << 30, 80 << 20
LAST_WORDS_S = 180.0
"""What senders have begun they may end for so long."""
LOOK_S = 2.5


def main() -> int:
    """Run, judge and report."""
    options = _options()
    out: Path = options.out or Path("var/soak") / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if out.exists() and any(out.iterdir()):
        print(f"{out} is not empty; name a folder that can be made with --out", file=sys.stderr)
        return 2
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    console = Console()
    console.print(f"seed {options.seed}; report and evidence go to {out}", highlight=False, soft_wrap=True)
    run, judgement = _soak(options, out, console)
    report.write(out, run, judgement)
    console.print((out / "report.md").read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)
    return 0 if run.is_good and judgement.is_good else 1


def _soak(options: argparse.Namespace, out: Path, console: Console) -> tuple[report.Run, Judgement]:
    begun = datetime.now(UTC)
    size_bytes = DISK_BYTES + round(options.minutes * DISK_BYTES_PER_MINUTE)
    with ExitStack() as stack:
        both = (
            stack.enter_context(pacs(out / "pacs", "pacs")),
            stack.enter_context(pacs(out / "second", "second")),
        )
        disk = stack.enter_context(small_disk(out / "node" / "data", size_bytes))
        write_settings(out / "node", [one.destination for one in both], options.models)
        book = ledger.Ledger(out / "ledger.jsonl")
        keeper = Keeper(out / "node")
        watcher = Watcher(out / "timeline.csv", keeper, book, disk)
        faults = FaultMaker(keeper, disk, both, out / "faults.jsonl", options.seed, 60 * options.minutes)
        traffic = _traffic(options, keeper, book, watcher, faults, both[0])
        screen = Screen(console, book, watcher, faults, traffic)
        minutes = _live(options, traffic, faults, screen)
        rested_s = time.monotonic()
        unfinished = _rest(watcher, screen, 60 * options.rest_minutes)
        rest_s = time.monotonic() - rested_s
        watcher.close()
        left_behind = keeper.close()
        book.close()
        screen.say("compares the ledger with what is there")
        data = out / "node" / "data"
        judgement = judge(gathered(data, ledger.read(out / "ledger.jsonl"), both))
        shutil.copy(data / "pulmonode.sqlite", out)
        if not judgement.is_good or unfinished or left_behind:
            large = ("triton", "queue") if judgement.lost else ("triton", "queue", "instances")
            shutil.copytree(data, out / "evidence", ignore=shutil.ignore_patterns(*large))
    run = report.Run(
        seed=options.seed,
        begun=f"{begun:%Y-%m-%d %H:%M} UTC",
        machine=f"{os.cpu_count()} cores ({platform.machine()}{options.remark and ', ' + options.remark})",
        minutes=minutes,
        rest_s=rest_s,
        unfinished=unfinished,
        left_behind=left_behind,
        starts=keeper.starts,
        has_disk=disk is not None,
        faults=dict(faults.counts),
        habits=dict(traffic.habits),
        statuses=dict(traffic.statuses),
        errors=dict(traffic.errors),
    )
    return run, judgement


def _traffic(
    options: argparse.Namespace, keeper: Keeper, book: ledger.Ledger, watcher: Watcher, faults: FaultMaker, held: Pacs
) -> Traffic:
    def may_send() -> bool:
        """Little waits, or the disk is full, which only those who send see."""
        is_free = watcher.waiting is not None and watcher.waiting < options.waiting
        return watcher.has_room and (is_free or Stream.DISK in faults.present)

    def result(rng: Random) -> Path | None:
        return rng.choice(held.files() or [None])

    return Traffic(
        seed=options.seed,
        peer=keeper.node.peer,
        ledger=book,
        results=result,
        may_send=may_send,
        is_over=threading.Event(),
        is_cut_off=threading.Event(),
        started_s=time.monotonic(),
        statuses=Counter(),
        habits=Counter(),
        errors=Counter(),
    )


def _live(options: argparse.Namespace, traffic: Traffic, faults: FaultMaker, screen: Screen) -> float:
    """Let senders and faults go on for the time that was asked for; the minutes that they did.

    What senders have begun they may end after that.
    """
    senders = [Sender(traffic, number) for number in range(1, options.senders + 1)]
    for sender in senders:
        sender.start()
    faults.start()
    started_s = time.monotonic()
    try:
        screen.show_until(lambda: False, 60 * options.minutes, "traffic and faults")
    except KeyboardInterrupt:
        screen.say("ends the traffic early")
    minutes = round((time.monotonic() - started_s) / 60, 1)
    traffic.is_over.set()
    faults.stop()
    screen.show_until(lambda: not any(s.is_alive() for s in senders), LAST_WORDS_S, "senders end what they began")
    traffic.is_cut_off.set()
    for sender in senders:
        sender.join(60)
    return minutes


def _rest(watcher: Watcher, screen: Screen, limit_s: float) -> int:
    """Wait until nothing waits any more, three looks long; what still does then."""
    quiet = 0

    def is_at_rest() -> bool:
        nonlocal quiet
        quiet = quiet + 1 if watcher.waiting == watcher.undelivered == 0 else 0
        return quiet > 3

    screen.show_until(is_at_rest, limit_s, "comes to rest")
    return (watcher.waiting or 0) + (watcher.undelivered or 0)


class Screen:
    """Says how far a run has come: on a terminal all the time, else in a line every minute."""

    def __init__(
        self, console: Console, book: ledger.Ledger, watcher: Watcher, faults: FaultMaker, traffic: Traffic
    ) -> None:
        self._console, self._book, self._watcher = console, book, watcher
        self._faults, self._traffic = faults, traffic

    def say(self, text: str) -> None:
        """Say something once."""
        self._console.print(f"{datetime.now(UTC):%H:%M:%S} {text}", highlight=False, soft_wrap=True)

    def show_until(self, is_over: Callable[[], bool], limit_s: float, phase: str) -> None:
        """Look every few seconds until it is over, or the time is."""
        self.say(phase)
        started_s, told_s = time.monotonic(), time.monotonic()
        with Live(console=self._console, refresh_per_second=1, transient=True) as live:
            while (passed_s := time.monotonic() - started_s) < limit_s and not is_over():
                if self._console.is_terminal:
                    live.update(self._table(f"{phase}: {passed_s / 60:.1f} of at most {limit_s / 60:g} minutes"))
                elif time.monotonic() - told_s >= 60:
                    told_s = time.monotonic()
                    self.say("; ".join(f"{name} {value}" for name, value in self._facts().items()))
                time.sleep(min(LOOK_S, max(0.0, limit_s - passed_s)))

    def _table(self, title: str) -> Table:
        table = Table(title=title, show_header=False, title_justify="left")
        for name, value in self._facts().items():
            table.add_row(name, str(value))
        return table

    def _facts(self) -> dict[str, object]:
        return {
            "instances acknowledged": f"{self._book.counts[ledger.Answer.ACKNOWLEDGED]:,}",
            "studies": f"{len(self._book.studies):,}",
            "wait": self._watcher.waiting,
            "answered": self._watcher.finished,
            "results to be delivered": self._watcher.undelivered,
            "faults so far": self._faults.counts.total(),
            "faults now": ", ".join(f"{stream}: {kind}" for stream, kind in [*self._faults.present.items()]) or "none",
        }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--minutes", type=float, default=60, help="of traffic and faults; then the node comes to rest (default: 60)")
    add("--seed", type=int, default=SystemRandom().randrange(10**6), help="of faults and senders (default: any)")
    add("--out", type=Path, metavar="DIR", help="a new folder for report and evidence (default: var/soak/TIME)")
    add("--senders", type=int, default=4, help="how many scanners send (default: 4)")
    add("--waiting", type=int, default=4, help="none begins a study while so many wait in the node (default: 4)")
    add(
        "--models",
        choices=["embedded", "onnx"],
        default="embedded",
        help="who runs them: the embedded Triton where it runs, or ONNX Runtime in the workers (default: embedded)",
    )
    add("--rest-minutes", type=float, default=20, help="for coming to rest, at most (default: 20)")
    add("--remark", default="", help="for the report, such as what else ran on the machine")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
