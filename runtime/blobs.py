"""The blob store: files that are put once and never changed, in a folder or in a bucket.

BLOB_URL says where: `s3://bucket/prefix` (with the usual AWS_… variables), `gs://…`, `az://…`, `file:///…`;
the folder `blobs` in the state folder unless it is set. A bucket whose policy forbids deleting and replacing
makes the promise of this class one of the provider's.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import LocalStore, ObjectStore, from_url

from write_model.store.keeper import NotKept

_AT_ONCE = 32
_TIMEOUT = timedelta(seconds=10)


class BlobStoreFailed(NotKept):
    """The blob store cannot be reached, or does not let us."""


class BlobDiffers(BlobStoreFailed):
    """Under this name something else is kept already."""


class Blobs:
    """One blob store. Every failure of it is a BlobStoreFailed.

    In threads rather than by the library's own coroutines: those leave threads behind that abort the process
    when they meet an interpreter that is ending (seen with obstore 0.12.1).
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def open(cls, url: str | None, state: Path) -> "Blobs":
        """The store at `url`, or the folder of this installation."""
        parts = urlsplit(url or "")
        with _failures():
            if parts.scheme in ("", "file"):
                folder = Path(unquote(parts.path)) if url else state / "blobs"
                return cls(LocalStore(folder, mkdir=True))
            return cls(
                from_url(
                    url or "",
                    client_options={"timeout": _TIMEOUT, "connect_timeout": _TIMEOUT, "allow_http": True},
                    # Whoever puts something here tries again by itself, and later.
                    retry_config={"max_retries": 1, "retry_timeout": _TIMEOUT},
                )
            )

    async def put(self, name: str, content: bytes) -> None:
        """Keep this; a second time the same is nothing, something else under the same name is refused."""
        with _failures():
            try:
                await asyncio.to_thread(self._store.put, name, content, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                if await self._read(name) != content:
                    raise BlobDiffers(f"{name} is something else already") from None

    async def read(self, name: str) -> bytes | None:
        """What is kept under this name, if anything is."""
        with _failures():
            try:
                return await self._read(name)
            except (NotFoundError, FileNotFoundError):
                return None

    async def names(self, folder: str) -> list[str]:
        """The names of everything in a folder, in order."""
        with _failures():
            return await asyncio.to_thread(self._list, folder)

    def _list(self, folder: str) -> list[str]:
        return sorted(item["path"] for page in self._store.list(folder) for item in page)

    async def read_all(self, folder: str) -> AsyncIterator[bytes]:
        """Everything in a folder, in the order of its names."""
        names = await self.names(folder)
        for start in range(0, len(names), _AT_ONCE):
            for content in await asyncio.gather(*map(self._read_existing, names[start : start + _AT_ONCE])):
                yield content

    async def _read_existing(self, name: str) -> bytes:
        with _failures():
            return await self._read(name)

    async def _read(self, name: str) -> bytes:
        return await asyncio.to_thread(lambda: bytes(self._store.get(name).bytes()))


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise
    except (BaseError, OSError, ValueError) as failure:
        # The first line: what follows may be the provider's whole answer.
        raise BlobStoreFailed(str(failure).partition("\n")[0]) from failure
