"""Facts about who holds a unique name."""

from uuid import UUID

from write_model.message import Event, event


@event(
    "claims.claimed",
    pt="Identificador {subject} reservado",
    en="Identifier {subject} claimed",
    importance="technical",
)
class Claimed(Event):
    """A unique name was taken. `subject` says what kind of name it is, never the name itself."""

    subject: str
    holder: UUID


@event(
    "claims.released",
    pt="Identificador {subject} liberado",
    en="Identifier {subject} released",
    importance="technical",
)
class Released(Event):
    """A unique name was given back."""

    subject: str
    holder: UUID
