"""Folding events with the handlers of one projection, in memory."""

from collections.abc import Collection, Sequence
from typing import Any

from projections.batch import Batch, RedisBatch
from projections.connections import Permanent
from projections.projector import AnyProjection
from write_model.message import Event, Recorded


class HandlerFailed(Permanent):
    """A handler, or `prepare`, raised; the cause says what."""


class Folder:
    """The handlers of one projection, ready to be called."""

    def __init__(self, projection: AnyProjection) -> None:
        self.projection = projection
        self._handlers: dict[type[Any], Any] = dict(projection.bound())
        self.kinds: frozenset[type[Event]] = frozenset(self._handlers)

    def handles(self, kinds: Collection[type[Event]]) -> bool:
        """Whether any of these event types means anything to the projection."""
        return not self.kinds.isdisjoint(kinds)

    def relevant(self, events: Sequence[Recorded], skipped: Collection[int]) -> list[Recorded]:
        """The events that have a handler and were not left out by an operator."""
        handlers = self._handlers
        found = [recorded for recorded in events if type(recorded.event) in handlers]
        if skipped:
            found = [recorded for recorded in found if recorded.position not in skipped]
        return found

    def fold_rows(self, batch: Batch, events: Sequence[Recorded]) -> None:
        """Let every event do its row operations. Raises HandlerFailed at the first that cannot."""
        handlers = self._handlers
        for recorded in events:
            batch.begin(recorded.company_id, recorded.partition)
            try:
                handlers[type(recorded.event)](batch, recorded, recorded.event)
            except Exception as error:
                raise HandlerFailed(recorded.topic) from error

    def fold_fields(self, batch: RedisBatch, events: Sequence[Recorded]) -> None:
        """The same for Redis."""
        handlers = self._handlers
        for recorded in events:
            try:
                handlers[type(recorded.event)](batch, recorded, recorded.event)
            except Exception as error:
                raise HandlerFailed(recorded.topic) from error
