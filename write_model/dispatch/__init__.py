"""The one path of every write: load, decide, append; decide again when the world moved meanwhile."""

from write_model.dispatch.dispatcher import Dispatcher, Ids
from write_model.dispatch.outcome import (
    Contended,
    KeyReused,
    NotAttempted,
    Receipt,
    ReceiptEvent,
    Refused,
    VersionMismatch,
)

__all__ = [
    "Contended",
    "Dispatcher",
    "Ids",
    "KeyReused",
    "NotAttempted",
    "Receipt",
    "ReceiptEvent",
    "Refused",
    "VersionMismatch",
]
