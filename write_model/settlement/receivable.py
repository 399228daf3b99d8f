"""A receivable: one title made of instalments, each settled in whole or in parts.

The ids of a title nest: the last 32 bits of a receivable's id are zero, an instalment's id has its number
in the last 16, a settlement's in the 16 before. So an instalment's id alone finds the stream it lives in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, assert_never
from uuid import UUID, uuid5

from write_model.message import Event, NotFound, RuleBroken, State, StateConflict
from write_model.settlement.events import (
    Instalment,
    InstalmentBalance,
    InstalmentSettled,
    ReceivableCancelled,
    ReceivableCreated,
    SettledAmounts,
    SettlementReversed,
)
from write_model.values.identifiers import BankAccountId, InstalmentId, PartyId, ReceivableId, SettlementId
from write_model.values.late_charges import LateTerms, charges
from write_model.values.limits import require_not_negative, require_positive
from write_model.values.money import Money

Facts = ReceivableCreated | InstalmentSettled | SettlementReversed | ReceivableCancelled

_NESTED_BITS = 32
_NUMBER_BITS = 16


def receivable_id_for(document_id: UUID) -> ReceivableId:
    """The title of a document."""
    whole = uuid5(document_id, "settlement.receivable").int
    return ReceivableId(UUID(int=whole >> _NESTED_BITS << _NESTED_BITS))


def instalment_id(receivable_id: ReceivableId, number: int) -> InstalmentId:
    """The id of the n-th instalment of a title."""
    return InstalmentId(UUID(int=receivable_id.int | number))


def settlement_id(receivable_id: ReceivableId, number: int) -> SettlementId:
    """The id of the n-th settlement of a title."""
    return SettlementId(UUID(int=receivable_id.int | number << _NUMBER_BITS))


def receivable_of(part: UUID) -> ReceivableId:
    """The title that an instalment or a settlement belongs to."""
    return ReceivableId(UUID(int=part.int >> _NESTED_BITS << _NESTED_BITS))


class Receivable(State):
    """The instalments of a title and the settlements that still stand."""

    __slots__ = ("instalments", "late_terms", "party_id", "reversed", "settled", "settlements_made", "status")
    kind: ClassVar[str] = "settlement.receivable"

    def __init__(self) -> None:
        self.status = "unknown"
        self.party_id: PartyId | None = None
        self.late_terms: LateTerms | None = None
        self.instalments: dict[InstalmentId, Instalment] = {}
        self.settled: dict[SettlementId, InstalmentSettled] = {}
        self.reversed: set[SettlementId] = set()
        self.settlements_made = 0

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case ReceivableCreated():
                self.status = "open"
                self.party_id, self.late_terms = fact.party_id, fact.late_terms
                self.instalments = {item.instalment_id: item for item in fact.instalments}
            case InstalmentSettled():
                self.settled[fact.settlement_id] = fact
                self.settlements_made += 1
            case SettlementReversed():
                del self.settled[fact.settlement_id]
                self.reversed.add(fact.settlement_id)
            case ReceivableCancelled():
                self.status = "cancelled"
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Status and what is still open."""
        return self._summary(self.open_amount)

    def summary_of(self, target: object) -> Mapping[str, object]:
        """Of an instalment its own; of a settlement, the title's."""
        found = [self.open_of(key) for key in self.instalments if key == target]
        return self._summary(found[0] if found else self.open_amount)

    def _summary(self, still_open: Money) -> Mapping[str, object]:
        is_settled = self.status == "open" and still_open.is_zero
        return {"status": "settled" if is_settled else self.status, "open_amount": still_open}

    @property
    def open_amount(self) -> Money:
        """The principal nobody has paid yet."""
        return Money.total(self.open_of(item) for item in self.instalments)

    def open_of(self, instalment: InstalmentId) -> Money:
        """The principal of one instalment nobody has paid yet; nothing once the title is cancelled."""
        if self.status == "cancelled":
            return Money.zero()
        paid = Money.total(fact.amounts.principal for fact in self.payments_of(instalment))
        return self.instalments[instalment].amount - paid

    def payments_of(self, instalment: InstalmentId) -> list[InstalmentSettled]:
        """The settlements of one instalment that still stand, in recorded order."""
        return [fact for fact in self.settled.values() if fact.instalment_id == instalment]


