"""The accounting months of a company: open until closed, closed in order.

One stream for all of them, not one a month: "in order" is then a rule of one state, and closing a month
says that every month before it is closed. Every posting reads this stream, so a month that closes while
an entry is being decided makes that append fail and decide again.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import ClassVar, assert_never
from uuid import UUID

from write_model.ledger.events import PeriodClosed, PeriodReopened
from write_model.message import Command, Event, State, StateConflict, command
from write_model.message import PeriodClosed as PeriodIsClosed
from write_model.values.period import Period

Facts = PeriodClosed | PeriodReopened

PERIODS = "all"
"""A company has one calendar of periods."""


class AccountingPeriods(State):
    """The last closed month; everything up to it is closed."""

    __slots__ = ("closed_through",)
    kind: ClassVar[str] = "ledger.accounting_periods"

    def __init__(self) -> None:
        self.closed_through: Period | None = None

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case PeriodClosed():
                self.closed_through = Period.parse(fact.period)
            case PeriodReopened():
                self.closed_through = Period.parse(fact.period).previous()
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """The last closed month."""
        return {"closed_through": None if self.closed_through is None else str(self.closed_through)}

    def require_open(self, day: date) -> None:
        """Refuse with PeriodClosed when the month of `day` is closed."""
        if self.closed_through is not None and Period.of(day) <= self.closed_through:
            raise PeriodIsClosed(period=Period.of(day), closed_through=self.closed_through)


class PeriodAlreadyClosed(StateConflict):
    """This period is already closed."""

    pt = "Este período já está fechado"


class PeriodOutOfOrder(StateConflict):
    """Periods close in order, and reopen from the last one."""

    pt = "Os períodos fecham em ordem e reabrem a partir do último"


@command(
    "ledger.close_period",
    on=AccountingPeriods,
    needs="any",
    route="/periods/{period}/close",
    permission="ledger.close",
    target="period",
    resource="period",
    reversed_by="ledger.reopen_period",
)
class ClosePeriod(Command):
    """Close a month: nothing more is posted up to its last day."""

    period: Period

    def stream_key(self) -> UUID | str:
        """The one calendar of the company."""
        return PERIODS

    def decide(self, periods: AccountingPeriods) -> Iterator[Event]:
        """Yield PeriodClosed; the first may be any month, then each follows the one before."""
        closed = periods.closed_through
        if closed is not None and self.period <= closed:
            raise PeriodAlreadyClosed(closed_through=closed)
        if closed is not None and self.period != closed.next():
            raise PeriodOutOfOrder(next=closed.next())
        yield PeriodClosed(period=str(self.period), last_day=self.period.last_day)


@command(
    "ledger.reopen_period",
    on=AccountingPeriods,
    needs="any",
    route="/periods/{period}/reopen",
    permission="ledger.reopen",
    target="period",
    resource="period",
    needs_reason=True,
)
class ReopenPeriod(Command):
    """Open the last closed month again, with a reason."""

    period: Period

    def stream_key(self) -> UUID | str:
        """The one calendar of the company."""
        return PERIODS

    def decide(self, periods: AccountingPeriods) -> Iterator[Event]:
        """Yield PeriodReopened; refuse for any month but the last closed one."""
        if periods.closed_through != self.period:
            raise PeriodOutOfOrder(closed_through=periods.closed_through)
        yield PeriodReopened(period=str(self.period), first_day=self.period.first_day)
