"""Every queue there is, one line each. They are made before the first event is sent, so none is missed."""

from integration.broker import Subscription

SUBSCRIPTIONS: tuple[Subscription, ...] = ()
