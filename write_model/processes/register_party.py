"""Register a party: the party and the claims on its tax number and external reference, together."""

from write_model.claims.claim import claim
from write_model.message import Command, Invalid, Personal, Streams, command
from write_model.parties.events import PartyRegistered, Role
from write_model.parties.party import Party, personal
from write_model.values.identifiers import PartyId
from write_model.values.limits import Code, Memo, Name
from write_model.values.tax_number import TaxNumber


@command(
    "parties.register_party",
    on=Party,
    needs="new",
    route="/parties",
    permission="parties.write",
    target="party_id",
    resource="party",
)
class RegisterParty(Command):
    """Register a customer or supplier; its tax number, if given, is unique in the company."""

    party_id: PartyId
    name: Name
    roles: tuple[Role, ...] = ("customer",)
    tax_number: TaxNumber | None = None
    email: Name | None = None
    phone: Code | None = None
    address: Memo | None = None
    city: Name | None = None
    state: Code | None = None
    external_ref: Code | None = None

    async def decide(self, streams: Streams) -> None:
        """Record PartyRegistered and its claims; refuse with AlreadyClaimed."""
        if not self.roles or len(set(self.roles)) != len(self.roles):
            raise Invalid("invalid-roles", "Name at least one role, each once.", {"field": "roles"})
        if self.tax_number is not None:
            number = streams.fingerprint(self.tax_number.number)
            await claim(streams, "parties.tax_number", number, self.party_id)
        if self.external_ref is not None:
            await claim(streams, "parties.external_ref", self.external_ref, self.party_id)
        fact = PartyRegistered(
            party_id=self.party_id,
            roles=self.roles,
            name=Personal(self.party_id, self.name),
            tax_kind=self.tax_number.kind if self.tax_number else None,
            tax_number=personal(self.party_id, self.tax_number.number if self.tax_number else None),
            email=personal(self.party_id, self.email),
            phone=personal(self.party_id, self.phone),
            address=personal(self.party_id, self.address),
            city=self.city,
            state=self.state,
            external_ref=self.external_ref,
        )
        streams.record(Party, self.party_id, [fact])
