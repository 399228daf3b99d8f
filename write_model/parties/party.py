"""A party: whom the company trades with; customer, supplier or both."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, assert_never

from write_model.message import Command, Event, Personal, State, StateConflict, command
from write_model.parties.events import (
    PartyBlocked,
    PartyDetailsUpdated,
    PartyRegistered,
    PartyRoleAssigned,
    PartyUnblocked,
    Role,
)
from write_model.values.identifiers import PartyId
from write_model.values.limits import Code, Memo, Name

Facts = PartyRegistered | PartyRoleAssigned | PartyDetailsUpdated | PartyBlocked | PartyUnblocked


class Party(State):
    """Its roles, and whether it may take new documents."""

    __slots__ = ("details", "roles", "status")
    kind: ClassVar[str] = "parties.party"

    def __init__(self) -> None:
        self.roles: frozenset[Role] = frozenset()
        self.status = "unknown"
        self.details: tuple[object, ...] = ()

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case PartyRegistered():
                self.roles = frozenset(fact.roles)
                self.status = "active"
                self.details = _details(fact)
            case PartyRoleAssigned():
                self.roles |= {fact.role}
            case PartyDetailsUpdated():
                self.details = _details(fact)
            case PartyBlocked():
                self.status = "blocked"
            case PartyUnblocked():
                self.status = "active"
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Status and roles."""
        return {"status": self.status, "roles": sorted(self.roles)}


def _details(fact: PartyRegistered | PartyDetailsUpdated) -> tuple[object, ...]:
    return (fact.name, fact.email, fact.phone, fact.address, fact.city, fact.state)


class PartyIsBlocked(StateConflict):
    """This party is blocked for new documents."""

    pt = "Este parceiro está bloqueado para novos documentos"


class PartyNotBlocked(StateConflict):
    """This party is not blocked."""

    pt = "Este parceiro não está bloqueado"


def personal(party_id: PartyId, text: str | None) -> Personal | None:
    """The text as personal data of the party; None stays None."""
    return None if text is None else Personal(party_id, text)


@command(
    "parties.assign_party_role",
    on=Party,
    route="/parties/{party_id}/assign-role",
    permission="parties.write",
    target="party_id",
    resource="party",
)
class AssignPartyRole(Command):
    """Let a party act in a further role."""

    party_id: PartyId
    role: Role

    def decide(self, party: Party) -> Iterator[Event]:
        """Yield PartyRoleAssigned unless it has the role."""
        if self.role not in party.roles:
            yield PartyRoleAssigned(party_id=self.party_id, role=self.role)


@command(
    "parties.update_party_details",
    on=Party,
    route="/parties/{party_id}/update-details",
    permission="parties.write",
    target="party_id",
    resource="party",
)
class UpdatePartyDetails(Command):
    """Replace name, contacts and address of a party."""

    party_id: PartyId
    name: Name
    email: Name | None = None
    phone: Code | None = None
    address: Memo | None = None
    city: Name | None = None
    state: Code | None = None

    def decide(self, party: Party) -> Iterator[Event]:
        """Yield PartyDetailsUpdated unless nothing changes."""
        fact = PartyDetailsUpdated(
            party_id=self.party_id,
            name=Personal(self.party_id, self.name),
            email=personal(self.party_id, self.email),
            phone=personal(self.party_id, self.phone),
            address=personal(self.party_id, self.address),
            city=self.city,
            state=self.state,
        )
        if _details(fact) != party.details:
            yield fact


@command(
    "parties.block_party",
    on=Party,
    route="/parties/{party_id}/block",
    permission="parties.block",
    target="party_id",
    resource="party",
    needs_reason=True,
    reversed_by="parties.unblock_party",
)
class BlockParty(Command):
    """Take no new documents for a party."""

    party_id: PartyId

    def decide(self, party: Party) -> Iterator[Event]:
        """Yield PartyBlocked; refuse with PartyIsBlocked."""
        if party.status == "blocked":
            raise PartyIsBlocked
        yield PartyBlocked(party_id=self.party_id)


@command(
    "parties.unblock_party",
    on=Party,
    route="/parties/{party_id}/unblock",
    permission="parties.block",
    target="party_id",
    resource="party",
    needs_reason=True,
)
class UnblockParty(Command):
    """Take new documents for a party again."""

    party_id: PartyId

    def decide(self, party: Party) -> Iterator[Event]:
        """Yield PartyUnblocked; refuse with PartyNotBlocked."""
        if party.status != "blocked":
            raise PartyNotBlocked
        yield PartyUnblocked(party_id=self.party_id)
