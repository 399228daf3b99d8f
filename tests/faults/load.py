"""Clients that never give up: each asks, with one key, until it has a definite answer, and remembers it.

An outcome is unknown after a reset, a time-out, or a 5xx; then the very same request is sent again, perhaps
to another process. What must never happen, whatever breaks, is in `violations`: an answer that is neither 2xx
nor 4xx nor a 503 or 504 that says when to come back; silence beyond every deadline; another answer to the
same key.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx2

from write_model.settlement.receivable import instalment_id, receivable_id_for
from write_model.values.identifiers import SaleId, decode, encode

# The desk gives up after 25 seconds; before it a caller may have to be looked up.
_SILENCE_SECONDS_MAX = 40.0
_PAUSE_SECONDS_MAX = 0.5


@dataclass(kw_only=True)
class Asked:
    """One request and what became of it; `outcome` is unknown until somebody said otherwise."""

    company: str
    path: str
    body: dict[str, Any]
    key: str
    outcome: str = "unknown"
    status: int = 0
    answer: dict[str, Any] = field(default_factory=dict)
    unknowns: int = 0


class Journal:
    """What the clients remember, also on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[Asked] = []
        self.violations: list[str] = []
        self.seen: Counter[str] = Counter()
        self._file = path.open("a")

    def settle(self, asked: Asked, outcome: str, status: int, answer: dict[str, Any]) -> None:
        """A definite answer."""
        asked.outcome, asked.status, asked.answer = outcome, status, answer
        self._file.write(json.dumps(_line(asked)) + "\n")
        self._file.flush()

    def lines(self) -> list[dict[str, Any]]:
        """As the checker wants them; what has no answer yet is unknown."""
        return [_line(asked) for asked in self.asked]

    def accepted(self) -> list[Asked]:
        """Those that must be there for ever, one command each."""
        return [asked for asked in self.asked if asked.outcome == "accepted" and asked.path != "/v1/commands"]

    def close(self) -> None:
        """No more is remembered."""
        self._file.close()


def _line(asked: Asked) -> dict[str, Any]:
    names = ("company", "key", "outcome", "status", "answer", "path")
    return {name: getattr(asked, name) for name in names}


class Clients:
    """Everybody's connection to the doors. `urls` may be several processes over one database."""

    def __init__(
        self,
        urls: Sequence[str],
        journal: Journal,
        sign_in: Callable[[], Awaitable[str]],
        dice: random.Random,
    ) -> None:
        self.journal = journal
        self._urls = urls
        self._dice = dice
        self._sign_in = sign_in
        self._token = ""
        self._signing_in = asyncio.Lock()
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(_SILENCE_SECONDS_MAX), limits=httpx2.Limits(max_connections=None)
        )

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def ask(
        self, company: str, path: str, body: dict[str, Any], *, key: str | None = None, quietly: bool = False
    ) -> Asked:
        """One command, until there is a definite answer; `quietly` is not for the journal: it repeats."""
        asked = Asked(company=company, path=path, body=body, key=key or uuid4().hex)
        if not quietly:
            self.journal.asked.append(asked)
        while True:
            answer = await self._once(asked)
            if answer is None:
                asked.unknowns += 1
                await asyncio.sleep(self._dice.uniform(0.02, _PAUSE_SECONDS_MAX))
                continue
            outcome = "accepted" if answer.status_code < 300 else "refused"
            if quietly:
                asked.outcome, asked.status, asked.answer = outcome, answer.status_code, answer.json()
            else:
                self.journal.settle(asked, outcome, answer.status_code, answer.json())
            return asked

    async def _once(self, asked: Asked) -> httpx2.Response | None:
        """An answer that decides it, or None."""
        token, started = self._token or await self._signed_in(""), monotonic()
        headers = {
            "Authorization": f"Bearer {token}",
            "Ccontrol-Company": asked.company,
            "Idempotency-Key": asked.key,
        }
        seen, violations = self.journal.seen, self.journal.violations
        try:
            url = self._dice.choice(self._urls) + asked.path
            answer = await self._http.post(url, json=asked.body, headers=headers)
        except httpx2.TimeoutException:
            seen["silence"] += 1
            violations.append(f"{asked.path}: no answer in {monotonic() - started:.0f} s")
            return None
        except httpx2.TransportError:
            seen["reset"] += 1
            return None
        seen[str(answer.status_code)] += 1
        problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        if answer.status_code >= 500:
            kind = answer.headers.get("content-type")
            is_proper = kind == "application/problem+json" and "retry-after" in answer.headers
            if answer.status_code not in (503, 504) or not is_proper:
                violations.append(f"{asked.path}: {answer.status_code} {kind} {answer.text[:200]}")
            return None
        if answer.status_code == 401:
            await self._signed_in(token)
            return None
        if answer.status_code == 429 or problem.get("retryable"):
            return None
        return answer

    async def _signed_in(self, stale: str) -> str:
        async with self._signing_in:
            if self._token == stale:
                self._token = await self._sign_in()
            return self._token