class InstalmentNotOpen(StateConflict):
    """This instalment has nothing left to pay."""

    pt = "Esta parcela não tem mais nada a pagar"


class ReceivableIsCancelled(StateConflict):
    """This receivable is cancelled."""

    pt = "Este título a receber está cancelado"


class ReceivableAlreadySettled(StateConflict):
    """Part of this was already paid; reverse the settlements first."""

    pt = "Parte deste título já foi paga; estorne as baixas antes"


class SettlementAlreadyReversed(StateConflict):
    """This settlement was already reversed."""

    pt = "Esta baixa já foi estornada"


class OverPayment(StateConflict):
    """This is more than what is owed."""

    pt = "O valor é maior que o devido"


class DeductionsTooHigh(RuleBroken):
    """Fee and withheld tax are more than what was paid."""

    pt = "A taxa e o imposto retido são maiores que o valor pago"


class DiscountTooHigh(RuleBroken):
    """The discount is more than what this payment takes off the principal."""

    pt = "O desconto é maior que o principal desta baixa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a payer paid and what was kept back on the way to our account."""

    gross: Money
    paid_on: date
    bank_account_id: BankAccountId
    discount: Money
    fee: Money
    tax_withheld: Money
    waive_charges: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargesDue:
    """Fine and interest owed on a day, what earlier payments left unpaid included."""

    fine: Money
    interest: Money

    @property
    def total(self) -> Money:
        """Both together."""
        return self.fine + self.interest


def create(
    *,
    receivable_id: ReceivableId,
    party_id: PartyId,
    document_kind: str,
    document_id: UUID,
    instalments: Sequence[tuple[str, date, Money]],
    late_terms: LateTerms,
) -> Iterator[Event]:
    """Make a title of (method, due date, amount) instalments; yields ReceivableCreated."""
    for _, _, amount in instalments:
        require_positive(amount)
    yield ReceivableCreated(
        receivable_id=receivable_id,
        party_id=party_id,
        document_kind=document_kind,
        document_id=document_id,
        total=Money.total(amount for _, _, amount in instalments),
        instalments=tuple(
            Instalment(
                instalment_id=instalment_id(receivable_id, number),
                number=number,
                method=method,
                due_date=due_date,
                amount=amount,
            )
            for number, (method, due_date, amount) in enumerate(instalments, start=1)
        ),
        late_terms=late_terms,
    )


def charges_due(receivable: Receivable, instalment: InstalmentId, paid_on: date) -> ChargesDue:
    """What is owed for paying late on `paid_on`, worked out anew from the payments that still stand.

    The fine is charged once, on the first late payment. Interest of a further late payment runs from the
    one before, on the principal that is still open.
    """
    zero = Money.zero()
    terms, item = receivable.late_terms, receivable.instalments[instalment]
    if terms is None:
        return ChargesDue(fine=zero, interest=zero)
    fine, interest, open_principal = zero, zero, item.amount
    charged_to: date | None = None
    # What a payment left unpaid is not taken from its event: a payment before it may have been reversed.
    payments = receivable.payments_of(instalment)
    for day, payment in [*((each.paid_on, each) for each in payments), (paid_on, None)]:
        now = charges(open_principal, item.due_date, day, terms)
        if charged_to is None:
            fine += now.fine
            interest += now.interest
        else:
            before = charges(open_principal, item.due_date, charged_to, terms)
            interest += max(now.interest - before.interest, zero)
        if now.days_late:
            charged_to = day if charged_to is None else max(day, charged_to)
        if payment is not None:
            fine = zero if payment.waived else max(fine - payment.amounts.fine, zero)
            interest = zero if payment.waived else max(interest - payment.amounts.interest, zero)
            open_principal -= payment.amounts.principal
    return ChargesDue(fine=fine, interest=interest)


