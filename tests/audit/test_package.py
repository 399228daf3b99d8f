"""The audit package: complete, the same every time, verifiable alone, and refused when it lies."""

import csv
import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runtime.audit_package import verify
from runtime.audit_package.verify import COLUMNS, FILES, Check, Refused, source_of
from runtime.audit_package.write import Package, Pii, Wanted, guarded
from tests.audit.history import History
from write_model.store import canonical, sealing

NOW = datetime(2026, 11, 26, tzinfo=UTC)
Contents = dict[str, bytes]


def package(history: History, path: Path, **wanted: Any) -> Path:
    Package(history.url, Wanted(**wanted), "1.2.3", history.ring).write(
        path, history.key, NOW, lambda _: None
    )
    return path


def contents(path: Path) -> Contents:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def found(path: Path, key: str | None = None) -> set[str]:
    """The words a check comes to."""
    try:
        return {kind for kind, _ in checked(path, key).violations}
    except Refused:
        return {"package-refused"}


def checked(path: Path, key: str | None = None) -> Check:
    with source_of(path) as source:
        check = Check(source, key)
        check.run()
        return check


@pytest.fixture(scope="module")
def whole(recorded: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(recorded, tmp_path_factory.mktemp("package") / "whole.zip")


def test_a_package_holds_all_of_the_history(recorded: History, whole: Path) -> None:
    check = checked(whole)
    assert check.violations == []
    assert (check.events, check.signed_events) == (48, 48)
    files = contents(whole)
    assert set(files) == set(FILES)
    manifest = json.loads(files["manifest.json"])
    assert manifest["companies"].keys() == {str(company_id) for company_id in recorded.companies}
    for name in set(FILES) - {"manifest.json"}:
        said = {"bytes": len(files[name]), "sha256": sha256(files[name]).hexdigest()}
        assert manifest["files"][name] == said
    assert "ledger.journal_entry_posted" in json.loads(files["catalog.json"])


def test_the_same_history_makes_the_same_bytes_but_for_the_signature(
    recorded: History, whole: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.zip"
    other_key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    Package(recorded.url, Wanted(), "1.2.3", None).write(again, other_key, now, lambda _: None)
    one, other = contents(whole), contents(again)
    first, second = (json.loads(each.pop("manifest.json")) for each in (one, other))
    assert list(one.items()) == list(other.items())
    for manifest in (first, second):
        manifest.pop("signature")
        manifest.pop("public_keys")
    assert first == second
    Package(recorded.url, Wanted(), "1.2.3", None).write(again, recorded.key, NOW, lambda _: None)
    assert again.read_bytes() == whole.read_bytes()


def test_a_plain_python_verifies_an_unpacked_package(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(folder)
    command = [sys.executable, "-I", str(folder / "verify.py")]
    intact = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (intact.returncode, "48 eventos" in intact.stdout) == (0, True)
    assert subprocess.run([*command, str(whole)], capture_output=True).returncode == 0
    assert subprocess.run([*command, "--key", "0" * 16], capture_output=True).returncode == 7
    assert subprocess.run([*command, "--nonsense"], capture_output=True).returncode == 2
    assert subprocess.run([*command, str(tmp_path / "none")], capture_output=True).returncode == 2
    text = (folder / "events.jsonl").read_bytes()
    (folder / "events.jsonl").write_bytes(text.replace(b"Caixa", b"Banco", 1))
    altered = subprocess.run(command, capture_output=True, text=True)
    assert (altered.returncode, "event-altered" in altered.stdout) == (7, True)


def test_only_the_named_key_is_trusted(recorded: History, whole: Path, tmp_path: Path) -> None:
    assert found(whole, sealing.key_id_of(sealing.public_bytes(recorded.key))) == set()
    assert found(whole, "0123456789abcdef") == {"signature-wrong"}


@pytest.mark.parametrize("pii", ["none", "masked", "full"])
def test_people_are_shown_as_far_as_is_wanted(recorded: History, tmp_path: Path, pii: Pii) -> None:
    path = package(recorded, tmp_path / "p.zip", pii=pii)
    assert found(path) == set()
    files = contents(path)
    assert (b"Pessoa" in files["readable.csv"]) is (pii == "full")
    assert ("•••".encode() in files["readable.csv"]) is (pii == "masked")
    assert b"Pessoa" not in files["events.jsonl"]


def test_one_company_of_some_days_is_a_chain_of_its_own(recorded: History, tmp_path: Path) -> None:
    path = package(recorded, tmp_path / "one.zip", company=recorded.companies[0])
    check = checked(path)
    assert check.violations == []
    assert (check.events, len(check.manifest["companies"])) == (12, 1)
    lines = contents(path)["events.jsonl"].splitlines()
    moments = sorted({json.loads(line)["recorded_at"] for line in lines})
    since, until = (datetime.fromisoformat(moments[at]) for at in (2, 4))
    part = package(recorded, tmp_path / "part.zip", company=recorded.companies[0], since=since, until=until)
    check = checked(part)
    assert check.violations == []
    (chain,) = check.manifest["companies"].values()
    assert 0 < chain["after"] < chain["length"] < 12
    nothing = package(recorded, tmp_path / "none.zip", until=datetime(2020, 1, 1, tzinfo=UTC))
    assert found(nothing) == set()


def test_no_cell_is_a_formula(whole: Path) -> None:
    rows = list(csv.reader(io.StringIO(contents(whole)["readable.csv"].decode("utf-8-sig")), delimiter=";"))
    assert len(rows) == 49
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [guarded(text) for text in ("=1", "+1", "-1", "@x", "\t=1", "a=1", None)] == [
        "'=1", "'+1", "'-1", "'@x", "'\t=1", "a=1", "",
    ]  # fmt: skip


def test_the_verifier_and_the_store_hash_the_same() -> None:
    assert COLUMNS == canonical.COLUMNS
    texts = ["1", None, "ç, 1:2", ""]
    assert verify.canonical(texts) == canonical.canonical([None if t is None else t.encode() for t in texts])


def test_the_signature_check_is_that_of_the_library() -> None:
    chance = random.Random(3)
    for _ in range(4):
        key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        public, message = sealing.public_bytes(key), chance.randbytes(chance.randrange(100))
        signature = key.sign(message)
        assert verify.ed25519_verify(public, message, signature)
        at = chance.randrange(64)
        wrong = bytearray(signature)
        wrong[at] ^= 1 << chance.randrange(8)
        assert not verify.ed25519_verify(public, message, bytes(wrong))
        assert not verify.ed25519_verify(public, message + b"x", signature)
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(signature[32:], "little") + order
    assert not verify.ed25519_verify(public, message, signature[:32] + s.to_bytes(32, "little"))
    assert not verify.ed25519_verify(b"\xff" * 32, message, signature)
    assert not verify.ed25519_verify(public[:31], message, signature)


# --- lies -------------------------------------------------------------------------------------------------


def rewritten(files: Contents, change: Callable[[list[dict[str, Any]], dict[str, Any]], None]) -> Contents:
    """Changed events, with every hash, count and file hash made to fit, as a careful forger would."""
    events = [json.loads(line) for line in files["events.jsonl"].splitlines()]
    manifest = json.loads(files["manifest.json"])
    change(events, manifest)
    heads: dict[str, str] = {}
    for event in events:
        company = event["company_id"]
        event["prev_hash"] = heads.get(company, manifest["companies"][company]["previous"])
        text = verify.canonical([event[name] for name in COLUMNS])
        heads[company] = event["hash"] = sha256(
            b"\x00" + bytes.fromhex(event["prev_hash"]) + text
        ).hexdigest()
    for company, chain in manifest["companies"].items():
        chain["hash"] = heads[company]
        chain["length"] = sum(event["company_id"] == company for event in events)
    manifest["events"] = len(events)
    manifest["topics"] = {}
    for event in events:
        manifest["topics"][event["topic"]] = manifest["topics"].get(event["topic"], 0) + 1
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode()
    manifest["files"]["events.jsonl"] = {"bytes": len(text), "sha256": sha256(text).hexdigest()}
    return {**files, "events.jsonl": text, "manifest.json": json.dumps(manifest).encode()}


def edit_an_event(events: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    events[5]["actor_id"] = events[5]["event_id"]


def cut_the_end(events: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    del events[-1]


def unsign(events: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    edit_an_event(events, manifest)
    manifest["checkpoints"] = []


def sign_anew(events: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    """Another key under the name of the right one."""
    key = Ed25519PrivateKey.generate()
    manifest["public_keys"] = dict.fromkeys(manifest["public_keys"], sealing.public_bytes(key).hex())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (edit_an_event, "checkpoint-wrong"),
        (cut_the_end, "checkpoint-ahead"),
        (unsign, "signature-wrong"),
        (sign_anew, "signature-wrong"),
    ],
)
def test_a_careful_forger_is_found_by_the_signatures(
    whole: Path, tmp_path: Path, change: Callable[..., None], kind: str
) -> None:
    assert kind in found(packed(tmp_path / "p.zip", rewritten(contents(whole), change)))


def test_a_lying_manifest_is_found(whole: Path, tmp_path: Path) -> None:
    files = contents(whole)
    for name, value, kind in (
        ("events", 47, "count-wrong"),
        ("topics", {}, "count-wrong"),
        ("files", {}, "file-altered"),
        ("public_keys", {}, "signature-wrong"),
        ("tool", "other", "signature-wrong"),
    ):
        manifest = json.loads(files["manifest.json"])
        manifest[name] = value
        changed = {**files, "manifest.json": json.dumps(manifest).encode()}
        assert kind in found(packed(tmp_path / "p.zip", changed)), name


@pytest.mark.parametrize("name", sorted(set(FILES)))
def test_any_changed_byte_is_found(whole: Path, tmp_path: Path, name: str) -> None:
    """Also in what is only for reading. A manifest that says the same in other bytes is the same."""
    chance = random.Random(name)
    files = contents(whole)
    for _ in range(6):
        content = bytearray(files[name])
        at = chance.randrange(len(content))
        content[at] = ord("x") if content[at] != ord("x") else ord("y")
        if name == "manifest.json" and files[name][at] in b" \n":
            continue
        assert found(packed(tmp_path / "p.zip", {**files, name: bytes(content)})), (name, at)


def hostile(files: Contents, path: Path, kind: str) -> None:  # noqa: C901 - one case after the other
    events = files["events.jsonl"]
    manifest = files["manifest.json"]
    noise = random.Random(1).randbytes(1000).hex().encode()
    match kind:
        case "no zip":
            path.write_bytes(b"PK\x03\x04 and so on")
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            packed(path, files)
            path.write_bytes(path.read_bytes()[:-1000])
        case "damaged inside":
            packed(path, files)
            content = bytearray(path.read_bytes())
            content[len(content) // 3 : len(content) // 3 + 40] = bytes(40)
            path.write_bytes(content)
        case "a file less":
            packed(path, {name: content for name, content in files.items() if name != "events.jsonl"})
        case "a file more":
            packed(path, {**files, "more.txt": b""})
        case "a path out of the folder":
            packed(path, {**files, "../../etc/passwd": b""})
        case "a name twice":
            packed(path, files)
            with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("events.jsonl", b"")
        case "a bomb":
            packed(path, {**files, "readable.csv": bytes(50_000_000)})
        case "a long line":
            packed(
                path,
                {
                    **files,
                    "events.jsonl": b'{"a":"' + noise * 10_000,
                },
            )
        case "a deep manifest":
            packed(path, {**files, "manifest.json": b"[" * 200_000})
        case "a huge number" | "a fraction" | "no number":
            other = {"a huge number": b"9" * 100_000, "a fraction": b"48.0", "no number": b"NaN"}[kind]
            changed = manifest.replace(b'"events": 48', b'"events": ' + other)
            packed(path, {**files, "manifest.json": changed})
        case "a key twice":
            events = events.replace(b'"version"', b'"version":"1","version"', 1)
            packed(
                path, {**files, "events.jsonl": events.replace(b'"version"', b'"version":"1","version"', 1)}
            )
        case "another format":
            packed(path, {**files, "manifest.json": manifest.replace(b"audit package 1", b"audit package 2")})
        case "a list for a manifest":
            packed(path, {**files, "manifest.json": b"[]"})
        case "a number for a text":
            packed(path, {**files, "events.jsonl": events.replace(b'"position":"1"', b'"position":1', 1)})
        case "a negative position":
            packed(path, {**files, "events.jsonl": events.replace(b'"position":"1"', b'"position":"-1"', 1)})
        case "other digits":
            other = '"position":"١"'.encode()
            packed(path, {**files, "events.jsonl": events.replace(b'"position":"1"', other, 1)})
        case "half a character":
            packed(
                path, {**files, "events.jsonl": events.replace(b'"channel":"api"', b'"channel":"\\ud800"', 1)}
            )
        case "no text":
            packed(path, {**files, "events.jsonl": b"\xff\xfe" + events})


KINDS = (
    "no zip", "empty", "truncated", "damaged inside", "a file less", "a file more",
    "a path out of the folder", "a name twice", "a bomb", "a long line", "a deep manifest", "a huge number",
    "a fraction", "no number", "a key twice", "another format", "a list for a manifest",
    "a number for a text", "a negative position", "other digits", "half a character", "no text",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_package_is_refused(whole: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.zip"
    hostile(contents(whole), path, kind)
    with pytest.raises(Refused) as why:
        checked(path)
    assert 10 < len(str(why.value)) < 400


def test_random_damage_never_ends_in_anything_but_a_finding(whole: Path, tmp_path: Path) -> None:
    chance = random.Random(11)
    original = whole.read_bytes()
    path = tmp_path / "p.zip"
    for _ in range(40):
        content = bytearray(original)
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        if content != original and found(path) == set():
            # What was hit is none of the files: a time or an attribute in the zip's own directory.
            assert contents(path) == contents(whole)
