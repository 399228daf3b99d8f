"""What the blob store promises, kept by a folder and by an S3 server alike; and heads that get there."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import boto3
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from moto.server import ThreadedMotoServer

from runtime.blobs import BlobDiffers, Blobs, BlobStoreFailed
from tests.store.submissions import appended, submission
from write_model.store.keeper import FOLDER, KEPT, Keeper, NotKept
from write_model.store.personal_data import KeyRing
from write_model.store.sealer import RELAYED, Sealer
from write_model.store.store import Store

# What happens in other people's threads and at the end of theirs is none of our warnings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """An empty one of each kind."""
    if request.param == "folder":
        return Blobs.open(None, tmp_path)
    endpoint = request.getfixturevalue("s3_server")
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid4()}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return Blobs.open(f"s3://{bucket}/prefix", tmp_path)


@pytest.mark.asyncio
async def test_what_is_put_is_read_back(blobs: Blobs) -> None:
    assert await blobs.read("a/b.json") is None
    assert await blobs.names("a") == []
    await blobs.put("a/b.json", b"one")
    await blobs.put("a/c/d.json", b"two")
    await blobs.put("e.json", b"three")
    assert await blobs.read("a/b.json") == b"one"
    assert await blobs.names("a") == ["a/b.json", "a/c/d.json"]
    assert [content async for content in blobs.read_all("a")] == [b"one", b"two"]


@pytest.mark.asyncio
async def test_nothing_is_ever_replaced(blobs: Blobs) -> None:
    await blobs.put("a.json", b"one")
    await blobs.put("a.json", b"one")
    with pytest.raises(BlobDiffers, match=r"a\.json"):
        await blobs.put("a.json", b"other")
    assert await blobs.read("a.json") == b"one"


@pytest.mark.asyncio
async def test_of_many_that_put_at_once_one_wins(blobs: Blobs) -> None:
    ended = await asyncio.gather(
        *(blobs.put("a.json", b"%d" % number) for number in range(8)), return_exceptions=True
    )
    assert sum(result is None for result in ended) == 1
    assert {type(result) for result in ended} == {type(None), BlobDiffers}


@pytest.mark.asyncio
async def test_a_store_that_is_away_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    away = Blobs.open("s3://bucket", tmp_path)
    with pytest.raises(BlobStoreFailed):
        await away.put("a.json", b"one")
    with pytest.raises(BlobStoreFailed):
        await away.names("a")
    (tmp_path / "file").write_text("")
    with pytest.raises(BlobStoreFailed):
        Blobs.open((tmp_path / "file").as_uri(), tmp_path)
    with pytest.raises(BlobStoreFailed):
        Blobs.open("nonsense://x", tmp_path)


# --- heads get there --------------------------------------------------------------------------------------


class Wobbly:
    """Takes things only now and then."""

    def __init__(self, fails: int) -> None:
        self.fails = fails
        self.kept: dict[str, bytes] = {}

    async def put(self, name: str, content: bytes) -> None:
        if self.fails:
            self.fails -= 1
            raise NotKept("away")
        self.kept.setdefault(name, content)


async def sealed(url: str, ring: KeyRing, companies: int) -> Sealer:
    store = await Store.open(url, ring, uuid4)
    for _ in range(companies):
        await appended(store, submission(uuid4()))
    await store.close()
    sealer = Sealer(url, Ed25519PrivateKey.generate(), lambda: datetime.now(UTC))
    assert len(await sealer.seal_due()) == companies
    return sealer


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.create(tmp_path / "root.key")


@pytest.mark.asyncio
async def test_every_head_gets_there_once_the_store_is_back(
    database_url: str, ring: KeyRing, tmp_path: Path
) -> None:
    sealer = await sealed(database_url, ring, 3)
    outside = Wobbly(fails=2)
    keeper = Keeper(database_url, outside.put)
    for _ in range(2):
        with pytest.raises(NotKept):
            await keeper.keep_due()
    # Signing did not wait for it.
    assert await sealer.seal_due() == []
    assert await keeper.keep_due() == 3
    assert await keeper.keep_due() == 0
    with psycopg.connect(database_url) as connection:
        signed = connection.execute(
            "SELECT company_id, length, hash, signature FROM ccontrol.checkpoints"
        ).fetchall()
        relayed = connection.execute(
            "SELECT count(*), count(sent_at) FROM ccontrol.outbox WHERE kind = %s", (RELAYED,)
        )
        assert relayed.fetchone() == (3, 0)
    found = [json.loads(content) for content in outside.kept.values()]
    assert {(each["company_id"], each["length"], each["hash"], each["signature"]) for each in found} == {
        (str(company_id), length, digest.hex(), signature.hex())
        for company_id, length, digest, signature in signed
    }
    assert all(name.startswith(f"{FOLDER}/") for name in outside.kept)


@pytest.mark.asyncio
async def test_what_a_power_cut_took_is_put_again(database_url: str, ring: KeyRing, tmp_path: Path) -> None:
    await sealed(database_url, ring, 1)
    blobs = Blobs.open(None, tmp_path)
    keeper = Keeper(database_url, blobs.put)
    assert await keeper.keep_due() == 1
    (name,) = await blobs.names(FOLDER)
    (tmp_path / "blobs" / name).unlink()
    await keeper.begin()
    assert await keeper.keep_due() == 1
    assert await blobs.names(FOLDER) == [name]


@pytest.mark.asyncio
async def test_the_keeper_goes_on_by_itself(
    database_url: str, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("write_model.store.keeper._LOOK_SECONDS", 0.01)
    await sealed(database_url, ring, 1)
    outside = Wobbly(fails=1)
    running = asyncio.create_task(Keeper(database_url, outside.put).run())
    async with asyncio.timeout(20):
        while not outside.kept:  # noqa: ASYNC110 - nobody but the keeper knows when
            await asyncio.sleep(0.01)
    running.cancel()


@pytest.mark.asyncio
async def test_the_keeper_outlives_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("write_model.store.keeper._LOOK_SECONDS", 0.01)
    running = asyncio.create_task(Keeper("postgresql://127.0.0.1:1/none", Wobbly(0).put).run())
    await asyncio.sleep(0.2)
    assert not running.done()
    running.cancel()


@pytest.mark.asyncio
async def test_two_sealers_deliver_a_head_once(database_url: str, ring: KeyRing) -> None:
    await sealed(database_url, ring, 1)
    key = Ed25519PrivateKey.generate()
    one, other = (Sealer(database_url, key, lambda: datetime.now(UTC)) for _ in range(2))
    with psycopg.connect(database_url) as connection:
        ((company_id,),) = connection.execute("SELECT company_id FROM ccontrol.chain_heads").fetchall()
    await asyncio.gather(one.seal(company_id), other.seal(company_id))
    with psycopg.connect(database_url) as connection:
        counted = connection.execute(
            "SELECT count(*) FROM ccontrol.outbox WHERE kind = %s AND payload ->> 'key_id' = %s",
            (KEPT, one.key_id),
        )
        assert counted.fetchone() == (1,)
