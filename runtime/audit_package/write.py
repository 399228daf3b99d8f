"""Writes an audit package: the same history always makes the same bytes, except for the signature.

Events stand in it exactly as they are hashed, personal data as the ciphertext it is. What `pii` decides is
only what people can read in `readable.csv`.
"""

import csv
import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast, get_type_hints
from uuid import UUID

import msgspec
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql

from runtime.audit_package.verify import FORMAT, manifest_bytes
from write_model.message import EVENTS, Event, Personal, sentence
from write_model.store import topics
from write_model.store.canonical import COLUMNS, GENESIS
from write_model.store.chain_rows import Row, rows
from write_model.store.connections import AUDITOR, PROJECTOR, conninfo
from write_model.store.partitions import partition_of
from write_model.store.personal_data import KeyRing, PersonalDataDamaged, SubjectKey, unsealer_of
from write_model.store.rows import KEY_COLUMNS, keys_of
from write_model.store.sealing import key_id_of, public_bytes
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.tax_number import TaxNumber

Pii = Literal["none", "masked", "full"]
MASKED = "•••"
_AT = {name: COLUMNS.index(name) for name in COLUMNS}
_SHOWN = (
    "recorded_at", "effective_date", "company_id", "partition", "position", "topic", "actor_kind", "actor_id",
    "channel", "reason", "event_id",
)  # fmt: skip
# What a spreadsheet takes for a formula, or for the beginning of one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events, and how much of people in what is for reading. Moments are those of recording."""

    company: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    pii: Pii = "none"


@dataclass(frozen=True, slots=True)
class Written:
    """What went into a package."""

    events: int
    companies: int
    checkpoints: int


