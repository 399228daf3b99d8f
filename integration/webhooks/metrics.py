"""What webhooks tell Prometheus. No label names a company, a webhook or an address."""

from prometheus_client import Counter, Gauge, Histogram

DELIVERIES = Counter(
    "ccontrol_webhook_deliveries",
    "Attempts at deliveries by what came of them: delivered, retried, failed, gone, dropped",
    ["outcome"],
)
ATTEMPT_SECONDS = Histogram(
    "ccontrol_webhook_attempt_duration_seconds",
    "How long calling a webhook took",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
PENDING = Gauge("ccontrol_webhook_deliveries_pending", "Deliveries that wait for a try")
OLDEST_SECONDS = Gauge("ccontrol_webhook_oldest_due_seconds", "How long the first of them has been due")
