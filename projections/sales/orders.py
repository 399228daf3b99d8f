"""Folds the facts about sales into the list of them, and numbers them as they were recorded."""

from collections.abc import Sequence
from typing import Any

from projections.batch import Batch
from projections.projector import Reader, SqlProjection, on
from read_model.sales.orders import LINES, NUMBERS, PAYMENTS, TABLE
from write_model.message import Recorded
from write_model.sales.events import (
    PlannedInstalment,
    SaleCancelled,
    SaleConfirmed,
    SaleDrafted,
    SaleLine,
    SaleLinesChanged,
    SaleTotals,
)


class SalesOrders(SqlProjection):
    """One row per sale, one per line, one per payment agreed, and the last number of each company."""

    name = "sales_orders"
    version = 1
    tables = (TABLE, LINES, PAYMENTS, NUMBERS)

    async def prepare(self, reader: Reader, page: Sequence[Recorded]) -> None:
        """The last numbers, and how many lines and payments there are of sales that change."""
        if any(isinstance(recorded.event, SaleDrafted) for recorded in page):
            await reader.load(NUMBERS, [{}])
        changed = [
            {"company_id": recorded.company_id, "sale_id": recorded.event.sale_id}
            for recorded in page
            if isinstance(recorded.event, SaleLinesChanged | SaleConfirmed)
        ]
        if changed:
            await reader.load(TABLE, changed)

    @on(SaleDrafted)
    def drafted(self, batch: Batch, recorded: Recorded, fact: SaleDrafted) -> None:
        numbers = batch.row(NUMBERS, {})
        number = 1 if numbers is None else numbers["last_number"] + 1
        batch.put(NUMBERS, {"last_number": number})
        batch.put(
            TABLE,
            {
                "sale_id": fact.sale_id,
                "number": number,
                "customer_id": fact.customer_id,
                "external_ref": fact.external_ref,
                "status": "draft",
                "drafted_on": recorded.effective_date,
                "cost_minor": 0,
                "line_count": len(fact.lines),
                "payment_count": len(fact.payment_plan),
                "version": recorded.version,
                **_totals(fact.totals),
            },
        )
        _put_lines(batch, fact, fact.lines, before=0)
        _put_payments(batch, fact, fact.payment_plan, before=0)

    @on(SaleLinesChanged)
    def lines_changed(self, batch: Batch, recorded: Recorded, fact: SaleLinesChanged) -> None:
        before = _before(batch, fact)
        _put_lines(batch, fact, fact.lines, before=before["line_count"])
        _put_payments(batch, fact, fact.payment_plan, before=before["payment_count"])
        changes = {
            "line_count": len(fact.lines),
            "payment_count": len(fact.payment_plan),
            "version": recorded.version,
            **_totals(fact.totals),
        }
        batch.patch(TABLE, key={"sale_id": fact.sale_id}, set=changes)

    @on(SaleConfirmed)
    def confirmed(self, batch: Batch, recorded: Recorded, fact: SaleConfirmed) -> None:
        before = _before(batch, fact)
        _put_payments(batch, fact, fact.payment_plan, before=before["payment_count"])
        changes = {
            "status": "confirmed",
            "confirmed_on": fact.confirmed_on,
            "warehouse_id": fact.warehouse_id,
            "receivable_id": fact.receivable_id,
            "cost_minor": fact.cost.minor,
            "payment_count": len(fact.payment_plan),
            "version": recorded.version,
            **_totals(fact.totals),
        }
        batch.patch(TABLE, key={"sale_id": fact.sale_id}, set=changes)

    @on(SaleCancelled)
    def cancelled(self, batch: Batch, recorded: Recorded, fact: SaleCancelled) -> None:
        changes = {
            "status": "cancelled",
            "cancelled_on": recorded.effective_date,
            "version": recorded.version,
        }
        batch.patch(TABLE, key={"sale_id": fact.sale_id}, set=changes)


def _before(batch: Batch, fact: SaleLinesChanged | SaleConfirmed) -> dict[str, Any]:
    return batch.row(TABLE, {"sale_id": fact.sale_id}) or {"line_count": 0, "payment_count": 0}


def _put_lines(
    batch: Batch, fact: SaleDrafted | SaleLinesChanged, lines: Sequence[SaleLine], *, before: int
) -> None:
    for line in lines:
        batch.put(
            LINES,
            {
                "sale_id": fact.sale_id,
                "line": line.number,
                "kind": line.kind,
                "product_id": line.product_id,
                "description": line.description,
                "quantity": line.quantity.value,
                "unit_price": line.unit_price.value,
                "discount_minor": line.discount.minor,
                "net_minor": line.net.minor,
                "currency": line.net.currency,
            },
        )
    for number in range(len(lines) + 1, before + 1):
        batch.remove(LINES, key={"sale_id": fact.sale_id, "line": number})


def _put_payments(
    batch: Batch,
    fact: SaleDrafted | SaleLinesChanged | SaleConfirmed,
    plan: Sequence[PlannedInstalment],
    *,
    before: int,
) -> None:
    for number, payment in enumerate(plan, start=1):
        batch.put(
            PAYMENTS,
            {
                "sale_id": fact.sale_id,
                "payment": number,
                "method": payment.method,
                "due_date": payment.due_date,
                "amount_minor": payment.amount.minor,
                "currency": payment.amount.currency,
            },
        )
    for number in range(len(plan) + 1, before + 1):
        batch.remove(PAYMENTS, key={"sale_id": fact.sale_id, "payment": number})


def _totals(totals: SaleTotals) -> dict[str, Any]:
    return {
        "goods_minor": totals.goods.minor,
        "freight_minor": totals.freight.minor,
        "surcharges_minor": totals.surcharges.minor,
        "discounts_minor": totals.discounts.minor,
        "total_minor": totals.total.minor,
        "currency": totals.total.currency,
    }