def settle(receivable: Receivable, instalment: InstalmentId, payment: Payment) -> Iterator[InstalmentSettled]:
    """Take a payment: charges first (fine, then interest), then principal; yields InstalmentSettled.

    Refuses with InstalmentNotOpen, ReceivableIsCancelled, OverPayment, DiscountTooHigh, DeductionsTooHigh.
    """
    item = _open_instalment(receivable, instalment)
    require_positive(payment.gross, "amount")
    require_not_negative(payment.discount, "discount")
    require_not_negative(payment.fee, "fee")
    require_not_negative(payment.tax_withheld, "tax_withheld")
    zero = Money.zero()
    due = charges_due(receivable, instalment, payment.paid_on)
    waived = due.total if payment.waive_charges else zero
    fine_due, interest_due = (zero, zero) if payment.waive_charges else (due.fine, due.interest)
    fine = min(payment.gross, fine_due)
    interest = min(payment.gross - fine, interest_due)
    principal = payment.gross - fine - interest + payment.discount
    open_principal = receivable.open_of(instalment)
    if payment.discount > principal:
        raise DiscountTooHigh(discount=payment.discount, principal=principal)
    if principal > open_principal:
        raise OverPayment(max=max(open_principal + fine + interest - payment.discount, zero))
    net = payment.gross - payment.fee - payment.tax_withheld
    if net.is_negative:
        raise DeductionsTooHigh(gross=payment.gross, fee=payment.fee, tax_withheld=payment.tax_withheld)
    receivable_id = receivable_of(instalment)
    yield InstalmentSettled(
        receivable_id=receivable_id,
        instalment_id=instalment,
        number=item.number,
        party_id=_party_of(receivable),
        settlement_id=settlement_id(receivable_id, receivable.settlements_made + 1),
        bank_account_id=payment.bank_account_id,
        paid_on=payment.paid_on,
        amounts=SettledAmounts(
            gross=payment.gross,
            principal=principal,
            interest=interest,
            fine=fine,
            discount=payment.discount,
            fee=payment.fee,
            tax_withheld=payment.tax_withheld,
            net=net,
        ),
        waived=waived,
        fine_carried=fine_due - fine,
        interest_carried=interest_due - interest,
        open_after=open_principal - principal,
    )


def reverse(receivable: Receivable, settlement: SettlementId) -> Iterator[SettlementReversed]:
    """Undo a settlement; refuses with NotFound or SettlementAlreadyReversed."""
    if settlement in receivable.reversed:
        raise SettlementAlreadyReversed
    fact = receivable.settled.get(settlement)
    if fact is None:
        raise NotFound(resource="settlement")
    yield SettlementReversed(
        receivable_id=fact.receivable_id,
        instalment_id=fact.instalment_id,
        number=fact.number,
        party_id=fact.party_id,
        settlement_id=settlement,
        bank_account_id=fact.bank_account_id,
        paid_on=fact.paid_on,
        amounts=fact.amounts,
        open_after=receivable.open_of(fact.instalment_id) + fact.amounts.principal,
    )


def cancel(receivable: Receivable) -> Iterator[Event]:
    """Make the title void; refuses with ReceivableAlreadySettled while a settlement stands."""
    if receivable.settled:
        raise ReceivableAlreadySettled
    receivable_id = receivable_of(next(iter(receivable.instalments)))
    yield ReceivableCancelled(
        receivable_id=receivable_id,
        party_id=_party_of(receivable),
        released=tuple(
            InstalmentBalance(instalment_id=key, number=item.number, amount=item.amount)
            for key, item in receivable.instalments.items()
        ),
    )


def _party_of(receivable: Receivable) -> PartyId:
    if receivable.party_id is None:
        raise LookupError("an empty receivable has no party")
    return receivable.party_id


def _open_instalment(receivable: Receivable, instalment: InstalmentId) -> Instalment:
    item = receivable.instalments.get(instalment)
    if item is None:
        raise NotFound(resource="instalment")
    if receivable.status == "cancelled":
        raise ReceivableIsCancelled
    if receivable.open_of(instalment).is_zero:
        raise InstalmentNotOpen
    return item
