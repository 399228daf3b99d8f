"""Rebuilds beside writers and readers, on a whole installation: no question fails, and no figure is wrong."""

import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest

from tests.journey.conftest import House
from write_model.values.identifiers import encode

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]

# The full size is 50 writes a second, 20 readers, a minute: CCONTROL_REBUILD_LOAD=50,20,60.
_WRITES_PER_SECOND, _READERS, _SECONDS = map(
    int, os.environ.get("CCONTROL_REBUILD_LOAD", "10,3,4").split(",")
)
_WRITERS = 5


class Load:
    """Stock that only grows by one: what is on hand says which events an answer contains."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._authorization = house.client.headers["Authorization"]
        self.over = threading.Event()
        self.products = [self._product() for _ in range(8)]
        self.answers: list[tuple[str, int, int]] = []
        self.failures: list[str] = []
        self.written: Counter[str] = Counter()
        self._token = threading.local()

    def _product(self) -> str:
        made = self._house.post("/v1/products", {"sku": uuid4().hex, "name": "Caneta"})
        return str(made.json()["resource"]["id"])

    def client(self) -> httpx2.Client:
        headers = {"Authorization": self._authorization}
        return httpx2.Client(base_url=self._house.described["url"], timeout=60, headers=headers)

    def write(self, seed: int) -> None:
        """At its share of the rate, until it is over."""
        dice = random.Random(seed)
        body = {"quantity": "1", "unit_cost": "1.00", "origin": "receipt"}
        with self.client() as client:
            due = time.monotonic()
            while not self.over.is_set():
                due += _WRITERS / _WRITES_PER_SECOND
                product = dice.choice(self.products)
                answer = client.post(
                    f"/v1/products/{product}/receive-stock",
                    json=body,
                    headers={"Idempotency-Key": uuid4().hex},
                )
                if answer.status_code in (200, 201):
                    self.written[product] += 1
                elif answer.json()["code"] != "state-conflict":
                    self.failures.append(answer.text)
                time.sleep(max(0.0, due - time.monotonic()))

    def read(self, seed: int) -> None:
        """Questions with the token of the answer before: never older than what was already shown."""
        dice = random.Random(seed)
        token = ""
        with self.client() as client:
            while not self.over.is_set():
                product = dice.choice(self.products)
                headers = {"Prefer": "wait=10", **({"Consistency-Token": token} if token else {})}
                answer = client.get(f"/v1/stock/levels?product_id={product}", headers=headers)
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                    continue
                token = max(token, answer.headers["consistency-token"])
                body: dict[str, Any] = answer.json()
                on_hand = int(body["data"][0]["on_hand"]) if body["data"] else 0
                self.answers.append((product, body["as_of"]["position"], on_hand))
                time.sleep(dice.uniform(0, 0.1))


def test_no_question_fails_and_no_figure_is_wrong_while_it_is_rebuilt(house: House) -> None:
    load = Load(house)
    rebuilds = 0
    with ThreadPoolExecutor(_WRITERS + _READERS) as pool:
        work = [pool.submit(load.write, seed) for seed in range(_WRITERS)]
        work += [pool.submit(load.read, seed) for seed in range(_READERS)]
        ends_at = time.monotonic() + _SECONDS
        try:
            while time.monotonic() < ends_at:
                done = house.ccontrol("projections", "rebuild", "stock_levels", "-o", "json")
                assert done.returncode == 0, done.stderr
                rebuilds += 1
                if rebuilds % 3 == 0:
                    assert house.ccontrol("projections", "rollback", "stock_levels").returncode == 0
        finally:
            load.over.set()
        for each in work:
            each.result()
    assert load.failures == []
    assert rebuilds
    assert len(load.answers) > 10
    truth = _positions(house)
    wrong = [
        (product, position, on_hand)
        for product, position, on_hand in load.answers
        if on_hand != sum(at <= position for at in truth.get(product, ()))
    ]
    assert wrong == []
    # Every acknowledged one is there once, and what is served is the fold of it.
    assert {product: len(positions) for product, positions in truth.items()} == dict(load.written)
    assert house.ccontrol("projections", "compare", "stock_levels").returncode == 0
    print(f"{rebuilds} rebuilds, {load.written.total()} writes, {len(load.answers)} answers")  # noqa: T201


def _positions(house: House) -> dict[str, list[int]]:
    """Where in the log stock was received, by product."""
    found: dict[str, list[int]] = {}
    with psycopg.connect(house.described["database_url"]) as connection:
        for product, position in connection.execute(
            "SELECT data::json ->> 'product_id', position FROM ccontrol.events "
            "WHERE topic = 'stock.stock_received' AND data::json ->> 'origin' = 'receipt'"
        ).fetchall():
            found.setdefault(encode("prd", UUID(product)), []).append(position)
    return found
