"""What projections tell Prometheus. No label names a company, a user or an id."""

from prometheus_client import Counter, Gauge, Histogram

HEAD = Gauge("ccontrol_event_store_head_position", "Events recorded, over all partitions")
POSITION = Gauge("ccontrol_projection_position", "Events folded, over all partitions", ["projection"])
LAG_EVENTS = Gauge("ccontrol_projection_lag_events", "Events not folded yet", ["projection"])
LAG_SECONDS = Gauge(
    "ccontrol_projection_lag_seconds", "Age of the oldest event not folded yet", ["projection"]
)
STATE = Gauge(
    "ccontrol_projection_state", "0 running, 1 rebuilding, 2 blocked, 3 paused, 4 failed", ["projection"]
)
EVENTS = Counter("ccontrol_projection_events", "Events folded, or failed", ["projection", "outcome"])
BATCH_SECONDS = Histogram(
    "ccontrol_projection_batch_duration_seconds",
    "Time to fold and store one page for one projection",
    ["projection"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5),
)
REBUILD_RATIO = Gauge("ccontrol_projection_rebuild_ratio", "Share of a rebuild that is done", ["projection"])
BLOCKED = Gauge("ccontrol_projection_blocked", "Partitions waiting for a database or network", ["lane"])
