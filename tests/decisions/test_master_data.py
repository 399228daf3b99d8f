"""Decisions about companies, parties, products and stock receipts."""

import pytest

from tests.decisions.sales_setting import CUSTOMER, GOODS, SERVICE, open_shop
from tests.scenario import Company, an_id, brl
from write_model.catalog.events import PriceRevised, ProductClassified, ProductDiscontinued, ProductRegistered
from write_model.catalog.product import (
    ClassifyProduct,
    DiscontinueProduct,
    ProductIsDiscontinued,
    RevisePrice,
)
from write_model.claims.claim import AlreadyClaimed
from write_model.claims.events import Claimed
from write_model.companies.company import (
    CompanyIsSuspended,
    CompanyNotSuspended,
    ReinstateCompany,
    SuspendCompany,
    UpdateCompanyProfile,
)
from write_model.companies.events import CompanyProfileUpdated, CompanyReinstated
from write_model.ledger.events import JournalEntryPosted
from write_model.message import Invalid, NotFound
from write_model.parties.events import (
    PartyDetailsUpdated,
    PartyRegistered,
    PartyRoleAssigned,
    PartyUnblocked,
)
from write_model.parties.party import (
    AssignPartyRole,
    BlockParty,
    PartyIsBlocked,
    PartyNotBlocked,
    UnblockParty,
    UpdatePartyDetails,
)
from write_model.processes.receive_stock import ProductNotStockControlled, ReceiveStock
from write_model.processes.register_party import RegisterParty
from write_model.processes.register_product import RegisterProduct
from write_model.stock.events import StockReceived
from write_model.stock.stock_item import StockItem, main_warehouse, stock_key
from write_model.values.identifiers import PartyId, ProductId
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.tax_number import TaxNumber

CPF = TaxNumber.parse("529.982.247-25")


def test_a_tax_number_belongs_to_one_party_and_stands_in_no_stream_id_or_event_in_clear() -> None:
    company = Company()
    company.when(RegisterParty(party_id=CUSTOMER, name="Cliente", tax_number=CPF))
    company.then(Claimed, PartyRegistered)
    assert CPF.number not in repr(company.new)
    company.when(RegisterParty(party_id=PartyId(an_id("other")), name="Outro", tax_number=CPF))
    company.refused(AlreadyClaimed, subject="parties.tax_number")


def test_one_party_may_be_customer_and_supplier() -> None:
    company = open_shop()
    company.when(AssignPartyRole(party_id=CUSTOMER, role="supplier"))
    company.then(PartyRoleAssigned)
    company.when(AssignPartyRole(party_id=CUSTOMER, role="supplier"))
    company.then()


@pytest.mark.parametrize("roles", [(), ("customer", "customer")])
def test_a_party_has_each_of_its_roles_once(roles: tuple[str, ...]) -> None:
    company = Company()
    company.when(RegisterParty(party_id=CUSTOMER, name="Cliente", roles=roles))  # type: ignore[arg-type]
    company.refused(Invalid)


def test_details_change_only_when_they_differ() -> None:
    company = open_shop()
    company.when(UpdatePartyDetails(party_id=CUSTOMER, name="Cliente Um", city="Recife"))
    company.then(PartyDetailsUpdated)
    company.when(UpdatePartyDetails(party_id=CUSTOMER, name="Cliente Um", city="Recife"))
    company.then()
    company.when(UpdatePartyDetails(party_id=PartyId(an_id("none")), name="Ninguém"))
    company.refused(NotFound, resource="party")


def test_a_party_is_blocked_and_unblocked_once() -> None:
    company = open_shop()
    company.when(UnblockParty(party_id=CUSTOMER), reason="teste")
    company.refused(PartyNotBlocked)
    company.given(BlockParty(party_id=CUSTOMER))
    company.when(BlockParty(party_id=CUSTOMER), reason="teste")
    company.refused(PartyIsBlocked)
    company.when(UnblockParty(party_id=CUSTOMER), reason="teste")
    company.then(PartyUnblocked)


