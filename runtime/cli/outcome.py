"""How a command ends: its exit code, and the sentences that go with it."""

from collections.abc import Mapping
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; a promise to scripts."""

    DONE = 0
    FOUND = 1
    """Ran, and found what it looks for: lag over the limit, differences."""
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    UNREACHABLE = 6
    INTEGRITY = 7
    PARTLY = 8
    REFUSED = 9
    INTERNAL = 70
    INTERRUPTED = 130


class Stop(Exception):
    """Ends the command with this code, a plain sentence, and what to do next."""

    def __init__(self, exit_code: Exit, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.message = message
        self.hint = hint

    def diagnostic(self) -> Mapping[str, object]:
        """As it stands in the JSON answer."""
        found: dict[str, object] = {"level": "error", "code": self.code, "message": self.message}
        if self.hint:
            found["hint"] = self.hint
        return found


def usage(message: str, hint: str | None = None) -> Stop:
    """The command was called in a way, or in a place, that cannot work."""
    return Stop(Exit.USAGE, "usage", message, hint)


def unreachable(message: str, hint: str | None = None) -> Stop:
    """Something this command needs does not answer."""
    return Stop(Exit.UNREACHABLE, "unreachable", message, hint)
