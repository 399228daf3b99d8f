"""`ccontrol serve`: the long-running processes, in the foreground."""

from typing import Annotated

import typer

from runtime.cli.instance import read_settings

app = typer.Typer(name="serve", help="Run one process in the foreground.", no_args_is_help=True)


@app.command()
def api() -> int:
    """The HTTP API. DATABASE_URL, REDIS_URL and CCONTROL_STATE say where everything is."""
    from runtime.api_process import main

    return main(read_settings())


@app.command()
def projector() -> int:
    """The worker that keeps the read models up to date."""
    from runtime.projector_process import main

    return main(read_settings())


@app.command()
def relay(
    consumers: Annotated[
        bool, typer.Option("--consumers", help="Also consume here, instead of in processes of their own.")
    ] = False,
) -> int:
    """The relay, which tells the broker what was recorded; AMQP_URL says where RabbitMQ is."""
    from runtime.relay_process import main

    return main(read_settings(), relays=True, consumes=consumers)


@app.command()
def consumers() -> int:
    """Those who deal with what the relay tells."""
    from runtime.relay_process import main

    return main(read_settings(), relays=False, consumes=True)


@app.command()
def webhooks() -> int:
    """A courier of webhooks, beside those that live with the consumers."""
    from runtime.webhooks_process import main

    return main(read_settings())
