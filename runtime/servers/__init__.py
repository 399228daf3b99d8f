"""The servers we start ourselves, for ./run and for the tests.

They come out of wheels (RabbitMQ out of Debian's packages), listen on loopback only, want a password, keep
everything in one folder and die with the process that started them. A deployment uses its own servers and
never touches this package.
"""

from runtime.servers.postgres import PostgresServer
from runtime.servers.process import ServerFailed
from runtime.servers.rabbitmq import RabbitMQServer
from runtime.servers.valkey import ValkeyServer

__all__ = ["PostgresServer", "RabbitMQServer", "ServerFailed", "ValkeyServer"]