class Unexpected(Exception):
    """An answer that no fault explains; it is among the violations."""


class Trade:
    """What the clients of one company do: buy, sell, be paid, ask twice, and ask for what is refused."""

    def __init__(self, clients: Clients, company: str, dice: random.Random) -> None:
        self._clients, self._company, self._dice = clients, company, dice
        self._hot: list[str] = []
        self._skus: list[str] = []
        self._parties: list[str] = []
        self._bank = ""
        self._done: list[Asked] = []

    async def open(self) -> None:
        """What a business needs before it can sell."""
        for number in range(2):
            body = {"sku": uuid4().hex, "name": f"Produto {number}", "price": "10.00"}
            self._hot.append(await self._new("/v1/products", body))
            self._skus.append(body["sku"])
            await self._receive(self._hot[-1], 1000)
        self._parties.append(await self._new("/v1/parties", {"name": "Cliente"}))
        self._bank = await self._new("/v1/bank-accounts", {"name": "Banco"})

    async def step(self) -> None:
        """One thing somebody does, chosen at random."""
        moves: tuple[tuple[int, Callable[[], Awaitable[object]]], ...] = (
            (30, lambda: self._receive(self._dice.choice(self._hot), self._dice.randint(1, 9))),
            (15, self._product),
            (8, lambda: self._new("/v1/parties", {"name": f"Cliente {uuid4().hex[:6]}"})),
            (22, self._sale),
            (9, self._again),
            (4, self._another_body),
            (6, self._twice_at_once),
            (3, self._taken_sku),
            (3, self._batch),
        )
        ((_, move),) = self._dice.choices(moves, weights=[weight for weight, _ in moves])
        with suppress(Unexpected):
            await move()

    async def _ask(self, path: str, body: dict[str, Any], key: str | None = None) -> Asked:
        asked = await self._clients.ask(self._company, path, body, key=key)
        if asked.outcome == "accepted":
            self._done.append(asked)
        return asked

    async def _new(self, path: str, body: dict[str, Any]) -> str:
        asked = await self._ask(path, body)
        self._expect(asked, {201})
        return str(asked.answer["resource"]["id"])

    def _expect(self, asked: Asked, statuses: set[int], code: str | None = None) -> None:
        if asked.status not in statuses or (code is not None and asked.answer.get("code") != code):
            found = f"{asked.path}: {asked.status} {asked.answer.get('code')} instead of {statuses} {code}"
            self._clients.journal.violations.append(found)
            raise Unexpected(found)

    async def _receive(self, product: str, quantity: int) -> None:
        body = {"quantity": str(quantity), "unit_cost": "4.00", "origin": "opening"}
        self._expect(await self._ask(f"/v1/products/{product}/receive-stock", body), {200})

    async def _product(self) -> None:
        body = {"sku": uuid4().hex, "name": "Produto", "price": "3.50"}
        await self._new("/v1/products", body)
        self._skus.append(body["sku"])

    async def _sale(self) -> None:
        """Drafted, confirmed, paid; the second confirmation and the second payment are refused."""
        quantity = self._dice.choice((1, 2, 3, 1_000_000))
        lines = [{"product_id": self._dice.choice(self._hot), "quantity": str(quantity)}]
        sale = await self._new("/v1/sales", {"customer_id": self._dice.choice(self._parties), "lines": lines})
        confirmed = await self._ask(f"/v1/sales/{sale}/confirm", {})
        if quantity == 1_000_000:
            self._expect(confirmed, {422}, "insufficient-stock")
            return
        self._expect(confirmed, {200})
        self._expect(await self._ask(f"/v1/sales/{sale}/confirm", {}), {409})
        title = receivable_id_for(SaleId(decode("sal", sale)))
        path = f"/v1/instalments/{encode('ins', instalment_id(title, 1))}/settle"
        amount = {"amount": f"{quantity * 10}.00", "currency": "BRL"}
        payment = {"amount": amount, "bank_account_id": self._bank}
        self._expect(await self._ask(path, payment), {200})
        self._expect(await self._ask(path, payment), {409, 422})

    async def _again(self) -> None:
        """The same key, the same body: the same answer, whenever it is."""
        if self._done:
            await self.repeat(self._dice.choice(self._done))

    async def repeat(self, first: Asked) -> None:
        """Ask once more what was accepted."""
        second = await self._clients.ask(first.company, first.path, first.body, key=first.key, quietly=True)
        if (second.status, second.answer) != (first.status, first.answer):
            self._clients.journal.violations.append(
                f"{first.path} with key {first.key}: {first.status}, later {second.status} {second.answer}"
            )

    async def _another_body(self) -> None:
        if self._done:
            first = self._dice.choice(self._done)
            body = {"sku": uuid4().hex, "name": "Outro pedido"}
            second = await self._clients.ask(first.company, "/v1/products", body, key=first.key, quietly=True)
            self._expect(second, {422}, "idempotency-key-reused")

    async def _twice_at_once(self) -> None:
        body, key = {"sku": uuid4().hex, "name": "Duas vezes"}, uuid4().hex
        first, second = await asyncio.gather(
            self._ask("/v1/products", body, key),
            self._clients.ask(self._company, "/v1/products", body, key=key, quietly=True),
        )
        if (first.status, first.answer) != (second.status, second.answer):
            self._clients.journal.violations.append(f"/v1/products twice: {first.answer}, {second.answer}")

    async def _taken_sku(self) -> None:
        body = {"sku": self._dice.choice(self._skus), "name": "Mesmo código"}
        self._expect(await self._ask("/v1/products", body), {409})

    async def _batch(self) -> None:
        """Thirty in one request, all or nothing or each for itself; one may be refused."""
        atomic, spoilt = self._dice.random() < 0.5, self._dice.random() < 0.3
        key = uuid4().hex
        bodies = [{"sku": uuid4().hex, "name": f"Lote {number}"} for number in range(30)]
        if spoilt:
            bodies[17]["sku"] = self._skus[0]
        commands = [{"topic": "catalog.register_product", "body": body} for body in bodies]
        # Before the request leaves: a process may record it without our ever hearing of it.
        items = [
            Asked(company=self._company, path="", body=body, key=f"{key}/{number}")
            for number, body in enumerate(bodies)
        ]
        self._clients.journal.asked += items
        asked = await self._clients.ask(
            self._company, "/v1/commands", {"atomic": atomic, "commands": commands}, key=key, quietly=True
        )
        self._expect(asked, {409} if spoilt and atomic else {207} if spoilt else {200})
        for item, result in zip(items, asked.answer.get("results", ()), strict=False):
            outcome = "accepted" if result["status"] < 300 else "refused"
            self._clients.journal.settle(item, outcome, result["status"], result)
