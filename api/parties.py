"""Questions about customers and suppliers."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response

from api.filters import PartyKey, Text, found
from api.queries import Paging, Reading, paging, reads
from api.representation import page_of, shape_of, shown, shown_page
from api.timeline import HISTORY, history
from read_model.parties.directory import PartyRow, parties, party

router = APIRouter(prefix="/v1", tags=["parties"])

Directory = Annotated[Reading, reads("parties_directory", permission="parties.read")]
Trail = Annotated[Reading, reads("audit_events", permission="parties.read")]
Pages = Annotated[Paging, Depends(paging)]


@router.get("/parties", response_model=page_of(PartyRow))
async def list_parties(
    reading: Directory,
    paging: Pages,
    role: Literal["customer", "supplier"] | None = None,
    status: Literal["active", "blocked"] | None = None,
    tax_number: Text | None = None,
    external_ref: Text | None = None,
    state: Text | None = None,
    q: Text | None = None,
) -> Any:
    """The parties by name; `q` looks for words in it, `tax_number` is without punctuation."""
    rows = await parties(
        reading.connection,
        reading.company_id,
        role=role,
        status=status,
        tax_number=tax_number,
        external_ref=external_ref,
        state=state,
        q=q,
        after=paging.after,
        limit=paging.limit + 1,
    )
    page = paging.page(reading, rows, key=lambda row: row[1])
    return shown_page(page, lambda row: shown(row[0]))


@router.get("/parties/{party_id}", response_model=shape_of(PartyRow))
async def show_party(reading: Directory, party_id: PartyKey, response: Response) -> Any:
    """One party. What identifies a person is null once it was erased."""
    row = found(await party(reading.connection, reading.company_id, party_id))
    response.headers["ETag"] = f'"{row.version}"'
    return shown(row)


@router.get("/parties/{party_id}/history", response_model=HISTORY)
async def party_history(reading: Trail, paging: Pages, party_id: PartyKey) -> Any:
    """What happened with a party: its own facts, and the documents that name it."""
    return await history(reading, paging, party_id)
