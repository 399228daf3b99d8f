"""Facts about parties. What identifies a natural person is Personal, under the party's own key."""

from typing import Literal

from write_model.message import Event, Personal, event
from write_model.values.identifiers import PartyId

Role = Literal["customer", "supplier"]


@event("parties.party_registered", pt="Cadastro de parceiro criado", en="Party registered")
class PartyRegistered(Event):
    """A customer or supplier was registered. `tax_kind` is `cpf`, `cnpj` or None when no number was given."""

    party_id: PartyId
    roles: tuple[Role, ...]
    name: Personal
    tax_kind: str | None
    tax_number: Personal | None
    email: Personal | None
    phone: Personal | None
    address: Personal | None
    city: str | None
    state: str | None
    external_ref: str | None


@event("parties.party_role_assigned", pt="Papel {role} atribuído", en="Role {role} assigned")
class PartyRoleAssigned(Event):
    """The party now also acts in this role."""

    party_id: PartyId
    role: Role


@event("parties.party_details_updated", pt="Dados do parceiro alterados", en="Party details updated")
class PartyDetailsUpdated(Event):
    """Name, contact or address changed; the whole new set."""

    party_id: PartyId
    name: Personal
    email: Personal | None
    phone: Personal | None
    address: Personal | None
    city: str | None
    state: str | None


@event("parties.party_blocked", pt="Parceiro bloqueado", en="Party blocked")
class PartyBlocked(Event):
    """No new documents for this party."""

    party_id: PartyId


@event("parties.party_unblocked", pt="Parceiro desbloqueado", en="Party unblocked")
class PartyUnblocked(Event):
    """New documents are allowed again."""

    party_id: PartyId
