"""A customer, two products and a bank account, for decisions about sales."""

from datetime import date

from tests.scenario import Company, an_id, brl
from write_model.processes.draft_sale import DraftSale
from write_model.processes.open_bank_account import OpenBankAccount
from write_model.processes.receive_stock import ReceiveStock
from write_model.processes.register_party import RegisterParty
from write_model.processes.register_product import RegisterProduct
from write_model.sales.events import PlannedInstalment
from write_model.sales.sale import RequestedLine
from write_model.values.identifiers import BankAccountId, PartyId, ProductId, SaleId
from write_model.values.quantity import Quantity, UnitPrice

CUSTOMER = PartyId(an_id("customer"))
GOODS = ProductId(an_id("goods"))
SERVICE = ProductId(an_id("service"))
BANK = BankAccountId(an_id("bank"))
SALE = SaleId(an_id("sale"))


def open_shop(*, stock: str = "10", unit_cost: str = "3.00") -> Company:
    """A company with ten pieces of goods in stock at R$ 3.00."""
    company = Company()
    company.given(
        RegisterParty(party_id=CUSTOMER, name="Cliente Um"),
        RegisterProduct(product_id=GOODS, sku="G-1", name="Caneta", price=UnitPrice.parse("10")),
        RegisterProduct(
            product_id=SERVICE,
            sku="S-1",
            name="Conserto",
            price=UnitPrice.parse("50"),
            stock_controlled=False,
        ),
        OpenBankAccount(bank_account_id=BANK, name="Banco"),
        ReceiveStock(
            product_id=GOODS,
            quantity=Quantity.parse(stock),
            unit_cost=UnitPrice.parse(unit_cost),
            origin="opening",
        ),
    )
    return company


def goods(quantity: str = "1", price: str | None = None) -> RequestedLine:
    """A line of goods."""
    return RequestedLine(
        product_id=GOODS,
        quantity=Quantity.parse(quantity),
        unit_price=None if price is None else UnitPrice.parse(price),
    )


def charge(kind: str, amount: str) -> RequestedLine:
    """A line that is not a product."""
    return RequestedLine(kind=kind, unit_price=UnitPrice.parse(amount))  # type: ignore[arg-type]


def draft(
    *lines: RequestedLine, plan: tuple[tuple[str, date], ...] = (), sale_id: SaleId = SALE
) -> DraftSale:
    """A draft with (amount, due date) instalments by boleto."""
    return DraftSale(
        sale_id=sale_id,
        customer_id=CUSTOMER,
        lines=lines,
        payment_plan=tuple(
            PlannedInstalment(method="boleto", due_date=due, amount=brl(amount)) for amount, due in plan
        ),
    )
