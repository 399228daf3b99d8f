"""What the business itself undoes, does again and undoes again is never taken for a forgery."""

import asyncio
from uuid import uuid4

import pytest

from tests.dispatch.test_dispatch import Shop, product
from write_model.processes.cancel_sale import CancelSale
from write_model.processes.confirm_sale import ConfirmSale
from write_model.processes.draft_sale import DraftSale
from write_model.processes.journal import PostJournalEntry, RequestedPosting, ReverseJournalEntry
from write_model.processes.open_bank_account import OpenBankAccount
from write_model.processes.receive_stock import ReceiveStock
from write_model.processes.register_party import RegisterParty
from write_model.processes.settle import ReverseSettlement, SettleInstalment
from write_model.sales.sale import RequestedLine
from write_model.settlement.receivable import instalment_id, receivable_id_for, settlement_id
from write_model.store.chain import verify
from write_model.store.store import Store
from write_model.values.identifiers import BankAccountId, JournalEntryId, PartyId, SaleId
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice

pytestmark = pytest.mark.asyncio


async def test_reversals_of_every_kind_verify(store: Store, database_url: str) -> None:
    shop = await Shop(store).open()
    goods, customer, bank = product(), PartyId(uuid4()), BankAccountId(uuid4())
    sale, entry = SaleId(uuid4()), JournalEntryId(uuid4())
    await shop.run(goods)
    await shop.run(RegisterParty(party_id=customer, name="Cliente"))
    await shop.run(OpenBankAccount(bank_account_id=bank, name="Banco"))
    await shop.run(
        ReceiveStock(product_id=goods.product_id, quantity=Quantity(9), unit_cost=UnitPrice.parse("3"))
    )
    line = RequestedLine(product_id=goods.product_id)
    await shop.run(DraftSale(sale_id=sale, customer_id=customer, lines=(line,)))
    await shop.run(ConfirmSale(sale_id=sale))
    receivable = receivable_id_for(sale)
    for number in (1, 2):
        await shop.run(
            SettleInstalment(
                instalment_id=instalment_id(receivable, 1), amount=Money(1000), bank_account_id=bank
            )
        )
        await shop.run(ReverseSettlement(settlement_id=settlement_id(receivable, number)), reason="devolvido")
    await shop.run(CancelSale(sale_id=sale), reason="desistiu")
    lines = (
        RequestedPosting(account_code="1.1.1.02", side="D", amount=Money(500)),
        RequestedPosting(account_code="2.3.1.01", side="C", amount=Money(500)),
    )
    await shop.run(PostJournalEntry(entry_id=entry, memo="Aporte", lines=lines))
    await shop.run(ReverseJournalEntry(entry_id=entry), reason="erro")
    found = await asyncio.to_thread(verify, database_url)
    assert found.violations == ()
