"""Facts about receivables: one title, n instalments, their settlements and reversals."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from write_model.message import Event, event
from write_model.values.identifiers import BankAccountId, InstalmentId, PartyId, ReceivableId, SettlementId
from write_model.values.late_charges import LateTerms
from write_model.values.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Instalment:
    """One instalment as agreed."""

    instalment_id: InstalmentId
    number: int
    method: str
    due_date: date
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalmentBalance:
    """What was still open of one instalment."""

    instalment_id: InstalmentId
    number: int
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledAmounts:
    """Where a payment went.

    gross = principal - discount + interest + fine, and gross = net + fee + tax_withheld, both exactly.
    """

    gross: Money
    principal: Money
    interest: Money
    fine: Money
    discount: Money
    fee: Money
    tax_withheld: Money
    net: Money


@event(
    "settlement.receivable_created",
    pt="Título a receber de {total} em {instalments} parcela(s)",
    en="Receivable of {total} in {instalments} instalment(s)",
)
class ReceivableCreated(Event):
    """A customer owes us. The late terms are frozen here: a change would be an event."""

    receivable_id: ReceivableId
    party_id: PartyId
    document_kind: str
    document_id: UUID
    total: Money
    instalments: tuple[Instalment, ...]
    late_terms: LateTerms


@event(
    "settlement.instalment_settled",
    pt="Parcela {number} baixada em {paid_on}",
    en="Instalment {number} settled on {paid_on}",
)
class InstalmentSettled(Event):
    """Money came in for an instalment. Charges that were due and not asked for stand in `waived`."""

    receivable_id: ReceivableId
    instalment_id: InstalmentId
    number: int
    party_id: PartyId
    settlement_id: SettlementId
    bank_account_id: BankAccountId
    paid_on: date
    amounts: SettledAmounts
    waived: Money
    fine_carried: Money
    interest_carried: Money
    open_after: Money


@event(
    "settlement.settlement_reversed",
    pt="Baixa da parcela {number} estornada",
    en="Settlement of instalment {number} reversed",
)
class SettlementReversed(Event):
    """A settlement was undone, with the amounts it had."""

    receivable_id: ReceivableId
    instalment_id: InstalmentId
    number: int
    party_id: PartyId
    settlement_id: SettlementId
    bank_account_id: BankAccountId
    paid_on: date
    amounts: SettledAmounts
    open_after: Money


@event("settlement.receivable_cancelled", pt="Título a receber cancelado", en="Receivable cancelled")
class ReceivableCancelled(Event):
    """The title is void; `released` is what was still open of each instalment."""

    receivable_id: ReceivableId
    party_id: PartyId
    released: tuple[InstalmentBalance, ...]


@event("settlement.credit_limit_set", pt="Limite de crédito alterado", en="Credit limit set")
class CreditLimitSet(Event):
    """How much the party may owe from now on; None is no limit. `used` is what it owes already."""

    party_id: PartyId
    limit: Money | None
    used: Money


@event(
    "settlement.credit_used",
    pt="Crédito utilizado: {amount}",
    en="Credit used: {amount}",
    importance="detail",
)
class CreditUsed(Event):
    """A document took part of the party's limit, or gave it back when `amount` is negative."""

    party_id: PartyId
    amount: Money
    used_after: Money
    document_kind: str
    document_id: UUID
