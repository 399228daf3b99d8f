"""Questions about sales. `VD-1042` is accepted wherever a sale is named, and leads to its id."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import RedirectResponse

from api.filters import PartyKey, SaleKey, Text, days, found
from api.problems import Problem
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.timeline import HISTORY, history
from read_model.sales.orders import SaleDetail, SaleRow, sale, sale_numbered, sales
from read_model.selection import Days
from write_model.values.identifiers import decode, encode
from write_model.values.invalid import Invalid

router = APIRouter(prefix="/v1", tags=["sales"])

Sales = Annotated[Reading, reads("sales_orders", "parties_directory", permission="sales.read")]
Trail = Annotated[Reading, reads("audit_events", permission="sales.read")]
Pages = Annotated[Paging, Depends(paging)]

_NUMBER = re.compile(r"VD-([1-9][0-9]{0,14})", re.ASCII)
_NUMBER_MAX = 10**15


@router.get("/sales", response_model=page_of(SaleRow))
async def list_sales(
    reading: Sales,
    paging: Pages,
    confirmed_on: Annotated[Days, Depends(days("confirmed_on"))],
    status: Literal["draft", "confirmed", "cancelled"] | None = None,
    customer_id: PartyKey | None = None,
    external_ref: Text | None = None,
    number: Annotated[int | None, Query(ge=1, lt=_NUMBER_MAX)] = None,
) -> Any:
    """The sales, the newest number first."""
    rows = await sales(
        reading.connection,
        reading.company_id,
        status=status,
        customer_id=customer_id,
        external_ref=external_ref,
        number=number,
        confirmed_on=confirmed_on,
        after=paging.after,
        limit=paging.limit + 1,
    )
    return shown_page(paging.page(reading, rows, key=lambda row: (row.number,)))


@router.get("/sales/{sale_id}", response_model=shape_of(SaleDetail), responses={308: {"model": None}})
async def show_sale(reading: Sales, sale_id: Annotated[str, Path(max_length=40)], response: Response) -> Any:
    """One sale with its lines and payments."""
    numbered = _NUMBER.fullmatch(sale_id)
    if numbered is not None:
        found_id = found(await sale_numbered(reading.connection, reading.company_id, int(numbered[1])))
        return RedirectResponse(f"/v1/sales/{encode('sal', found_id)}", 308)
    try:
        wanted = decode("sal", sale_id)
    except Invalid:
        raise Problem("not-found") from None
    row = found(await sale(reading.connection, reading.company_id, wanted))
    response.headers["ETag"] = f'"{row.version}"'
    return shown(row)


@router.get("/sales/{sale_id}/history", response_model=HISTORY)
async def sale_history(reading: Trail, paging: Pages, sale_id: SaleKey) -> Any:
    """What happened with a sale, what it did to stock, receivables and books included."""
    return await history(reading, paging, sale_id)
