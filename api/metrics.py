"""What is counted at the doors. No label ever names a company, a person or a record."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from write_model.dispatch import Contended, Receipt, VersionMismatch

# Around the goal of 100 ms.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._timers: dict[tuple[str, str, int], Histogram] = {}
        self._commands: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._events: dict[str, Counter] = {}
        self.requests = Histogram(
            "http_server_request_duration_seconds",
            "How long requests took.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.commands = Counter(
            "ccontrol_commands_total",
            "Commands by what came of them.",
            ("command", "outcome"),
            registry=self.registry,
        )
        self.command_seconds = Histogram(
            "ccontrol_command_duration_seconds",
            "How long deciding and appending took.",
            ("command",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.events = Counter(
            "ccontrol_events_appended_total", "Events recorded.", ("type",), registry=self.registry
        )
        self.conflicts = Counter(
            "ccontrol_concurrency_conflicts_total",
            "Commands that met a newer version.",
            ("command", "resolved"),
            registry=self.registry,
        )
        self.replays = Counter(
            "ccontrol_idempotency_replays_total",
            "Commands answered from the record.",
            registry=self.registry,
        )

    def timer(self, method: str, route: str, status: int) -> Histogram:
        """The timer of one kind of request; looked up here, as the library locks and checks each time."""
        key = (method, route, status)
        found = self._timers.get(key)
        if found is None:
            found = self._timers[key] = self.requests.labels(*key)
        return found

    def count_command(self, topic: str, outcome: str, seconds: float) -> None:
        """A command that was handed in, and how long it took."""
        found = self._commands.get((topic, outcome))
        if found is None:
            made = self.commands.labels(topic, outcome), self.command_seconds.labels(topic)
            found = self._commands[topic, outcome] = made
        counter, timer = found
        counter.inc()
        timer.observe(seconds)

    def count_events(self, receipt: Receipt) -> None:
        """What a command recorded; a replayed one recorded nothing."""
        if receipt.replayed:
            self.replays.inc()
            return
        for event in receipt.events:
            counter = self._events.get(event.topic)
            if counter is None:
                counter = self._events[event.topic] = self.events.labels(event.topic)
            counter.inc()

    def count_conflict(self, topic: str, error: Exception) -> None:
        """A command that lost against another one."""
        if isinstance(error, Contended | VersionMismatch):
            self.conflicts.labels(topic, "false").inc()
