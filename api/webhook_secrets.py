"""The secret of a webhook in the answer of the command that made it. It stands in no stored answer.

A secret has the id of that command, so it can be derived again when a client that lost the answer repeats
the request: the same key, the same answer. After a day it is not shown any more.
"""

from base64 import b64encode
from datetime import timedelta
from typing import Final, cast
from uuid import UUID

from api.services import Services
from write_model.dispatch import Receipt

_MAKES_ONE: Final = frozenset({"webhooks.register_webhook", "webhooks.rotate_secret"})
_SHOWN_FOR: Final = timedelta(hours=24)


def fresh_secret(receipt: Receipt, company_id: UUID, services: Services) -> dict[str, str]:
    """`{"secret": "whsec_…"}` when this very request made one."""
    if receipt.topic not in _MAKES_ONE or receipt.dry_run or receipt.replayed:
        return {}
    return _shown(receipt, company_id, services)


async def secret_in(receipt: Receipt, company_id: UUID, services: Services) -> dict[str, str]:
    """The same, and for a repeated request as long as the secret is young."""
    if receipt.topic not in _MAKES_ONE or not receipt.replayed:
        return fresh_secret(receipt, company_id, services)
    record = await services.store.command_record(company_id, receipt.command_id)
    if record is None or services.clock() - record.recorded_at > _SHOWN_FOR:
        return {}
    return _shown(receipt, company_id, services)


def _shown(receipt: Receipt, company_id: UUID, services: Services) -> dict[str, str]:
    webhook_id = cast("UUID", receipt.target)
    secret = services.store.webhook_secret(company_id, webhook_id, receipt.command_id)
    return {"secret": f"whsec_{b64encode(secret).decode()}"}
