"""The rules of the alerts ask for numbers that exist, with labels they have, and say what to do."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.core import Metric

import runtime.api_process
import runtime.projector_process
import runtime.relay_process  # noqa: F401  # whoever counts has told the registry by now
from api.clock_numbers import ClockNumbers
from api.metrics import Metrics
from api.outbox_numbers import OutboxNumbers
from api.webhook_numbers import WebhookNumbers

_ROOT = Path(__file__).parents[2]
_SERIES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
}
# Prometheus' own, about each process it asks.
_OWN = {"up"}


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((_ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _told() -> Iterator[Metric]:
    outbox, webhooks, clock = OutboxNumbers(), WebhookNumbers(), ClockNumbers()
    outbox._outbox, webhooks._backlog, clock._skew_seconds = (0, 0.0, 0, 0), (0, 0.0), 0.0
    for registry in (REGISTRY, Metrics().registry, outbox, webhooks, clock):
        yield from registry.collect()


@pytest.fixture(scope="module")
def series() -> set[str]:
    return {metric.name + end for metric in _told() for end in _SERIES.get(metric.type, ())}


@pytest.mark.parametrize("rule", _alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_numbers_there_are(rule: dict[str, Any], series: set[str]) -> None:
    wanted = set(re.findall(r"\b(?:ccontrol|http)_\w+|\bup\b", rule["expr"]))
    assert wanted
    assert wanted - series - _OWN == set()


@pytest.mark.parametrize("rule", _alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert f"`{rule['alert']}`" in (_ROOT / "docs/operations/watching.md").read_text()


def test_every_process_of_compose_that_counts_is_asked() -> None:
    scraped = yaml.safe_load((_ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in scraped for one in job["static_configs"] for target in one["targets"]}
    services = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())["services"]
    serving = {name: service for name, service in services.items() if "serve" in service.get("command", ())}
    asked = {
        f"{name}:{service['environment']['CCONTROL_PORT' if name == 'api' else 'CCONTROL_METRICS_PORT']}"
        for name, service in serving.items()
    }
    assert asked == targets
