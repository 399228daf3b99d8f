"""A shop with some business behind it: what most reports are asked about."""

from datetime import date

from tests.decisions.sales_setting import BANK, draft, goods, open_shop
from tests.scenario import Company, an_id, brl
from write_model.processes.cancel_sale import CancelSale
from write_model.processes.confirm_sale import ConfirmSale
from write_model.processes.open_bank_account import RecordOpeningBalance
from write_model.processes.settle import ReverseSettlement, SettleInstalment
from write_model.settlement.receivable import instalment_id, receivable_id_for, settlement_id
from write_model.values.identifiers import InstalmentId, ReceivableId, SaleId, SettlementId

OCTOBER = date(2026, 10, 20)
NOVEMBER = date(2026, 11, 10)
FIRST = SaleId(an_id("first sale"))
SECOND = SaleId(an_id("second sale"))
CANCELLED = SaleId(an_id("cancelled sale"))
DRAFT = SaleId(an_id("sale in draft"))


def receivable_of(sale: SaleId) -> ReceivableId:
    """The title of a sale."""
    return receivable_id_for(sale)


def instalment_of(sale: SaleId, number: int) -> InstalmentId:
    """The n-th instalment of a sale."""
    return instalment_id(receivable_of(sale), number)


def settlement_of(sale: SaleId, number: int) -> SettlementId:
    """The n-th settlement of a sale."""
    return settlement_id(receivable_of(sale), number)


def settle(sale: SaleId, number: int, amount: str, *, fee: str = "0.00") -> SettleInstalment:
    """Pay an instalment into the bank, without charges."""
    return SettleInstalment(
        instalment_id=instalment_of(sale, number),
        amount=brl(amount),
        bank_account_id=BANK,
        fee=brl(fee),
        waive_charges=True,
    )


def busy_shop() -> Company:
    """Opening balance of R$ 500.00; four sales of goods at R$ 10.00 that cost R$ 3.00 each.

    October 20   first sale, R$ 20.00: half due at once, half on November 20
    November 10  second sale, R$ 30.00, due December 10; one of R$ 10.00, cancelled on the 12th
    then paid    R$ 10.00 of the first (fee 0.50) on October 20, reversed November 11, paid again the 15th
    """
    company = open_shop(stock="100")
    company.given(RecordOpeningBalance(bank_account_id=BANK, amount=brl("500.00")), on=date(2026, 10, 1))
    company.given(
        draft(goods("2"), plan=(("10.00", OCTOBER), ("10.00", date(2026, 11, 20))), sale_id=FIRST),
        ConfirmSale(sale_id=FIRST),
        settle(FIRST, 1, "10.00", fee="0.50"),
        on=OCTOBER,
    )
    company.given(
        draft(goods("3"), plan=(("30.00", date(2026, 12, 10)),), sale_id=SECOND),
        ConfirmSale(sale_id=SECOND),
        draft(goods("1"), plan=(("10.00", date(2026, 12, 1)),), sale_id=CANCELLED),
        ConfirmSale(sale_id=CANCELLED),
        on=NOVEMBER,
    )
    company.given(ReverseSettlement(settlement_id=settlement_of(FIRST, 1)), on=date(2026, 11, 11))
    company.given(CancelSale(sale_id=CANCELLED), on=date(2026, 11, 12))
    company.given(settle(FIRST, 1, "10.00"), on=date(2026, 11, 15))
    company.given(draft(goods("1"), sale_id=DRAFT), on=date(2026, 11, 16))
    return company


def ends_of_commands(company: Company) -> list[int]:
    """The positions between commands: what one command records comes into the world at once."""
    log = company.store.log
    following = [item.command_id for item in log[1:]] + [None]
    return [item.position for item, after in zip(log, following, strict=True) if item.command_id != after]
