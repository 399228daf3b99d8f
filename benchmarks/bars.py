"""What a run must show: our rate against others' in the same run, reached or not."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Our rate under a workload is at least so many times the best of these."""

    workload: str
    concurrency: int
    at_least: float
    peers: tuple[str, ...]
    against: str = ""
    """The workload of the others, where it is not the same."""


def judged(bars: Sequence[Bar], results: Sequence[Result], ours: str = "ccontrol") -> str:
    """A line for each bar that was measured."""
    lines = []
    for bar in bars:
        mine = _rate(results, bar.workload, bar.concurrency, (ours,))
        theirs = _rate(results, bar.against or bar.workload, bar.concurrency, bar.peers)
        if mine and theirs:
            ratio = mine / theirs
            verdict = "reached" if ratio >= bar.at_least else "NOT REACHED"
            what = bar.against or " or ".join(bar.peers)
            lines.append(
                f"{bar.workload}, {bar.concurrency} in flight: {ratio:.2f} × {what} "
                f"(at least {bar.at_least:g}): {verdict}"
            )
    return "\n".join(lines)


def _rate(results: Sequence[Result], workload: str, concurrency: int, peers: tuple[str, ...]) -> float:
    return max(
        (
            result.rate
            for result in results
            if (result.workload, result.concurrency) == (workload, concurrency) and result.peer in peers
        ),
        default=0.0,
    )
