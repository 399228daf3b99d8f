"""Folds webhooks into the list of them, from which they are also delivered to."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.webhooks.endpoints import TABLE
from write_model.message import Recorded
from write_model.webhooks.events import (
    RedeliveryRequested,
    SecretRotated,
    TestRequested,
    WebhookChanged,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRegistered,
    WebhookRemoved,
)


class WebhooksEndpoints(SqlProjection):
    """One row per webhook that there still is."""

    name = "webhooks_endpoints"
    version = 1
    tables = (TABLE,)

    @on(WebhookRegistered)
    def registered(self, batch: Batch, recorded: Recorded, fact: WebhookRegistered) -> None:
        batch.put(
            TABLE,
            {
                "webhook_id": fact.webhook_id,
                "url": fact.url,
                "topics": " ".join(fact.topics),
                "description": fact.description,
                "status": "enabled",
                "status_set_by": recorded.actor_kind,
                "active_since": recorded.position,
                "secret_id": fact.secret_id,
                "registered_at": recorded.recorded_at,
                "version": recorded.version,
            },
        )

    @on(WebhookChanged)
    def changed(self, batch: Batch, recorded: Recorded, fact: WebhookChanged) -> None:
        said = {"url": fact.url, "topics": " ".join(fact.topics), "description": fact.description}
        batch.patch(TABLE, key={"webhook_id": fact.webhook_id}, set={**said, "version": recorded.version})

    @on(WebhookEnabled)
    def enabled(self, batch: Batch, recorded: Recorded, fact: WebhookEnabled) -> None:
        self._set_status(batch, recorded, fact, "enabled", active_since=recorded.position)

    @on(WebhookDisabled)
    def disabled(self, batch: Batch, recorded: Recorded, fact: WebhookDisabled) -> None:
        self._set_status(batch, recorded, fact, "disabled")

    @on(SecretRotated)
    def rotated(self, batch: Batch, recorded: Recorded, fact: SecretRotated) -> None:
        secrets = {"secret_id": fact.secret_id, "previous_secret_id": fact.replaces}
        changes = {**secrets, "rotated_at": recorded.recorded_at, "version": recorded.version}
        batch.patch(TABLE, key={"webhook_id": fact.webhook_id}, set=changes)

    @on(TestRequested, RedeliveryRequested)
    def asked(self, batch: Batch, recorded: Recorded, fact: TestRequested | RedeliveryRequested) -> None:
        batch.patch(TABLE, key={"webhook_id": fact.webhook_id}, set={"version": recorded.version})

    @on(WebhookRemoved)
    def removed(self, batch: Batch, recorded: Recorded, fact: WebhookRemoved) -> None:
        batch.remove(TABLE, key={"webhook_id": fact.webhook_id})

    def _set_status(
        self,
        batch: Batch,
        recorded: Recorded,
        fact: WebhookEnabled | WebhookDisabled,
        status: str,
        **more: object,
    ) -> None:
        changes = {
            "status": status,
            "status_reason": recorded.reason,
            "status_set_by": recorded.actor_kind,
            "version": recorded.version,
            **more,
        }
        batch.patch(TABLE, key={"webhook_id": fact.webhook_id}, set=changes)
