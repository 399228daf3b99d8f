"""The doors over folded rows: asks over HTTP what a test has folded, as the owner or anybody else."""

from typing import Any, cast
from uuid import UUID, uuid4

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.app import create_app
from api.services import Services
from projections.catalogue import PROJECTIONS
from read_model.cache import Views
from read_model.freshness import Freshnesses
from tests.doors.world import Clock, DoorStore, People
from tests.reports.books import Books
from tests.scenario import RandomIds
from write_model.dispatch import Dispatcher
from write_model.store.store import Store


class FoldedStore(DoorStore):
    """Nothing is in it, as events are folded without being stored; `end` is where they would end."""

    end = 10**18

    async def head(self, partition: int) -> int:
        """The last position."""
        return self.end


class Doors:
    """A company behind its doors."""

    def __init__(
        self, books: Books, company_id: UUID, store: Store | None = None, views: Views | None = None
    ) -> None:
        self._books = books
        self._company_id = company_id
        self._people = People()
        self._clock = Clock()
        self._roles: dict[str, UUID] = {}
        # Answers come from what was folded; only who may see personal data needs the store itself.
        self.store = FoldedStore()
        store = store or cast("Store", self.store)
        self._app = create_app(
            Services(
                store=store,
                dispatcher=Dispatcher(store, RandomIds()),
                engine=books.engine,
                freshness=Freshnesses(books.engine),
                projections=frozenset(kind.name for kind in PROJECTIONS),
                token_keys=[Ed25519PrivateKey.generate()],
                door_secret=b"0123456789abcdef0123456789abcdef",
                clock=self._clock,
                ids=RandomIds(),
                views=views,
            )
        )
        self._app.state.directory = self._people

    def get(self, path: str, *, role: str = "owner", **headers: str) -> httpx2.Response:
        """Ask as somebody with this role."""
        return self._books.run(self.asked(path, role=role, **headers))

    async def asked(self, path: str, *, role: str = "owner", **headers: str) -> httpx2.Response:
        """The same, where a loop runs already."""
        if role not in self._roles:
            self._roles[role] = self._people.add(f"{role}@example.com", (self._company_id, role))
        token = self._app.state.tokens.issue(
            user_id=self._roles[role], company_id=self._company_id, token_id=uuid4(), now=self._clock()
        )
        return await self._get(path, {"Authorization": f"Bearer {token}", **headers})

    def json(self, path: str, *, role: str = "owner") -> dict[str, Any]:
        """The body of a good answer."""
        answer = self.get(path, role=role)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Every row of a list, page by page, two at a time."""
        found: list[dict[str, Any]] = []
        page = f"{path}{'&' if '?' in path else '?'}limit=2"
        cursor = ""
        while True:
            body = self.json(page + cursor)
            found += body["data"]
            if not body["page"]["has_more"]:
                return found
            cursor = f"&cursor={body['page']['next_cursor']}"

    async def _get(self, path: str, headers: dict[str, str]) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self._app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://doors") as client:
            return await client.get(path, headers=headers)
