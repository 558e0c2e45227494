"""Nothing lost, nothing doubled? The ledger against the files, the index, the results and the PACS. Pure.

What was acknowledged is lost at the first stage that it did not reach: stored with the bytes that were sent, indexed,
in the inputs of its study's last finished result, and that result, bit by bit, in every PACS. Doubled is what exists
twice: two results for the same inputs, one result with two contents, a result in a PACS that the node knows nothing of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import dist

from tests.soak.ledger import Answer, Entry, Origin

Content = tuple[str, str]
"""SOP Instance UID and the hash of the dataset."""
Place = tuple[float, float, float]

NEAR_MM = 5.0
"""Slices lie 4 mm apart, and the nodule has 14 mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that ended with a result.

    Parameters
    ----------
    inputs : the instances of the series that were there when it was planned
    reasons : codes; why there are no findings
    findings_lps : their centres, mm
    results : SOP Instance UID to the SHA-256 of the dataset in the node's file; empty if that is gone
    """

    id: int
    study_instance_uid: str
    rule: str
    inputs: frozenset[Content]
    reasons: tuple[str, ...]
    findings_lps: tuple[Place, ...]
    results: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found when all was over.

    Parameters
    ----------
    stored, aside, indexed : what lies on the disk as an instance, what as a conflict, and what the database names
    jobs : those with a result, oldest first
    taken : by the name of each destination, every content that it ever took under a UID
    """

    entries: tuple[Entry, ...]
    stored: frozenset[Content]
    aside: frozenset[Content]
    indexed: frozenset[Content]
    jobs: tuple[Job, ...]
    taken: Mapping[str, Mapping[str, frozenset[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How much of what was acknowledged came so far; a study with all of its acknowledged instances."""

    name: str
    instances: int
    studies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of it all.

    Parameters
    ----------
    stages : from acknowledged to the last destination
    lost, doubled : one line for each
    wrong : one line for each whole chest that was analysed and has other findings than the nodule that is in it
    analysed, explained, revised : studies with findings, with a report why there are none, with more than one result
    reasons : codes of the latter, and how many
    spoiled : whole chests that were not analysed, by the reasons that their results give
    """

    stages: tuple[Stage, ...]
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    wrong: tuple[str, ...]
    analysed: int
    explained: int
    revised: int
    reasons: Mapping[str, int]
    spoiled: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, doubled or wrong."""
        return not self.lost and not self.doubled and not self.wrong


def judge(evidence: Evidence) -> Judgement:
    """Compare what was promised with what is there."""
    acknowledged = {_content(e): e for e in evidence.entries if e.answer is Answer.ACKNOWLEDGED}
    last = {job.study_instance_uid: job for job in evidence.jobs}
    stages, lost = _passed(list(acknowledged.values()), _gates(evidence, last))
    whole = _whole(acknowledged.values(), last)
    results = Counter(job.study_instance_uid for job in evidence.jobs)
    return Judgement(
        stages=stages,
        lost=(*lost, *_not_kept_aside(evidence)),
        doubled=tuple(_doubled(evidence)),
        wrong=tuple(_wrong(whole, last)),
        analysed=sum(not job.reasons for job in last.values()),
        explained=sum(bool(job.reasons) for job in last.values()),
        revised=sum(count > 1 for count in results.values()),
        reasons=dict(Counter(code for job in last.values() for code in job.reasons)),
        spoiled=dict(Counter(", ".join(last[s].reasons) for s in whole if last[s].reasons)),
    )


def _gates(evidence: Evidence, last: Mapping[str, Job]) -> dict[str, Callable[[Entry], bool]]:
    """What an acknowledged instance has to pass, in this order."""

    def is_answered(entry: Entry) -> bool:
        job = last.get(entry.study_instance_uid)
        if entry.origin is Origin.RESULT:
            return True
        return job is not None and _content(entry) in job.inputs and bool(job.results) and all(job.results.values())

    def is_delivered(entry: Entry, destination: str) -> bool:
        if entry.origin is Origin.RESULT:
            return True
        taken = evidence.taken[destination]
        return all(sha256 in taken.get(uid, ()) for uid, sha256 in last[entry.study_instance_uid].results.items())

    return {
        "stored, with the bytes that were sent": lambda entry: _content(entry) in evidence.stored,
        "in the index": lambda entry: _content(entry) in evidence.indexed,
        "analysed, or explained": is_answered,
        **{
            f"delivered to {name}": lambda entry, name=name: is_delivered(entry, name)  # type: ignore[misc]
            for name in evidence.taken
        },
    }


def _passed(
    entries: list[Entry], gates: Mapping[str, Callable[[Entry], bool]]
) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """How many came through each gate and all before it, and a line for each that did not."""
    promised = Counter(entry.study_instance_uid for entry in entries)
    stages = [Stage(name="acknowledged with 0x0000", instances=len(entries), studies=len(promised))]
    lost = []
    for name, passes in gates.items():
        here = [entry for entry in entries if passes(entry)]
        lost += [f"not {name}: {_told(entry)}" for entry in entries if not passes(entry)]
        entries = here
        whole = Counter(entry.study_instance_uid for entry in entries)
        stages.append(
            Stage(name=name, instances=len(entries), studies=sum(promised[uid] == n for uid, n in whole.items()))
        )
    return tuple(stages), tuple(lost)


def _not_kept_aside(evidence: Evidence) -> Iterator[str]:
    conflicts = {_content(e): e for e in evidence.entries if e.answer is Answer.CONFLICT}
    return (f"not kept aside: {_told(e)}" for content, e in conflicts.items() if content not in evidence.aside)


def _doubled(evidence: Evidence) -> Iterator[str]:
    by_inputs = Counter((job.study_instance_uid, job.rule, job.inputs) for job in evidence.jobs)
    for (study, _, inputs), count in by_inputs.items():
        if count > 1:
            yield f"{count} results for the same {len(inputs)} inputs: study {study}"
    contents: dict[str, set[str]] = defaultdict(set)
    for job in evidence.jobs:
        for uid, sha256 in job.results.items():
            contents[uid] |= {sha256} - {""}
    yield from (f"{len(found)} files of result {uid}" for uid, found in contents.items() if len(found) > 1)
    for name, taken in evidence.taken.items():
        for uid, found in taken.items():
            if uid not in contents:
                yield f"{name} has a result that the node knows nothing of: {uid}"
            elif contents[uid] and not found <= contents[uid]:
                yield f"{name} has result {uid} with other bytes than the node"


def _whole(entries: Iterable[Entry], last: Mapping[str, Job]) -> dict[str, Place | None]:
    """The chests of which everything was acknowledged, and that have a result, with their nodules."""
    chests = [entry for entry in entries if entry.origin is Origin.CHEST]
    held = Counter(entry.study_instance_uid for entry in chests)
    return {
        entry.study_instance_uid: entry.nodule_lps
        for entry in chests
        if held[entry.study_instance_uid] == entry.slices and entry.study_instance_uid in last
    }


def _wrong(whole: Mapping[str, Place | None], last: Mapping[str, Job]) -> Iterator[str]:
    for study, nodule in whole.items():
        found = last[study].findings_lps
        is_right = nodule is not None and len(found) == 1 and dist(found[0], nodule) <= NEAR_MM
        if not last[study].reasons and not is_right:
            yield f"findings at {list(found)}, not at {nodule}: study {study}"


def _content(entry: Entry) -> Content:
    return entry.sop_instance_uid, entry.content_hash


def _told(entry: Entry) -> str:
    return (
        f"instance {entry.sop_instance_uid} of study {entry.study_instance_uid}, {entry.origin},"
        f" from {entry.sender} after {entry.at_s:.1f} s"
    )
