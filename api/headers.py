"""The headers of a request, looked up by name at once instead of one after the other."""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope


class IndexedHeaders(Headers):
    """As the framework's, for the dozen that every command is asked for."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        index: dict[str, list[str]] = {}
        for name, value in self.raw:
            index.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        self._index: Mapping[str, list[str]] = index

    def getlist(self, key: str) -> list[str]:
        """Every header of this name, in order."""
        return list(self._index.get(key.lower(), ()))

    def __getitem__(self, key: str) -> str:
        return self._index[key.lower()][0]

    def get(self, key: str, default: Any = None) -> Any:
        """The first header of this name."""
        found = self._index.get(key.lower())
        return default if found is None else found[0]
