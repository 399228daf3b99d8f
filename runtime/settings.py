"""Where everything is, read from the environment once, at the edge. Nothing inside the rooms reads it."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from runtime.keys import CHECKPOINTS_KEY, ROOT_KEY, TOKENS_KEY


class Settings(BaseSettings):
    """The settings of one process; ./run and the container files set them."""

    database_url: str = Field(validation_alias="DATABASE_URL")
    redis_url: str = Field(validation_alias="REDIS_URL")
    amqp_url: str | None = Field(default=None, validation_alias="AMQP_URL")
    """Where RabbitMQ is; without it, tables of the database stand in."""
    state: Path = Field(default=Path(".ccontrol"), validation_alias="CCONTROL_STATE")
    host: str = Field(default="127.0.0.1", validation_alias="CCONTROL_HOST")
    port: int = Field(default=8000, validation_alias="CCONTROL_PORT")
    metrics_port: int | None = Field(default=None, validation_alias="CCONTROL_METRICS_PORT")
    """Where projector, relay, consumers and couriers tell their own numbers; without it, nowhere."""
    keys: Path | None = Field(default=None, validation_alias="CCONTROL_KEYS")
    """The folder of the secret keys; `keys` in the state folder unless said otherwise."""
    blob_url: str | None = Field(default=None, validation_alias="BLOB_URL")
    """Where signed heads are kept outside the database; `blobs` in the state folder unless said otherwise."""

    webhooks_on_loopback: bool = Field(default=False, validation_alias="CCONTROL_WEBHOOKS_LOOPBACK")
    """For development: webhooks may be on this very machine, and then without TLS."""
    webhooks_authorities: Path | None = Field(default=None, validation_alias="CCONTROL_WEBHOOKS_AUTHORITIES")
    """A file of certificate authorities that webhooks may have beside those of the machine."""

    @property
    def root_key(self) -> Path:
        """Wraps every company's key for personal data."""
        return self._keys / ROOT_KEY

    @property
    def tokens_key(self) -> Path:
        """Signs access tokens."""
        return self._keys / TOKENS_KEY

    @property
    def checkpoints_key(self) -> Path:
        """Signs the heads of the event chain."""
        return self._keys / CHECKPOINTS_KEY

    @property
    def _keys(self) -> Path:
        return self.keys or self.state / "keys"
