"""Writes small marketplace exports, clean ones and messy ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

CUSTOMERS = "olist_customers_dataset.csv"
PRODUCTS = "olist_products_dataset.csv"
ORDERS = "olist_orders_dataset.csv"
ITEMS = "olist_order_items_dataset.csv"
PAYMENTS = "olist_order_payments_dataset.csv"

HEADERS = {
    CUSTOMERS: "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
    PRODUCTS: "product_id,product_category_name,product_name_lenght,product_photos_qty",
    ORDERS: (
        "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
        "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date"
    ),
    ITEMS: "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
    PAYMENTS: "order_id,payment_sequential,payment_type,payment_installments,payment_value",
}


@dataclass
class ExportFolder:
    """The five files, as lines that a test may change before they are written."""

    directory: Path
    lines: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in HEADERS})
    headers: dict[str, str] = field(default_factory=lambda: dict(HEADERS))

    def customer(self, customer_id: str, city: str = "sao paulo", state: str = "SP") -> None:
        """A good row."""
        self.lines[CUSTOMERS].append(f"{customer_id},u-{customer_id},01310,{city},{state}")

    def product(self, product_id: str, category: str = "beleza_saude") -> None:
        """A good row."""
        self.lines[PRODUCTS].append(f"{product_id},{category},40,1")

    def order(
        self,
        order_id: str,
        customer_id: str = "c1",
        status: str = "delivered",
        *,
        purchased: str = "2017-10-02 10:56:33",
        approved: str = "2017-10-03 11:07:15",
        estimated: str = "2017-10-18 00:00:00",
    ) -> None:
        """A good row."""
        self.lines[ORDERS].append(f"{order_id},{customer_id},{status},{purchased},{approved},,,{estimated}")

    def item(
        self,
        order_id: str,
        number: object = 1,
        product_id: str = "p1",
        price: str = "100.00",
        freight: str = "10.00",
    ) -> None:
        """A good row."""
        self.lines[ITEMS].append(f"{order_id},{number},{product_id},s1,2017-10-06 11:07:15,{price},{freight}")

    def payment(
        self,
        order_id: str,
        value: str = "110.00",
        method: str = "boleto",
        instalments: object = 1,
        number: object = 1,
    ) -> None:
        """A good row."""
        self.lines[PAYMENTS].append(f"{order_id},{number},{method},{instalments},{value}")

    def write(self, *, encoding: str = "utf-8", newline: str = "\n", only: Sequence[str] = ()) -> Path:
        """Write the files, or only some; returns their folder."""
        self.directory.mkdir(exist_ok=True)
        for name in only or HEADERS:
            text = newline.join([self.headers[name], *self.lines[name], ""])
            (self.directory / name).write_bytes(text.encode(encoding))
        return self.directory


def small(directory: Path) -> ExportFolder:
    """One customer, one product, one delivered order paid by boleto."""
    export = ExportFolder(directory)
    export.customer("c1")
    export.product("p1")
    export.order("o1")
    export.item("o1")
    export.payment("o1")
    return export
