"""What connection, publisher and consumer have in common: the exchange, sending, and how AMQP fails."""

import asyncio
from contextlib import suppress
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import (
    AMQPChannelError,
    AMQPException,
    ChannelInvalidStateError,
    DeliveryError,
    PublishError,
)

from integration.broker import Letter, PublishFailed, Unroutable

CONNECT_SECONDS = 10
"""Within which a connection, a channel, an exchange must be there."""
CONFIRM_SECONDS = 30
"""Within which a message, or a queue, must be confirmed."""

# RuntimeError is what asyncio and the library raise for a transport or channel that is closed already.
BROKEN = (AMQPException, ChannelInvalidStateError, OSError, TimeoutError, EOFError, RuntimeError)
"""Whatever happens to a connection ends in one of these."""


class BrokerLost(ConnectionError):
    """The connection, the channel or the consumer has ended: begin anew."""


async def declare_exchange(channel: AbstractChannel, prefix: str) -> AbstractExchange:
    """The one that all events go to."""
    return await channel.declare_exchange(
        f"{prefix}.events", aio_pika.ExchangeType.TOPIC, durable=True, timeout=CONNECT_SECONDS
    )


async def send(exchange: AbstractExchange, key: str, letter: Letter, headers: dict[str, Any]) -> None:
    """Returns when every queue it goes to has it on disk; raises when it goes to none."""
    await exchange.publish(
        aio_pika.Message(
            letter.body,
            message_id=letter.id,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers=headers,
        ),
        key,
        mandatory=True,
        timeout=CONFIRM_SECONDS,
    )


def as_failure(error: BaseException) -> PublishFailed:
    """What happened, in words that quote no secret."""
    if isinstance(error, PublishError):
        return Unroutable("it belongs to no queue")
    kind = "Nack" if isinstance(error, DeliveryError) else type(error).__name__
    # What it says about a channel is about queues and their arguments; about a connection it may be secret.
    why = f": {error}" if isinstance(error, AMQPChannelError) else ""
    return PublishFailed(f"the broker: {kind}{why}")


async def close(closeable: AbstractChannel | AbstractConnection) -> None:
    """Close what may be broken already, and do not wait for a broker that does not answer."""
    with suppress(*BROKEN):
        async with asyncio.timeout(5):
            await closeable.close()
