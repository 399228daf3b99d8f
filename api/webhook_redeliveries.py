"""Only what is in the log of deliveries can be told again: decisions do not look there, the desk does."""

from collections.abc import Sequence
from uuid import UUID

from api.auth import Caller
from api.services import Services
from read_model.database import reading
from read_model.webhooks.deliveries import webhooks_of
from write_model.message import Command, Context
from write_model.webhooks.webhook import Redeliver


async def of_nothing(
    services: Services, caller: Caller, asked: Sequence[tuple[Command, Context]]
) -> frozenset[UUID]:
    """The ids of those commands that ask for a delivery their webhook never had.

    A repeated request is none of them, however long ago its delivery was forgotten: it has its answer.
    """
    wanted = [(command, context) for command, context in asked if isinstance(command, Redeliver)]
    if not wanted:
        return frozenset()
    async with reading(services.engine, caller.company_id) as connection:
        known = await webhooks_of(
            connection, caller.company_id, [command.delivery_id for command, _ in wanted]
        )
    strange = [context for command, context in wanted if known.get(command.delivery_id) != command.webhook_id]
    keys = [context.idempotency_key for context in strange]
    answered = await services.store.command_records(caller.company_id, caller.user_id, keys) if keys else {}
    return frozenset(context.command_id for context in strange if context.idempotency_key not in answered)
