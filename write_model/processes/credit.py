"""A party's credit limit: setting it, and its use as every process that lends or collects does it."""

from uuid import UUID

from write_model.message import Command, Streams, command
from write_model.parties.party import Party
from write_model.settlement.credit_line import CreditLine, set_limit, use
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


@command(
    "settlement.set_credit_limit",
    on=CreditLine,
    needs="any",
    route="/parties/{party_id}/set-credit-limit",
    permission="settlement.credit",
    target="party_id",
    resource="credit_line",
)
class SetCreditLimit(Command):
    """Say how much a party may owe; leave the limit out for none. `used` is what it owes already."""

    party_id: PartyId
    limit: Money | None = None
    used: Money | None = None

    async def decide(self, streams: Streams) -> None:
        """Record CreditLimitSet unless it is so already; refuse for a party that does not exist."""
        await streams.existing(Party, self.party_id)
        line = await streams.load(CreditLine, self.party_id)
        facts = set_limit(line, party_id=self.party_id, limit=self.limit, used=self.used)
        streams.record(CreditLine, self.party_id, facts)
