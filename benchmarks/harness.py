"""How everything here is measured: same machine, same run, turn by turn, the median of several rounds.

A machine is never quiet, so nobody is measured first and somebody else an hour later: in every round each
case has its turn, in an order that shifts from round to round. Figures of different runs say nothing about
each other; ratios within one do.
"""

import asyncio
import gc
import inspect
import os
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

ROUNDS = 3
SECONDS = 1.0
WARM_UP_SECONDS = 0.3

Operation = Callable[[int], Awaitable[int]]
"""What is measured: given the number of the worker, does something and answers how many units it did."""
BlockingOperation = Callable[[int], int]
"""The same for a peer that blocks its thread."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: how many units in how long, and how long each operation took."""

    units: int
    seconds: float
    latencies: Sequence[float]
    processor_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One peer under one workload."""

    workload: str
    peer: str
    concurrency: int
    run: Callable[[float], Awaitable[Sample]]
    """Measure for about so many seconds."""
    unit: str = "commands/s"
    notes: dict[str, object] = field(default_factory=dict)
    """Goes into the figures as it is: the size of a batch, the version of a peer."""
    server: int | None = None
    """The process whose children work for the peer; what they use counts as cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figures of one case: medians over the rounds."""

    workload: str
    peer: str
    concurrency: int
    rate: float
    p50_ms: float
    p99_ms: float
    unit: str
    spread: float
    """(fastest − slowest round) / median: how far this figure can be believed."""
    rounds: int
    notes: dict[str, object]
    cost_us: float = 0.0
    """Processor time of client and server for one unit, in microseconds."""

    def as_json(self) -> dict[str, object]:
        """Flat, the notes beside the figures."""
        return {
            "workload": self.workload,
            "peer": self.peer,
            "concurrency": self.concurrency,
            "rate": round(self.rate, 1),
            "p50_ms": round(self.p50_ms, 3),
            "p99_ms": round(self.p99_ms, 3),
            "unit": self.unit,
            "spread": round(self.spread, 3),
            "cost_us": round(self.cost_us, 1),
            "rounds": self.rounds,
            **self.notes,
        }


async def sample(operation: Operation | BlockingOperation, concurrency: int, seconds: float) -> Sample:
    """Keep so many operations going for about so long."""
    if inspect.iscoroutinefunction(operation):
        return await _in_flight(operation, concurrency, seconds)
    return await _in_threads(cast("BlockingOperation", operation), concurrency, seconds)


async def _in_flight(operation: Operation, concurrency: int, seconds: float) -> Sample:
    """So many workers, each starting its next operation when the last is done."""
    latencies: list[float] = []
    units = 0
    clock = time.perf_counter
    begun = clock()
    deadline = begun + seconds

    async def work(worker: int) -> None:
        nonlocal units
        now = clock()
        while True:  # everybody at least once, also who is late
            started = now
            # Not `units += await …`: that adds to what it was before the others' turns.
            done = await operation(worker)
            units += done
            now = clock()
            latencies.append(now - started)
            if now >= deadline:
                break

    await asyncio.gather(*(work(worker) for worker in range(concurrency)))
    return Sample(units, clock() - begun, latencies)


async def _in_threads(operation: BlockingOperation, concurrency: int, seconds: float) -> Sample:
    """The same for what blocks: one thread each, and the event loop does nothing else."""
    clock = time.perf_counter
    begun = clock()
    deadline = begun + seconds

    def work(worker: int) -> tuple[int, list[float]]:
        units, latencies = 0, []
        now = clock()
        while True:  # everybody at least once, also who is late
            started = now
            units += operation(worker)
            now = clock()
            latencies.append(now - started)
            if now >= deadline:
                break
        return units, latencies

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(concurrency) as threads:
        done = await asyncio.gather(*(loop.run_in_executor(threads, work, w) for w in range(concurrency)))
    return Sample(sum(units for units, _ in done), clock() - begun, [one for _, many in done for one in many])


def _processor_seconds(server: int | None) -> float:
    """What this process, its children and the server's have used: hardly depends on who else is busy."""
    helpers = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() + helpers.ru_utime + helpers.ru_stime
    if server is None:
        return own
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    return own + sum(map(_used_by, children)) + _used_before(server)


def _used_by(process: str) -> float:
    try:
        # In nanoseconds, of which `stat` knows only hundredths of a second.
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
    except OSError:  # gone meanwhile
        return 0.0


def _used_before(server: int) -> float:
    """By the children that have ended since: a connection that is closed has been one."""
    fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


async def interleaved(cases: Sequence[Case], rounds: int, seconds: float) -> list[Result]:
    """Measure each case once per round, after a short warm-up of each."""
    samples: list[list[Sample]] = [[] for _ in cases]
    for number in range(rounds + 1):
        for turn in range(len(cases)):
            index = (turn + number) % len(cases)
            gc.collect()
            before = _processor_seconds(cases[index].server)
            taken = await cases[index].run(seconds if number else min(WARM_UP_SECONDS, seconds))
            taken = replace(taken, processor_seconds=_processor_seconds(cases[index].server) - before)
            if number:
                samples[index].append(taken)
        if number:
            _progress(cases, samples)
    return [_result(case, taken) for case, taken in zip(cases, samples, strict=True)]


def _result(case: Case, samples: Sequence[Sample]) -> Result:
    rates = [sample.units / sample.seconds for sample in samples]
    rate = statistics.median(rates)
    return Result(
        workload=case.workload,
        peer=case.peer,
        concurrency=case.concurrency,
        rate=rate,
        p50_ms=1000 * statistics.median(percentile(sample.latencies, 50) for sample in samples),
        p99_ms=1000 * statistics.median(percentile(sample.latencies, 99) for sample in samples),
        unit=case.unit,
        spread=(max(rates) - min(rates)) / rate if rate else 0.0,
        rounds=len(samples),
        notes=case.notes,
        cost_us=1e6 * statistics.median(taken.processor_seconds / max(taken.units, 1) for taken in samples),
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def table(results: Sequence[Result]) -> str:
    """Figures for people, one line per case."""
    titles = f"{'workload':<22} {'peer':<16} {'in flight':>9} {'rate':>11} {'':<10} "
    lines = [f"{titles} {'p50 ms':>8} {'p99 ms':>8} {'spread':>7} {'cost µs':>9}"]
    before = None
    for result in results:
        if before not in (None, (result.workload, result.concurrency)):
            lines.append("")
        before = (result.workload, result.concurrency)
        lines.append(
            f"{result.workload:<22} {result.peer:<16} {result.concurrency:>9} {result.rate:>11,.0f} "
            f"{result.unit:<10} {result.p50_ms:>8.2f} {result.p99_ms:>8.2f} {result.spread:>7.0%} "
            f"{result.cost_us:>9,.0f}"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress, beside the figures, which go to standard output."""
    print(text, file=sys.stderr, flush=True)


def _progress(cases: Sequence[Case], samples: Sequence[Sequence[Sample]]) -> None:
    latest = ", ".join(
        f"{case.peer} {taken[-1].units / taken[-1].seconds:,.0f}"
        for case, taken in zip(cases, samples, strict=True)
    )
    say(f"{cases[0].workload} {cases[0].concurrency}: {latest} {cases[0].unit}")
