"""Finds out which streams a batch will read, so that they are read together.

One command after the other would cost a round trip for each stream nobody has read yet. A scout runs the
decisions ahead of time, against what is known, until each asks for a stream that is not: those are fetched
in one round trip, and the scout goes again. What it decides is thrown away; it may be wrong, for it does not
see what earlier commands of the batch record, and then the real decision reads for itself.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from write_model.companies.company import Company
from write_model.dispatch.workspace import Workspace
from write_model.message import Command, Context, Event, Invalid, Refusal, State, stream_id_of

ROUNDS_MAX = 4
"""Decisions look things up that they found in things they looked up; rarely deeper than this."""

S = TypeVar("S", bound=State)


class _NotYetFound(Exception):
    """A decision asked for streams that nobody has read yet."""

    def __init__(self, kinds: dict[UUID, type[State]]) -> None:
        super().__init__()
        self.kinds = kinds


async def scout(workspace: Workspace, items: Sequence[tuple[Command, Context]]) -> None:
    """Read what these commands will read, as far as it can be foreseen."""
    waiting = list(items)
    for _ in range(ROUNDS_MAX):
        missing: dict[UUID, type[State]] = {}
        stopped = []
        for command, context in waiting:
            try:
                await _foresee(_Ahead(workspace, context), command)
            except _NotYetFound as stop:
                missing |= stop.kinds
                stopped.append((command, context))
            except (Refusal, Invalid, LookupError):
                continue
        if not missing:
            return
        await workspace.prefetch(missing)
        waiting = stopped


async def _foresee(ahead: "_Ahead", command: Command) -> None:
    ahead.require([(Company, ahead.context.company_id), (command.meta.on, command.stream_key())])
    decide = command.decide  # type: ignore[attr-defined]
    if inspect.iscoroutinefunction(decide):
        await decide(ahead)


class _Ahead:
    """The `Streams` of a decision that is only looked ahead: reads what is known, records nothing."""

    def __init__(self, workspace: Workspace, context: Context) -> None:
        self._workspace = workspace
        self.context = context

    def require(self, streams: Sequence[tuple[type[State], UUID | str]]) -> list[State]:
        """The states of these streams, or _NotYetFound naming all that are missing."""
        kinds = {stream_id_of(self.context.company_id, kind.kind, key): kind for kind, key in streams}
        found = {stream: self._workspace.finds(stream) for stream in kinds}
        missing = {stream: kinds[stream] for stream, state in found.items() if state is None}
        if missing:
            raise _NotYetFound(missing)
        return [state for state in found.values() if state is not None]

    async def load(self, state: type[S], key: UUID | str) -> S:
        """The state as it is known."""
        (found,) = await self.load_all(state, [key])
        return found

    async def load_all(self, state: type[S], keys: Sequence[UUID | str]) -> list[S]:
        """The states as they are known; the same key twice is one state twice."""
        self.require([(state, key) for key in keys])
        loaded = [self.require([(state, key)])[0] for key in keys]
        return [item for item in loaded if isinstance(item, state)]

    async def existing(self, state: type[S], key: UUID | str) -> S:
        """The state as it is known, empty or not."""
        return await self.load(state, key)

    async def existing_all(self, state: type[S], keys: Sequence[UUID | str]) -> list[S]:
        """The states as they are known, empty or not."""
        return await self.load_all(state, keys)

    def record(self, state: type[State], key: UUID | str, events: Iterable[Event]) -> None:
        """Nothing is recorded, but the decision behind the events is made."""
        for _ in events:
            continue

    def fingerprint(self, text: str) -> str:
        """As the workspace does it: claims are looked up by it."""
        return self._workspace.fingerprint(text)
