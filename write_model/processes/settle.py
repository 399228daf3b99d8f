"""Settle an instalment, or reverse a settlement: title, bank account, credit, entry and period together."""

from datetime import date
from uuid import UUID

from write_model.message import Command, Streams, command
from write_model.processes.books import (
    entry_id_for,
    open_draft,
    post_draft,
    require_not_before,
    reverse_entry,
)
from write_model.processes.credit import use_credit
from write_model.settlement.events import SettledAmounts
from write_model.settlement.receivable import Payment, Receivable, receivable_of, reverse, settle
from write_model.treasury.bank_account import BankAccount
from write_model.values.identifiers import BankAccountId, InstalmentId, SettlementId
from write_model.values.money import Money


@command(
    "settlement.settle_instalment",
    on=Receivable,
    route="/instalments/{instalment_id}/settle",
    permission="settlement.settle",
    target="instalment_id",
    resource="instalment",
    dated_by="paid_on",
    reversed_by="settlement.reverse_settlement",
)
class SettleInstalment(Command):
    """Take a payment of `amount` for an instalment into a bank account.

    Fine and interest are computed for the day and paid first, unless waived. `fee` and `tax_withheld` are
    what an acquirer or the payer kept back; `discount` is what we let the payer off.
    """

    instalment_id: InstalmentId
    amount: Money
    bank_account_id: BankAccountId
    paid_on: date | None = None
    discount: Money | None = None
    fee: Money | None = None
    tax_withheld: Money | None = None
    waive_charges: bool = False

    def stream_key(self) -> UUID:
        """The title the instalment belongs to."""
        return receivable_of(self.instalment_id)

    async def decide(self, streams: Streams) -> None:
        """Record InstalmentSettled and its entry; refuse with OverPayment, PeriodClosed…"""
        receivable_id = receivable_of(self.instalment_id)
        receivable = await streams.existing(Receivable, receivable_id)
        account = await streams.existing(BankAccount, self.bank_account_id)
        draft = await open_draft(streams)
        zero = Money.zero()
        payment = Payment(
            gross=self.amount,
            paid_on=streams.context.effective_date,
            bank_account_id=self.bank_account_id,
            discount=self.discount or zero,
            fee=self.fee or zero,
            tax_withheld=self.tax_withheld or zero,
            waive_charges=self.waive_charges,
        )
        (fact,) = settle(receivable, self.instalment_id, payment)
        streams.record(Receivable, receivable_id, [fact])
        await use_credit(
            streams,
            fact.party_id,
            -fact.amounts.principal,
            document_kind="settlement",
            document_id=fact.settlement_id,
        )
        amounts: SettledAmounts = fact.amounts
        draft.debit(account.ledger_account, amounts.net, bank=self.bank_account_id)
        draft.debit("acquirer_fees", amounts.fee)
        draft.debit("tax_withheld", amounts.tax_withheld)
        draft.debit("settlement_discounts", amounts.discount)
        draft.credit("receivables", amounts.principal, party=fact.party_id)
        draft.credit("interest_income", amounts.interest)
        draft.credit("fine_income", amounts.fine)
        await post_draft(
            streams,
            draft,
            rule="instalment_settled",
            document_kind="settlement",
            document_id=fact.settlement_id,
            memo=f"Baixa da parcela {fact.number}",
        )


@command(
    "settlement.reverse_settlement",
    on=Receivable,
    route="/settlements/{settlement_id}/reverse",
    permission="settlement.reverse",
    target="settlement_id",
    resource="settlement",
    needs_reason=True,
)
class ReverseSettlement(Command):
    """Undo a settlement, dated as the command is."""

    settlement_id: SettlementId

    def stream_key(self) -> UUID:
        """The title the settlement belongs to."""
        return receivable_of(self.settlement_id)

    async def decide(self, streams: Streams) -> None:
        """Record SettlementReversed and its entry; refuse with ReversalTooEarly, PeriodClosed…"""
        receivable_id = receivable_of(self.settlement_id)
        receivable = await streams.existing(Receivable, receivable_id)
        (fact,) = reverse(receivable, self.settlement_id)
        require_not_before(streams, fact.paid_on)
        streams.record(Receivable, receivable_id, [fact])
        await use_credit(
            streams,
            fact.party_id,
            fact.amounts.principal,
            document_kind="settlement",
            document_id=self.settlement_id,
            may_exceed=True,
        )
        await reverse_entry(
            streams,
            entry_id_for(self.settlement_id, "instalment_settled"),
            rule="settlement_reversed",
            memo=f"Estorno da baixa da parcela {fact.number}",
        )
