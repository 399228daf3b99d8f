"""What is wrong with the surroundings, for an operator: one sentence, and none of the values at hand."""

import psycopg
import redis.exceptions
from psycopg_pool import PoolTimeout

_UNSAVED = "MISCONF"


def trouble(error: BaseException) -> str:
    """What a transient failure means, and what there is to do where waiting alone does not help."""
    found: BaseException | None = error
    while found is not None:
        said = _redis(found) or _database(found)
        if said is not None:
            return said
        found = found.exceptions[0] if isinstance(found, BaseExceptionGroup) else found.__cause__
    return f"the database or Redis does not answer ({type(error).__name__})"


def _redis(error: BaseException) -> str | None:
    match error:
        case redis.exceptions.OutOfMemoryError():
            return "Redis is full and takes no writes: raise its maxmemory, or delete what is not ours in it"
        case redis.exceptions.ReadOnlyError():
            return "Redis takes no writes: it is a replica; let REDIS_URL name the primary"
        case redis.exceptions.BusyLoadingError():
            return "Redis is loading its data"
        case redis.exceptions.AuthenticationError():
            return "Redis refuses the password in REDIS_URL"
        case redis.exceptions.ConnectionError() | redis.exceptions.TimeoutError():
            return "Redis does not answer: is it running, does REDIS_URL name it?"
        case redis.exceptions.RedisError() if str(error).startswith(_UNSAVED):
            return "Redis takes no writes: it cannot save to its disk"
        case redis.exceptions.RedisError():
            return f"Redis does not do what it is asked ({type(error).__name__})"
    return None


def _database(error: BaseException) -> str | None:
    match error:
        case psycopg.errors.DiskFull():
            return "the disk of the database is full"
        case psycopg.errors.ReadOnlySqlTransaction():
            return "the database takes no writes: it is a standby; let DATABASE_URL name the primary"
        case psycopg.errors.TooManyConnections():
            return "the database takes no more connections"
        case psycopg.errors.LockNotAvailable() | psycopg.errors.QueryCanceled():
            return "the database takes too long: is somebody holding a lock?"
        case psycopg.OperationalError() | psycopg.InterfaceError() | PoolTimeout():
            return "the database does not answer: is it running, does DATABASE_URL name it?"
    return None
