"""Cancel a sale: what its confirmation did is undone in one transaction, dated as the command is."""

from write_model.message import Command, Streams, command
from write_model.processes.books import entry_id_for, require_not_before, reverse_entry
from write_model.processes.credit import use_credit
from write_model.sales.events import SaleCancelled
from write_model.sales.sale import Sale, SaleAlreadyCancelled
from write_model.settlement.receivable import Receivable, cancel
from write_model.stock.stock_item import StockItem, give_back, stock_key
from write_model.values.identifiers import SaleId


@command(
    "sales.cancel_sale",
    on=Sale,
    route="/sales/{sale_id}/cancel",
    permission="sales.cancel",
    target="sale_id",
    resource="sale",
    needs_reason=True,
)
class CancelSale(Command):
    """Make a sale void. A confirmed sale gives its stock back; one with payments refuses."""

    sale_id: SaleId

    async def decide(self, streams: Streams) -> None:
        """Record SaleCancelled and its effects; refuse with ReceivableAlreadySettled, PeriodClosed…"""
        sale = await streams.load(Sale, self.sale_id)
        if sale.status == "cancelled":
            raise SaleAlreadyCancelled
        if sale.confirmed_on is not None:
            require_not_before(streams, sale.confirmed_on)
            await self._undo(streams, sale)
        fact = SaleCancelled(
            sale_id=self.sale_id,
            customer_id=sale.customer,
            confirmed_on=sale.confirmed_on,
            totals=sale.totals,
            cost=sale.cost,
        )
        streams.record(Sale, self.sale_id, [fact])

    async def _undo(self, streams: Streams, sale: Sale) -> None:
        if sale.receivable_id is not None:
            receivable = await streams.load(Receivable, sale.receivable_id)
            streams.record(Receivable, sale.receivable_id, cancel(receivable))
            await use_credit(
                streams, sale.customer, -sale.totals.total, document_kind="sale", document_id=self.sale_id
            )
        for goods in sale.issued:
            if sale.warehouse_id is None:
                raise LookupError("a confirmed sale names its warehouse")
            key = stock_key(sale.warehouse_id, goods.product_id)
            item = await streams.load(StockItem, key)
            streams.record(
                StockItem,
                key,
                give_back(
                    item,
                    warehouse_id=sale.warehouse_id,
                    product_id=goods.product_id,
                    quantity=goods.quantity,
                    value=goods.value,
                    document_kind="sale",
                    document_id=self.sale_id,
                ),
            )
        await reverse_entry(
            streams,
            entry_id_for(self.sale_id, "sale_confirmed"),
            rule="sale_cancelled",
            memo="Venda cancelada",
        )
