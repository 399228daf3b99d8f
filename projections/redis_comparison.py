"""Whether two generations of a Redis projection say the same, while one of them is being written.

Redis has no snapshots. But a view carries the position at which it last changed, so a view that did not
change behind the position looked at can be compared in peace; another is looked at again a moment later.
"""

from projections.building import Build
from projections.comparison import SAMPLE_ROWS, Comparison, RowDifference, TableComparison
from projections.redis_lane import RedisLane

_ROUNDS = 10


async def compare_views(
    lane: RedisLane, live_generation: int, build: Build, *, jobs: int, sample_rows: int = SAMPLE_ROWS
) -> Comparison | None:
    """All views of all partitions; None when what is served is not complete itself."""
    differences: list[RowDifference] = []
    counts = [0, 0]
    positions: dict[int, int] = {}
    for partition, follower in build.followers.items():
        pending: set[str] | None = None
        for _ in range(_ROUNDS):
            live = await lane.peek(build.name, live_generation, partition)
            if live is None:
                return None
            await build.fold_to(build.positions | {partition: live.position}, jobs=jobs, phase="compare")
            fresh = await lane.peek(build.name, build.generation, partition)
            if fresh is None or fresh.position != live.position:
                if live.position == 0:
                    break
                return None
            positions[partition] = live.position
            names = await lane.view_names(live), await lane.view_names(fresh)
            if pending is None:
                pending = names[0] | names[1]
                counts = [counts[0] + len(names[0]), counts[1] + len(names[1])]
            moving = set()
            for name in sorted(pending):
                ours, changed_at = await lane.view(live, name)
                theirs, _ = await lane.view(fresh, name)
                if changed_at > live.position:
                    moving.add(name)
                elif ours != theirs:
                    differences.append(
                        RowDifference(f"{follower.partition}:{name}", dict(ours), dict(theirs))
                    )
            pending = moving
            if not pending:
                break
    fields = {field for row in differences for field in _differing(row)}
    table = TableComparison(
        build.name, counts[0], counts[1], tuple(sorted(fields)), tuple(differences[:sample_rows])
    )
    return Comparison(build.name, positions, (table,))


def _differing(row: RowDifference) -> set[str]:
    live, fresh = row.live or {}, row.fresh or {}
    return {name for name in live.keys() | fresh.keys() if live.get(name) != fresh.get(name)}
