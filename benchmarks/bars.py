"""What a run must show: our rate against others' in the same run, reached or not."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Our rate under a workload is at least so many times the best of these; without any, at least that."""

    workload: str
    concurrency: int
    at_least: float
    peers: tuple[str, ...] = ()
    against: str = ""
    """The workload of the others, where it is not the same."""


def judged(bars: Sequence[Bar], results: Sequence[Result], ours: str = "ccontrol") -> str:
    """A line for each bar that was measured."""
    lines = []
    for bar in bars:
        mine = _rate(results, bar.workload, bar.concurrency, (ours,))
        if not mine:
            continue
        if bar.peers:
            theirs = _rate(results, bar.against or bar.workload, bar.concurrency, bar.peers)
            if not theirs:
                continue
            reached = mine / theirs
            figure = f"{reached:.2f} × {bar.against or ' or '.join(bar.peers)}"
        else:
            reached = mine
            figure = f"{mine:,.0f}/s"
        verdict = "reached" if reached >= bar.at_least else "NOT REACHED"
        lines.append(
            f"{bar.workload}, {bar.concurrency} in flight: {figure} (at least {bar.at_least:,g}): {verdict}"
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
