"""The use of a party's credit limit, as every process that lends or collects does it."""

from uuid import UUID

from write_model.message import Streams
from write_model.settlement.credit_line import CreditLine, use
from write_model.values.identifiers import PartyId
from write_model.values.money import Money


async def use_credit(
    streams: Streams,
    party_id: PartyId,
    amount: Money,
    *,
    document_kind: str,
    document_id: UUID,
    may_exceed: bool = False,
) -> None:
    """Take `amount` of the party's credit limit, or give it back when negative."""
    line = await streams.load(CreditLine, party_id)
    streams.record(
        CreditLine,
        party_id,
        use(
            line,
            party_id=party_id,
            amount=amount,
            document_kind=document_kind,
            document_id=document_id,
            may_exceed=may_exceed,
        ),
    )
