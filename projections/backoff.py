"""How long to wait before the next try."""

import random


class Backoff:
    """0.1 s, doubled up to 30 s, for ever; with jitter, so that workers do not come back in step."""

    def __init__(self, first_seconds: float = 0.1, longest_seconds: float = 30.0) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._next = first_seconds

    def reset(self) -> None:
        """It worked."""
        self._next = self._first

    def failed(self) -> float:
        """It did not: the seconds to wait now."""
        seconds = self._next * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
        self._next = min(self._next * 2, self._longest)
        return seconds
