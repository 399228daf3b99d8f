"""The harness counts right: a wrong figure is worse than none."""

import asyncio
from threading import Barrier

import pytest

from benchmarks.bars import Bar, judged
from benchmarks.harness import Case, Result, Sample, interleaved, percentile, sample, table


@pytest.mark.asyncio
async def test_what_workers_do_at_the_same_time_is_counted_once_each() -> None:
    done = 0

    async def operation(worker: int) -> int:
        nonlocal done
        await asyncio.sleep(0.001 * (1 + worker % 3))
        done += 2
        return 2

    taken = await sample(operation, 16, 0.05)
    assert taken.units == done
    assert len(taken.latencies) * 2 == done


@pytest.mark.asyncio
async def test_what_blocks_gets_a_thread_per_worker() -> None:
    workers: list[int] = []
    all_there = Barrier(4)

    def operation(worker: int) -> int:
        workers.append(worker)
        all_there.wait(timeout=60)
        return 1

    taken = await sample(operation, 4, 0.0)
    assert taken.units == len(workers) == 4
    assert set(workers) == {0, 1, 2, 3}


@pytest.mark.asyncio
async def test_each_round_gives_everybody_a_turn_and_begins_with_another() -> None:
    turns: list[str] = []

    def case(name: str, rates: list[int]) -> Case:
        async def run(seconds: float) -> Sample:
            turns.append(name)
            return Sample(rates.pop(0), 1.0, [0.001, 0.002])

        return Case(workload="w", peer=name, concurrency=1, run=run, notes={"version": "1"})

    results = await interleaved([case("a", [0, 10, 90, 20]), case("b", [0, 5, 5, 5])], 3, 0.0)
    assert "".join(turns) == "ab" + "ba" + "ab" + "ba"
    assert [result.rate for result in results] == [20, 5]
    assert results[0].spread == 4.0
    assert results[0].as_json()["version"] == "1"
    assert "a" in table(results)


def test_percentiles() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile([], 99)) == (51.0, 100.0, 0.0)


def test_a_bar_compares_with_the_best_of_the_peers() -> None:
    def result(peer: str, rate: float, workload: str = "w") -> Result:
        return Result(
            workload=workload, peer=peer, concurrency=1, rate=rate, p50_ms=0, p99_ms=0, unit="x", spread=0,
            rounds=3, notes={},
        )  # fmt: skip

    results = [result("ccontrol", 30), result("a", 10), result("b", 20), result("ccontrol", 10, "other")]

    def judgement(at_least: float, peers: tuple[str, ...], against: str = "") -> str:
        bar = Bar(workload="w", concurrency=1, at_least=at_least, peers=peers, against=against)
        return judged([bar], results)

    assert judgement(1.5, ("a", "b")).endswith("1.50 × a or b (at least 1.5): reached")
    assert judgement(1.6, ("a", "b")).endswith("NOT REACHED")
    assert "3.00 × other" in judgement(1, ("ccontrol",), "other")
    assert judgement(1, ("nobody",)) == ""
    assert judgement(30, ()).endswith("30/s (at least 30): reached")
    assert judgement(31, ()).endswith("NOT REACHED")
