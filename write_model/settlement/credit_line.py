"""What a party may owe at most, and how much of it is used.

Only parties with a limit are counted: a walk-in customer shared by every till must not become a stream
all sales wait for. Setting a limit therefore says what the party owes already.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, assert_never
from uuid import UUID

from write_model.message import Event, RuleBroken, State
from write_model.settlement.events import CreditLimitSet, CreditUsed
from write_model.values.identifiers import PartyId
from write_model.values.limits import require_not_negative
from write_model.values.money import Money

Facts = CreditLimitSet | CreditUsed


class CreditLine(State):
    """A party's limit and what is used of it."""

    __slots__ = ("limit", "used")
    kind: ClassVar[str] = "settlement.credit_line"
    snapshot_version: ClassVar[int] = 1
    limit: Money | None
    used: Money

    def __init__(self) -> None:
        self.limit = None
        self.used = Money.zero()

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case CreditLimitSet():
                self.limit, self.used = fact.limit, fact.used
            case CreditUsed():
                self.used = fact.used_after
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Limit and use."""
        return {"limit": self.limit, "used": self.used}


class CreditLimitExceeded(RuleBroken):
    """This would take the customer over the credit limit."""

    pt = "Isto ultrapassaria o limite de crédito do cliente"


def use(
    line: CreditLine,
    *,
    party_id: PartyId,
    amount: Money,
    document_kind: str,
    document_id: UUID,
    may_exceed: bool = False,
) -> Iterator[Event]:
    """Take `amount` of the limit, or give it back when negative; nothing for a party without a limit.

    Refuses with CreditLimitExceeded, unless it `may_exceed`: a payment that came back is owed again,
    whatever the limit. What was owed before the limit was set may be paid afterwards, so the use never
    falls below zero.
    """
    if line.limit is None or amount.is_zero:
        return
    used = line.used + amount
    if amount.is_positive and used > line.limit and not may_exceed:
        raise CreditLimitExceeded(limit=line.limit, used=line.used, wanted=amount)
    yield CreditUsed(
        party_id=party_id,
        amount=amount,
        used_after=max(used, Money.zero()),
        document_kind=document_kind,
        document_id=document_id,
    )


def set_limit(
    line: CreditLine, *, party_id: PartyId, limit: Money | None, used: Money | None
) -> Iterator[Event]:
    """Say how much a party may owe, None for no limit, and what it owes already.

    Yields CreditLimitSet unless it is so already.
    """
    used = line.used if used is None else used
    require_not_negative(used, "used")
    if limit is not None:
        require_not_negative(limit, "limit")
    if (limit, used) != (line.limit, line.used):
        yield CreditLimitSet(party_id=party_id, limit=limit, used=used)
