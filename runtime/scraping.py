"""Where a process without doors tells Prometheus its own numbers: `GET /metrics` on `CCONTROL_METRICS_PORT`.

The API has its `/metrics` beside its other doors. There it also tells what all processes did, as far as the
database knows it.
"""

import structlog
from prometheus_client import start_http_server

from runtime.settings import Settings

_log = structlog.get_logger(__name__)


def tell_numbers(settings: Settings) -> None:
    """From a thread of its own, to the end of the process; nothing without a port.

    A port that somebody else has is no reason not to work.
    """
    if settings.metrics_port is None:
        return
    try:
        start_http_server(settings.metrics_port, settings.host)
    except OSError as error:
        _log.error("numbers_not_told", port=settings.metrics_port, error=str(error))
