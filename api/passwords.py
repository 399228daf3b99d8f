"""Passwords: Argon2id, off the event loop and only so many at once.

One check takes tens of milliseconds and megabytes. Behind the semaphore a storm of sign-ins waits in line
instead of taking every processor from the people who are already in.
"""

import asyncio
import os

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN = 15
LENGTH_MAX = 256

_HASHER = PasswordHasher()
# What unknown users are checked against, so that they take as long as known ones. Of no password anybody has.
_NOBODYS_HASH: list[str] = []


def hash_password(password: str) -> str:
    """Hash a password for storage."""
    return _HASHER.hash(password)


class PasswordChecker:
    """Checks passwords beside the event loop."""

    def __init__(self, at_once: int | None = None) -> None:
        # Half the processors: the other half keeps answering.
        self._line = asyncio.Semaphore(at_once or max(1, (os.cpu_count() or 2) // 2))

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Whether the password is the one stored; as slow for unknown users, who have none stored."""
        async with self._line:
            return await asyncio.to_thread(_verify, stored, password)


def _verify(stored: str | None, password: str) -> bool:
    if not _NOBODYS_HASH:
        _NOBODYS_HASH.append(_HASHER.hash(os.urandom(32)))
    try:
        _HASHER.verify(stored or _NOBODYS_HASH[0], password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
