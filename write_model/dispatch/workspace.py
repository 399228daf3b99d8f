"""What decisions read and write before anything is stored.

A workspace serves one command, or the commands of one batch in order: each sees what those before it
recorded. It remembers the version of every stream that was read, for the append to check. Cached states
are never changed: the first event recorded on a stream makes a copy of its state.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from write_model.message import Context, Event, NotFound, State, stream_id_of
from write_model.store.append import NewEvent
from write_model.store.snapshots import is_due
from write_model.store.store import Store

S = TypeVar("S", bound=State)


@dataclass(slots=True)
class Versioned:
    """A state and the version of the stream it was folded from."""

    state: State
    version: int


class StateCache:
    """The states used last, by stream. A stale one costs a retry, never a wrong append.

    One that turned out stale is kept as a base: folding what came after it is less than folding all.
    """

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._items: OrderedDict[UUID, Versioned] = OrderedDict()
        self._bases: dict[UUID, Versioned] = {}

    def get(self, stream: UUID) -> Versioned | None:
        """The cached state, if there is one that is not known to be stale."""
        found = self._items.get(stream)
        if found is not None:
            self._items.move_to_end(stream)
        return found

    def base(self, stream: UUID) -> Versioned | None:
        """The state as it was before it turned out stale."""
        return self._bases.get(stream)

    def put(self, stream: UUID, item: Versioned) -> None:
        """Keep a state, unless a later one is kept already."""
        known = self._items.get(stream)
        if known is not None and known.version > item.version:
            return
        self._bases.pop(stream, None)
        self._items[stream] = item
        self._items.move_to_end(stream)
        while len(self._items) > self._capacity:
            self._items.popitem(last=False)

    def outdate(self, found: Mapping[UUID, int]) -> None:
        """These versions turned out stale. Somebody else may have put a later one here meanwhile."""
        for stream, version in found.items():
            item = self._items.get(stream)
            if item is not None and item.version <= version:
                del self._items[stream]
                if item.version:
                    self._bases[stream] = item
        # They are looked up again at once; what nobody came back for is not worth its place.
        while len(self._bases) > self._capacity // 10:
            del self._bases[next(iter(self._bases))]

    def clear(self) -> None:
        """Nothing that is known here is true of the store any more: it holds another history."""
        self._items.clear()
        self._bases.clear()

    def forget(self, stream: UUID) -> None:
        """Not even a base any more."""
        self._items.pop(stream, None)
        self._bases.pop(stream, None)


@dataclass(slots=True)
class Work:
    """What one command read and recorded so far."""

    context: Context
    read: set[UUID]
    written: dict[UUID, Versioned]
    events: list[NewEvent]


class Workspace:
    """The `Streams` of message.py over a store, for the commands of one company."""

    def __init__(self, store: Store, cache: StateCache, company_id: UUID, new_id: Callable[[], UUID]) -> None:
        self._store = store
        self._cache = cache
        self._company_id = company_id
        self._new_id = new_id
        # As found in the store, before any command of this workspace; the append checks these versions.
        self._found: dict[UUID, int] = {}
        # As left by the commands that are finished.
        self._left: dict[UUID, Versioned] = {}
        self._checked: set[UUID] = set()
        self._work: Work | None = None

    # --- one command after the other ---

    def begin(self, context: Context) -> None:
        """Start on a command."""
        self._work = Work(context, set(), {}, [])

    def finish(self) -> tuple[NewEvent, ...]:
        """Keep what the command recorded, for those after it; gives its events."""
        work = self._current
        self._left.update(work.written)
        self._checked |= work.read
        self._work = None
        return tuple(work.events)

    def abandon(self) -> None:
        """Forget what a refused command recorded."""
        self._work = None

    @property
    def expectations(self) -> dict[UUID, int]:
        """The version found of each stream that a finished command read."""
        return {stream: self._found[stream] for stream in self._checked}

    def keep(self) -> None:
        """After the append: the states left are what the streams amount to now."""
        for stream, item in self._left.items():
            self._cache.put(stream, item)
            if is_due(type(item.state), self._found[stream], item.version):
                self._store.keep_snapshot(self._company_id, stream, item.version, item.state)

    async def outdated(self) -> bool:
        """Whether any stream read, a refused command's too, has moved since it was found."""
        if not self._found:
            return False
        now = await self._store.versions(self._company_id, list(self._found))
        moved = {stream for stream, version in self._found.items() if now.get(stream, 0) != version}
        self.outdate(moved)
        return bool(moved)

    def outdate(self, moved: Iterable[UUID]) -> None:
        """These streams, read here, have moved since."""
        self._cache.outdate({stream: self._found[stream] for stream in moved if stream in self._found})

    async def prefetch(self, kinds: Mapping[UUID, type[State]]) -> None:
        """Find streams of any kind in one round trip."""
        await self._find(kinds)

    def finds(self, stream: UUID) -> State | None:
        """The state of a stream if it is known without asking the store."""
        if stream not in self._found:
            cached = self._cache.get(stream)
            if cached is None:
                return None
            self._found[stream] = cached.version
            self._left[stream] = cached
        return self._left[stream].state

    # --- Streams ---

    @property
    def context(self) -> Context:
        """The envelope of the command that is being decided."""
        return self._current.context

    async def load(self, state: type[S], key: UUID | str) -> S:
        """The state of one stream, with what this workspace recorded on it."""
        (found,) = await self.load_all(state, [key])
        return found

    async def load_all(self, state: type[S], keys: Sequence[UUID | str]) -> list[S]:
        """Several streams of one kind in one round trip, in the order of `keys`."""
        streams = [stream_id_of(self._company_id, state.kind, key) for key in keys]
        await self._find(dict.fromkeys(streams, state))
        loaded = []
        for stream in streams:
            self._current.read.add(stream)
            item = self._seen(stream).state
            if not isinstance(item, state):
                raise TypeError(f"stream of {state.kind} was folded as {type(item).__name__}")
            loaded.append(item)
        return loaded

    async def existing(self, state: type[S], key: UUID | str) -> S:
        """Like `load`, but raises NotFound for an empty stream."""
        (found,) = await self.existing_all(state, [key])
        return found

    async def existing_all(self, state: type[S], keys: Sequence[UUID | str]) -> list[S]:
        """Like `load_all`, but raises NotFound for any empty stream."""
        loaded = await self.load_all(state, keys)
        for key in keys:
            if self.version_of(state, key) == 0:
                raise NotFound(resource=state.kind.partition(".")[2])
        return loaded

    def version_of(self, state: type[State], key: UUID | str) -> int:
        """The version of a loaded stream, with what this workspace recorded on it."""
        return self._seen(stream_id_of(self._company_id, state.kind, key)).version

    def record(self, state: type[State], key: UUID | str, events: Iterable[Event]) -> None:
        """Add events to a loaded stream; none are stored before the whole decision is made."""
        stream = stream_id_of(self._company_id, state.kind, key)
        work = self._current
        if stream not in work.read:
            raise LookupError(f"{state.kind} was not loaded before it was recorded on")
        for event in tuple(events):
            item = work.written.get(stream)
            if item is None:
                seen = self._seen(stream)
                own = seen.state.copy() if seen.version else state()
                item = work.written[stream] = Versioned(own, seen.version)
            item.state.apply(event)
            item.version += 1
            work.events.append(
                NewEvent(stream_id=stream, version=item.version, event_id=self._new_id(), event=event)
            )

    def fingerprint(self, text: str) -> str:
        """A keyed hash of `text` under the company's key."""
        return self._store.fingerprint(self._company_id, text)

    # --- inside ---

    @property
    def _current(self) -> Work:
        if self._work is None:
            raise LookupError("no command has begun")
        return self._work

    def _seen(self, stream: UUID) -> Versioned:
        """A stream as the command sees it: its own events, else those before it, else as found."""
        work = self._current
        item = work.written.get(stream) or self._left.get(stream) or self._cache.get(stream)
        if item is None:
            raise LookupError("the stream was not loaded")
        return item

    async def _find(self, kinds: Mapping[UUID, type[State]]) -> None:
        missing = [stream for stream in kinds if self.finds(stream) is None]
        if not missing:
            return
        bases = await self._bases({stream: kinds[stream] for stream in missing})
        stored = await self._store.read_on(
            self._company_id, {stream: base.version if base else 0 for stream, base in bases.items()}
        )
        for stream, base in bases.items():
            kind, events = kinds[stream], stored[stream]
            # A stale state's stream moved, so there is something new. If not, the stream went back, as under
            # a restored database, and what is known of it was never so.
            if not events and base is not None and base is self._cache.base(stream):
                self._cache.forget(stream)
                base = None
                events = (await self._store.read_on(self._company_id, {stream: 0}))[stream]
            item = Versioned(kind(), 0) if base is None else Versioned(base.state.copy(), base.version)
            for recorded in events:
                item.state.apply(recorded.event)
                item.version = recorded.version
            self._found[stream] = item.version
            self._left[stream] = item
            self._cache.put(stream, item)
            if is_due(kind, base.version if base else 0, item.version):
                self._store.keep_snapshot(self._company_id, stream, item.version, item.state)

    async def _bases(self, kinds: Mapping[UUID, type[State]]) -> dict[UUID, Versioned | None]:
        """What each stream can be folded on from: a stale state, else a snapshot, else nothing."""
        bases = {stream: self._cache.base(stream) for stream in kinds}
        wanted = {s: kind for s, kind in kinds.items() if kind.snapshot_version and bases[s] is None}
        if wanted:
            for stream, (version, state) in (
                await self._store.read_snapshots(self._company_id, wanted)
            ).items():
                bases[stream] = Versioned(state, version)
        return bases
