"""The list of products."""

from decimal import Decimal

from read_model.catalog.products import product, products
from tests.decisions.sales_setting import GOODS, SERVICE, open_shop
from tests.reports.books import Books
from tests.scenario import an_id
from write_model.catalog.product import ClassifyProduct, DiscontinueProduct, RevisePrice
from write_model.processes.register_product import RegisterProduct
from write_model.values.identifiers import ProductId
from write_model.values.quantity import UnitPrice


def test_a_product_shows_its_latest_price_category_and_status(books: Books) -> None:
    company = open_shop()
    company.given(
        RevisePrice(product_id=GOODS, price=UnitPrice.parse("12.3456789012")),
        ClassifyProduct(product_id=GOODS, category="Papelaria"),
        DiscontinueProduct(product_id=SERVICE),
    )
    books.fold(company)
    found = books.ask(product, GOODS)
    assert found is not None
    assert (found.price, found.category, found.version) == (Decimal("12.3456789012"), "Papelaria", 3)
    assert [row.id for row in books.ask(products, status="discontinued", limit=10)] == [SERVICE]
    assert books.ask(product, an_id("nothing")) is None


def test_products_are_found_by_words_whatever_their_accents(books: Books) -> None:
    company = open_shop()
    name = "Açúcar Cristal 1 kg"
    company.given(RegisterProduct(product_id=ProductId(an_id("sugar")), sku="A-1", name=name))
    books.fold(company)
    assert [row.name for row in books.ask(products, q="CRISTAL acucar", limit=10)] == [name]
    assert books.ask(products, q="100%", limit=10) == []


def test_the_next_page_begins_behind_the_last_product_shown(books: Books) -> None:
    books.fold(open_shop())
    (first,) = books.ask(products, limit=1)
    rest = books.ask(products, after=(first.sku, first.id), limit=10)
    assert [row.sku for row in (first, *rest)] == ["G-1", "S-1"]
