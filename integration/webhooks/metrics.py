"""What a courier tells Prometheus; what all of them did is counted in the database."""

from prometheus_client import Histogram

ATTEMPT_SECONDS = Histogram(
    "ccontrol_webhook_attempt_duration_seconds",
    "How long calling a webhook took",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
