"""Confirm a sale: order, stock, receivable, credit, journal entry and period in one transaction."""

from decimal import Decimal

from write_model.catalog.product import Product, ProductIsDiscontinued
from write_model.message import Command, Streams, command
from write_model.parties.party import Party, PartyIsBlocked
from write_model.processes.books import open_draft, post_draft
from write_model.processes.credit import use_credit
from write_model.processes.draft_sale import check_sale
from write_model.sales.events import IssuedGoods, PlannedInstalment, SaleConfirmed, SaleTotals
from write_model.sales.sale import Sale, SaleNotDraft, SaleWithoutLines
from write_model.settlement.receivable import Receivable, create, receivable_id_for
from write_model.stock.stock_item import StockItem, issue, main_warehouse, stock_key
from write_model.values.identifiers import PartyId, ReceivableId, SaleId, WarehouseId
from write_model.values.late_charges import LateTerms
from write_model.values.money import Money

DEFAULT_LATE_TERMS = LateTerms(fine_pct=Decimal(2), interest_pct_month=Decimal(1))


@command(
    "sales.confirm_sale",
    on=Sale,
    route="/sales/{sale_id}/confirm",
    permission="sales.confirm",
    target="sale_id",
    resource="sale",
    reversed_by="sales.cancel_sale",
)
class ConfirmSale(Command):
    """Make a sale final on the day of the command.

    Without a payment plan here or in the draft, the whole is due that day in cash. Late terms default to
    a fine of 2 % and simple interest of 1 % a month. Without a warehouse, the company's main one.
    """

    sale_id: SaleId
    payment_plan: tuple[PlannedInstalment, ...] = ()
    late_terms: LateTerms | None = None
    warehouse_id: WarehouseId | None = None

    async def decide(self, streams: Streams) -> None:
        """Record the confirmation and all it means; refuse if any part of it cannot be."""
        sale = await streams.load(Sale, self.sale_id)
        if sale.status != "draft":
            raise SaleNotDraft(status=sale.status)
        if not sale.lines:
            raise SaleWithoutLines
        customer = await streams.existing(Party, sale.customer)
        if customer.status == "blocked":
            raise PartyIsBlocked
        draft = await open_draft(streams)
        plan = self._plan(streams, sale)
        warehouse_id = self.warehouse_id or main_warehouse(streams.context.company_id)
        issued = await self._issue(streams, sale, warehouse_id)
        cost = Money.total(goods.value for goods in issued)
        receivable_id = await self._receivable(streams, sale.customer, plan)
        fact = SaleConfirmed(
            sale_id=self.sale_id,
            customer_id=sale.customer,
            confirmed_on=streams.context.effective_date,
            warehouse_id=warehouse_id,
            totals=sale.totals,
            issued=issued,
            cost=cost,
            payment_plan=plan,
            receivable_id=receivable_id,
        )
        streams.record(Sale, self.sale_id, [fact])
        totals: SaleTotals = sale.totals
        draft.debit("receivables", totals.total, party=sale.customer)
        draft.debit("sales_discounts", totals.discounts)
        draft.credit("sales_revenue", totals.goods)
        draft.credit("freight_revenue", totals.freight)
        draft.credit("surcharge_income", totals.surcharges)
        draft.debit("cost_of_goods_sold", cost)
        draft.credit("inventory", cost)
        await post_draft(
            streams,
            draft,
            rule="sale_confirmed",
            document_kind="sale",
            document_id=self.sale_id,
            memo="Venda confirmada",
        )

    def _plan(self, streams: Streams, sale: Sale) -> tuple[PlannedInstalment, ...]:
        total = sale.totals.total
        plan = self.payment_plan or sale.payment_plan
        if not plan and total.is_positive:
            today = streams.context.effective_date
            plan = (PlannedInstalment(method="cash", due_date=today, amount=total),)
        check_sale(sale.lines, plan)
        return plan

    async def _issue(
        self, streams: Streams, sale: Sale, warehouse_id: WarehouseId
    ) -> tuple[IssuedGoods, ...]:
        """Take every stock-controlled line out of stock at its cost."""
        lines = [(line.product_id, line.quantity) for line in sale.lines if line.product_id is not None]
        ids = list(dict.fromkeys(product_id for product_id, _ in lines))
        products = dict(zip(ids, await streams.load_all(Product, ids), strict=True))
        keys = [stock_key(warehouse_id, key) for key, product in products.items() if product.stock_controlled]
        await streams.load_all(StockItem, keys)
        issued = []
        for product_id, quantity in lines:
            product = products[product_id]
            if product.status == "discontinued":
                raise ProductIsDiscontinued(sku=product.sku)
            if not product.stock_controlled:
                continue
            key = stock_key(warehouse_id, product_id)
            facts = tuple(
                issue(
                    await streams.load(StockItem, key),
                    warehouse_id=warehouse_id,
                    product_id=product_id,
                    quantity=quantity,
                    document_kind="sale",
                    document_id=self.sale_id,
                )
            )
            streams.record(StockItem, key, facts)
            issued += [IssuedGoods(product_id=product_id, quantity=f.quantity, value=f.value) for f in facts]
        return tuple(issued)

    async def _receivable(
        self, streams: Streams, customer: PartyId, plan: tuple[PlannedInstalment, ...]
    ) -> ReceivableId | None:
        """Create the title and take the customer's credit; none for a sale that costs nothing."""
        if not plan:
            return None
        receivable_id = receivable_id_for(self.sale_id)
        await streams.load(Receivable, receivable_id)
        streams.record(
            Receivable,
            receivable_id,
            create(
                receivable_id=receivable_id,
                party_id=customer,
                document_kind="sale",
                document_id=self.sale_id,
                instalments=[(item.method, item.due_date, item.amount) for item in plan],
                late_terms=self.late_terms or DEFAULT_LATE_TERMS,
            ),
        )
        await use_credit(
            streams,
            customer,
            Money.total(item.amount for item in plan),
            document_kind="sale",
            document_id=self.sale_id,
        )
        return receivable_id
