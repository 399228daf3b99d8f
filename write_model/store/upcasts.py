"""How events of an older shape are read: pure functions from data to data, one schema version at a time.

    @upcast("sales.sale_confirmed", from_version=1)
    def _(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "channel": "counter"}

Stored events are never rewritten. Every older version of every topic has exactly one upcast to the next; a
gap or a duplicate stops the process when it starts, long before it meets such an event.
"""

from collections.abc import Callable, Mapping
from typing import Any

Data = dict[str, Any]
Upcast = Callable[[Data], Data]


class UpcastsIncomplete(Exception):
    """The upcasts do not form one chain to the present version of each topic."""


class Upcasts:
    """The upcasts of all topics."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], Upcast] = {}

    def register(self, topic: str, *, from_version: int) -> Callable[[Upcast], Upcast]:
        """Declare how version `from_version` of a topic becomes the next."""

        def declare(step: Upcast) -> Upcast:
            if (topic, from_version) in self._steps:
                raise UpcastsIncomplete(f"{topic} has two upcasts from version {from_version}")
            self._steps[topic, from_version] = step
            return step

        return declare

    def check(self, present: Mapping[str, int]) -> None:
        """Refuse unless each topic's versions 1 to its present one form a chain, and nothing is left over."""
        wanted = {(topic, version) for topic, now in present.items() for version in range(1, now)}
        missing, superfluous = wanted - self._steps.keys(), self._steps.keys() - wanted
        if missing or superfluous:
            raise UpcastsIncomplete(
                "; ".join(
                    [f"{topic} lacks an upcast from version {version}" for topic, version in sorted(missing)]
                    + [f"{topic} has none to make from version {v}" for topic, v in sorted(superfluous)]
                )
            )

    def apply(self, topic: str, version: int, present: int, data: Data) -> Data:
        """Bring data of `version` to the `present` one."""
        for step in range(version, present):
            data = self._steps[topic, step](data)
        return data


UPCASTS = Upcasts()
upcast = UPCASTS.register
