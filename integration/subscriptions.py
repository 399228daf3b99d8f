"""Every queue there is, one line each. They are made before the first event is sent, so none is missed."""

from integration.broker import Subscription

_UNTIL_TOMORROW = (1.0, 5.0, 30.0, 120.0, 600.0, *(1_800.0 for _ in range(48)))

WEBHOOKS = Subscription(queue="webhooks", patterns=("#",), retry_seconds=_UNTIL_TOMORROW, concurrency=64)
"""Everything: who is told of what is decided by those who listen."""

SUBSCRIPTIONS: tuple[Subscription, ...] = (WEBHOOKS,)