class Package:
    """One package while it is written."""

    def __init__(self, url: str, wanted: Wanted, version: str, ring: KeyRing | None) -> None:
        topics.load()
        self._url = url
        self._wanted = wanted
        self._version = version
        self._ring = ring
        self._keys: dict[UUID, Mapping[UUID, SubjectKey]] = {}
        self._files: dict[str, dict[str, Any]] = {}
        self._companies: dict[str, dict[str, Any]] = {}
        self._topics: Counter[str] = Counter()
        self._events = 0

    def write(
        self, path: Path, key: Ed25519PrivateKey | None, now: datetime, on_events: Callable[[int], None]
    ) -> Written:
        """Write it whole; signed, where there is a key. The file appears when it is finished."""
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            with (
                self._connect() as connection,
                zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
            ):
                self._write_events(archive, connection, on_events)
                self._put(archive, "catalog.json", _catalog())
                self._put(archive, "verify.py", _own("verify.py"))
                self._put(archive, "LEIA-ME.txt", _own("leia_me.txt"))
                manifest = self._manifest(connection)
                manifest["signature"] = _signature(manifest, key, now)
                text = json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
                archive.writestr(_entry("manifest.json"), text.encode())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return Written(self._events, len(self._companies), len(manifest["checkpoints"]))

    @contextmanager
    def _connect(self) -> Iterator["psycopg.Connection[Any]"]:
        company = self._wanted.company
        settings = {} if company is None else {"ccontrol.company": str(company)}
        with psycopg.connect(conninfo(self._url, AUDITOR, DateStyle="ISO", **settings)) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection

    def _write_events(
        self,
        archive: zipfile.ZipFile,
        connection: "psycopg.Connection[Any]",
        on_events: Callable[[int], None],
    ) -> None:
        # Two passes over the events: a zip file is written one entry after the other.
        with self._hashed(archive, "events.jsonl") as file:
            for row in self._rows(connection):
                self._note(connection, row)
                texts = {name: _text(row[at]) for name, at in _AT.items()}
                texts["prev_hash"], texts["hash"] = row[-2].decode(), row[-1].decode()
                file.write(json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                on_events(self._events)
        with self._hashed(archive, "readable.csv") as file:
            text = io.TextIOWrapper(cast("BinaryIO", file), "utf-8", newline="")
            text.write("\ufeff")
            table = csv.writer(text, delimiter=";", lineterminator="\r\n")
            table.writerow((*_SHOWN, "what_happened", "details", "hash"))
            for row in self._rows(connection):
                shown = [_text(row[_AT[name]]) for name in _SHOWN]
                table.writerow(map(guarded, (*shown, *self._told(row), row[-1].decode())))
            text.flush()
            text.detach()

    def _rows(self, connection: "psycopg.Connection[Any]") -> Iterator[Row]:
        wanted = self._wanted
        conditions: list[sql.Composable] = [sql.SQL("true")]
        if wanted.since is not None:
            conditions.append(sql.SQL("recorded_at >= {}").format(wanted.since))
        if wanted.until is not None:
            conditions.append(sql.SQL("recorded_at < {}").format(wanted.until))
        count = _partitions(connection)
        chosen = range(count) if wanted.company is None else [partition_of(wanted.company, count)]
        for partition in chosen:
            yield from rows(connection, partition, sql.SQL(" AND ").join(conditions), wanted.company)

    def _note(self, connection: "psycopg.Connection[Any]", row: Row) -> None:
        """Count an event, and remember where the chain of its company begins and ends."""
        company = row[_AT["company_id"]].decode()
        chain = self._companies.get(company)
        if chain is None:
            # The COPY of the events is under way on that connection: asked on one of its own.
            with psycopg.connect(conninfo(self._url, AUDITOR)) as aside:
                ((before,),) = aside.execute(
                    "SELECT count(*) FROM ccontrol.events WHERE partition = %s AND company_id = %s "
                    "AND position < %s",
                    (int(row[0]), company, int(row[1])),
                ).fetchall()
            previous = row[-2].decode() if before else GENESIS.hex()
            chain = self._companies[company] = {"after": before, "previous": previous, "length": before}
        chain["length"] += 1
        chain["hash"] = row[-1].decode()
        self._events += 1
        self._topics[row[_AT["topic"]].decode()] += 1

    def _told(self, row: Row) -> tuple[str, str]:
        """The event in a sentence, and its fields."""
        company, event_id = (UUID(row[_AT[name]].decode()) for name in ("company_id", "event_id"))
        topic, version = row[_AT["topic"]].decode(), int(row[_AT["schema_version"]])
        try:
            unseal = None
            if self._wanted.pii == "full" and self._ring is not None:
                unseal = unsealer_of(company, event_id, self._keys_of(int(row[0]), company))
            fact = topics.decode(topic, version, row[_AT["data"]].decode(), unseal)
            return sentence(fact), json.dumps(self._plain(fact), ensure_ascii=False, sort_keys=True)
        except (topics.UnknownTopic, msgspec.MsgspecError, PersonalDataDamaged, ValueError, KeyError):
            # A history that was tampered with is exported as it is; telling so is the verifier's part.
            return "(ilegível / unreadable)", ""

    def _plain(self, fact: Event) -> Any:
        pii = self._wanted.pii

        def plain(value: Any) -> Any:
            if isinstance(value, Personal):
                return {"none": "", "masked": MASKED, "full": value.text}[pii]
            if isinstance(value, TaxNumber):
                return {"none": "", "masked": MASKED, "full": value.number}[pii]
            if isinstance(value, Quantity | UnitPrice):
                return str(value)
            raise topics.NotStorable(f"{type(value).__name__} has no stored form")

        return msgspec.to_builtins(fact, enc_hook=plain)

    def _keys_of(self, partition: int, company: UUID) -> Mapping[UUID, SubjectKey]:
        if company not in self._keys and self._ring is not None:
            with psycopg.connect(conninfo(self._url, PROJECTOR)) as connection:
                found = connection.execute(
                    f"SELECT {KEY_COLUMNS} FROM ccontrol.subject_keys "  # noqa: S608 - our own column names
                    "WHERE partition = %s AND company_id = %s",
                    (partition, company),
                ).fetchall()
            self._keys[company] = keys_of(found, self._ring).get(company, {})
        return self._keys[company]

    def _manifest(self, connection: "psycopg.Connection[Any]") -> dict[str, Any]:
        wanted = self._wanted
        checkpoints, keys = [], {}
        for company, length, digest, signed_at, key_id, signature, public in connection.execute(
            "SELECT company_id, length, hash, signed_at, key_id, signature, public_key "
            "FROM ccontrol.checkpoints LEFT JOIN ccontrol.sealing_keys USING (key_id) "
            "ORDER BY company_id, length, key_id"
        ):
            chain = self._companies.get(str(company))
            if chain is not None and chain["after"] <= length <= chain["length"]:
                checkpoints.append(
                    {
                        "company_id": str(company),
                        "length": length,
                        "hash": digest.hex(),
                        "signed_at": signed_at.isoformat(),
                        "key_id": key_id,
                        "signature": signature.hex(),
                    }
                )
                keys[key_id] = "" if public is None else public.hex()
        return {
            "format": FORMAT,
            "tool": f"ccontrol {self._version}",
            "range": {
                "company": None if wanted.company is None else str(wanted.company),
                "from": None if wanted.since is None else wanted.since.isoformat(),
                "to": None if wanted.until is None else wanted.until.isoformat(),
            },
            "pii": wanted.pii,
            "events": self._events,
            "topics": dict(sorted(self._topics.items())),
            "companies": dict(sorted(self._companies.items())),
            "files": dict(sorted(self._files.items())),
            "checkpoints": checkpoints,
            "public_keys": keys,
        }

    def _put(self, archive: zipfile.ZipFile, name: str, content: bytes) -> None:
        with self._hashed(archive, name) as file:
            file.write(content)

    @contextmanager
    def _hashed(self, archive: zipfile.ZipFile, name: str) -> Iterator["_HashedFile"]:
        with archive.open(_entry(name), "w", force_zip64=True) as raw:
            file = _HashedFile(raw)
            yield file
        self._files[name] = {"bytes": file.size, "sha256": file.digest.hexdigest()}


class _HashedFile(io.RawIOBase):
    """Passes on what is written, and hashes it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.digest.update(content)
        self.size += len(content)
        return self._raw.write(content)


def guarded(cell: str | None) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = cell or ""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(column: bytes | None) -> str | None:
    return None if column is None else column.decode()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _own(name: str) -> bytes:
    return (files("runtime.audit_package") / name).read_bytes()


def _partitions(connection: "psycopg.Connection[Any]") -> int:
    ((count,),) = connection.execute(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ccontrol.events'::regclass"
    ).fetchall()
    return int(count)


def _catalog() -> bytes:
    """Every kind of event there is: its version, sentences and fields."""
    catalog = {
        topic: {
            "schema_version": kind.schema_version,
            "importance": kind.importance,
            "sentences": dict(kind.sentences),
            "meaning": (kind.__doc__ or "").strip().splitlines()[0],
            "fields": {name: str(hint) for name, hint in _fields(kind)},
        }
        for topic, kind in sorted(EVENTS.items())
    }
    return (json.dumps(catalog, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _fields(kind: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    return [(item.name, hints[item.name]) for item in fields(kind)]


def _signature(manifest: dict[str, Any], key: Ed25519PrivateKey | None, now: datetime) -> dict[str, str]:
    """Under everything else in the manifest; empty where there is no key."""
    if key is None:
        return {}
    public = public_bytes(key)
    key_id = key_id_of(public)
    manifest["public_keys"][key_id] = public.hex()
    return {
        "key_id": key_id,
        "signature": key.sign(manifest_bytes(manifest)).hex(),
        "signed_at": now.isoformat(),
    }