def test_a_sku_names_one_product() -> None:
    company = Company()
    company.when(RegisterProduct(product_id=GOODS, sku="A-1", name="Caneta", external_ref="x"))
    company.then(Claimed, Claimed, ProductRegistered)
    company.when(RegisterProduct(product_id=SERVICE, sku="A-1", name="Outra"))
    company.refused(AlreadyClaimed, subject="catalog.sku")


def test_price_and_category_change_until_the_product_is_discontinued() -> None:
    company = open_shop()
    company.when(RevisePrice(product_id=GOODS, price=UnitPrice.parse("11")))
    company.then(PriceRevised)
    company.when(RevisePrice(product_id=GOODS, price=UnitPrice.parse("11")))
    company.then()
    company.when(ClassifyProduct(product_id=GOODS, category="Papelaria"))
    company.then(ProductClassified)
    company.when(DiscontinueProduct(product_id=GOODS))
    company.then(ProductDiscontinued)
    for command in (
        DiscontinueProduct(product_id=GOODS),
        RevisePrice(product_id=GOODS, price=UnitPrice.parse("12")),
        ReceiveStock(product_id=GOODS, quantity=Quantity(1), unit_cost=UnitPrice.parse("1")),
    ):
        company.when(command)
        company.refused(ProductIsDiscontinued)


def test_receipts_average_their_cost_and_post_to_the_books() -> None:
    company = open_shop(stock="10", unit_cost="3.00")
    company.when(ReceiveStock(product_id=GOODS, quantity=Quantity(5), unit_cost=UnitPrice.parse("6")))
    company.then(StockReceived, JournalEntryPosted)
    item = company.state(StockItem, stock_key(main_warehouse(company.id), GOODS))
    assert (item.on_hand, item.value) == (Quantity(15), brl("60.00"))
    assert company.balances() == {"1.1.3.01": 6000, "2.1.1.02": -3000, "2.3.3.01": -3000}


def test_goods_that_cost_nothing_leave_no_entry() -> None:
    company = open_shop()
    company.when(ReceiveStock(product_id=GOODS, quantity=Quantity(1), unit_cost=UnitPrice.parse("0")))
    company.then(StockReceived)


def test_stock_is_kept_only_of_products_that_say_so_and_in_positive_quantities() -> None:
    company = open_shop()
    company.when(ReceiveStock(product_id=SERVICE, quantity=Quantity(1), unit_cost=UnitPrice.parse("1")))
    company.refused(ProductNotStockControlled)
    for quantity in ("0", "-1"):
        company.when(
            ReceiveStock(product_id=GOODS, quantity=Quantity.parse(quantity), unit_cost=UnitPrice.parse("1"))
        )
        company.refused(Invalid)
    missing = ProductId(an_id("none"))
    company.when(ReceiveStock(product_id=missing, quantity=Quantity(1), unit_cost=UnitPrice.parse("1")))
    company.refused(NotFound, resource="product")


def test_a_suspended_company_issues_nothing_until_it_is_reinstated() -> None:
    company = open_shop()
    company.when(ReinstateCompany(company_id=company.id), reason="teste")
    company.refused(CompanyNotSuspended)
    company.given(SuspendCompany(company_id=company.id))
    company.when(RevisePrice(product_id=GOODS, price=UnitPrice.parse("11")))
    company.refused(CompanyIsSuspended)
    company.when(ReinstateCompany(company_id=company.id), reason="pago")
    company.then(CompanyReinstated)


def test_a_company_changes_its_names() -> None:
    company = Company()
    company.when(UpdateCompanyProfile(company_id=company.id, legal_name="Loja Exemplo Ltda"))
    company.then(CompanyProfileUpdated)
    company.when(UpdateCompanyProfile(company_id=company.id, legal_name="Loja Exemplo Ltda"))
    company.then()
