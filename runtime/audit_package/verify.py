"""Verifica um pacote de auditoria do CCONTROL-M. Checks an audit package. Only Python itself is needed.

    python3 verify.py              the unpacked package this file stands in
    python3 verify.py pkg.zip      a package that was not unpacked
    python3 verify.py --key ID     accept only checkpoints and manifests signed with this key

It reads bytes and believes nothing: hashes are made anew, every event must follow on from the one before it
in its company, the chains must end where the manifest and the signed checkpoints say. Ends with 0 when all
of it holds, with 7 when not, with 2 when called in a way that cannot work.

    hash_n = SHA-256(0x00 + hash_n-1 + canonical(event_n)); a column is its length in bytes, a colon, itself
    in UTF-8 and a comma; a null is "-,". What is signed of a chain is statement(); of the manifest, all but
    its "signature", as JSON with sorted keys and no spaces.
"""

import hashlib
import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

FORMAT = "ccontrol audit package 1"
FILES = ("manifest.json", "events.jsonl", "catalog.json", "readable.csv", "verify.py", "LEIA-ME.txt")
COLUMNS = (
    "partition", "position", "company_id", "stream_id", "version", "topic", "schema_version", "event_id",
    "effective_date", "recorded_at", "actor_kind", "actor_id", "on_behalf_of", "command_id", "correlation_id",
    "causation_id", "channel", "reason", "data",
)  # fmt: skip
NULLABLE = frozenset({"on_behalf_of", "causation_id", "reason"})
_KEYS = frozenset(COLUMNS) | {"prev_hash", "hash"}
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_NUMBER = re.compile(r"[1-9][0-9]{0,18}\Z|0\Z")
_SMALL_MAX = 256 * 1024 * 1024
_LINE_MAX = 16 * 1024 * 1024
_RATIO_MAX = 250
_RATIO_FROM = 8 * 1024 * 1024


class Refused(Exception):
    """This is no package that can be checked."""


# --- reading --------------------------------------------------------------------------------------------


class Source:
    """Where the files of a package are; to be used in a `with`, which closes them."""

    def __init__(self):
        self._opened: list[Any] = []

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        while self._opened:
            self._opened.pop().close()


class Folder(Source):
    """An unpacked package."""

    def __init__(self, path):
        super().__init__()
        self._path = Path(path)
        missing = [name for name in FILES if not (self._path / name).is_file()]
        if missing:
            raise Refused("missing from the package: " + ", ".join(missing))

    def open(self, name):
        self._opened.append((self._path / name).open("rb"))
        return self._opened[-1]


class Zip(Source):
    """A package as it came. Nothing is ever unpacked to the disk."""

    def __init__(self, path):
        super().__init__()
        try:
            self._zip = zipfile.ZipFile(path)
            self._opened.append(self._zip)
            self._check(self._zip.infolist())
        except Refused:
            self.__exit__()
            raise
        # NotImplementedError is what zipfile raises for a zip version or a compression it does not know.
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as failure:
            raise Refused(f"this is not a whole zip file: {failure}") from None

    def _check(self, entries):
        names = [entry.filename for entry in entries]
        if len(names) != len(set(names)):
            raise Refused("a name occurs twice in the zip file")
        if set(names) != set(FILES):
            others = sorted(set(names) ^ set(FILES))[:5]
            raise Refused(f"the zip file does not hold the files of a package: {others!r}")
        for entry in entries:
            if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Refused(f"{entry.filename} is encrypted or packed in an unusual way")
            if entry.file_size > _RATIO_FROM and entry.file_size > _RATIO_MAX * max(entry.compress_size, 1):
                raise Refused(f"{entry.filename} would unpack to far more than a history does")

    def open(self, name):
        try:
            self._opened.append(self._zip.open(name))
            return self._opened[-1]
        # RuntimeError is an encrypted member, NotImplementedError a compression zipfile does not know.
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as failure:
            raise Refused(f"{name} cannot be read: {failure}") from None


class Hashed:
    """A file, and the hash and number of the bytes read from it so far."""

    def __init__(self, source, name):
        self._name = name
        self._file = source.open(name)
        self._digest = hashlib.sha256()
        self.size = 0

    def lines(self):
        while True:
            line = self._read(lambda: self._file.readline(_LINE_MAX + 1))
            if not line:
                return
            if len(line) > _LINE_MAX:
                raise Refused(f"a line of {self._name} is longer than any event")
            yield line

    def whole(self):
        blocks: list[bytes] = []
        while True:
            block = self._read(lambda: self._file.read(1 << 20))
            if not block:
                return b"".join(blocks)
            if self.size > _SMALL_MAX:
                raise Refused(f"{self._name} is longer than it can be")
            blocks.append(block)

    def rest(self):
        while self._read(lambda: self._file.read(1 << 20)):
            pass

    def hexdigest(self):
        return self._digest.hexdigest()

    def _read(self, more):
        try:
            block = more()
        except Exception as failure:  # noqa: BLE001 - whatever a damaged zip makes the library raise
            raise Refused(f"{self._name} cannot be read: {failure}") from None
        self._digest.update(block)
        self.size += len(block)
        return block


def _integer(text):
    if len(text) > 19:
        raise ValueError("a number of %d digits" % len(text))
    return int(text)


def _no(text):
    raise ValueError(f"{text[:20]} is no number here")


def _object(pairs):
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key occurs twice")
    return made


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_no, parse_constant=_no
)


def parse(text, where):
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except (ValueError, RecursionError) as failure:
        raise Refused(f"{where} is not what it should be: {str(failure)[:100]}") from None


# --- hashing and signatures -----------------------------------------------------------------------------


def canonical(texts):
    parts = []
    for text in texts:
        if text is None:
            parts.append(b"-,")
        else:
            encoded = text.encode("utf-8")
            parts.append(b"%d:%b," % (len(encoded), encoded))
    return b"".join(parts)


def statement(company_id, length, digest):
    return ("ccontrol checkpoint 1\n%s\n%d\n%s\n" % (company_id, length, digest)).encode()


def manifest_bytes(manifest):
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def key_id_of(public_key):
    return hashlib.sha256(public_key).hexdigest()[:16]


# Ed25519 as in RFC 8032, section 5.1.7: slow, but all of it is here to be read.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)


def _x_of(y, sign):
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    if square == 0:
        return None if sign else 0
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P:
        return None
    return _P - x if (x & 1) != sign else x


def _point(encoded):
    number = int.from_bytes(encoded, "little")
    y = number & ((1 << 255) - 1)
    x = _x_of(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % _P)


def _plus(one, other):
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = _plus(result, point)
        point = _plus(point, point)
        number >>= 1
    return result


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_BASE_X = _x_of(_BASE_Y, 0)
_BASE = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)


def ed25519_verify(public_key, message, signature):
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, r = _point(public_key), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= _L:
        return False
    hashed = hashlib.sha512(signature[:32] + public_key + message).digest()
    one = _times(s, _BASE)
    other = _plus(r, _times(int.from_bytes(hashed, "little") % _L, key))
    return not ((one[0] * other[2] - other[0] * one[2]) % _P or (one[1] * other[2] - other[1] * one[2]) % _P)


# --- checking -------------------------------------------------------------------------------------------


class Check:
    """What was found. `violations` are pairs of a stable word and a sentence."""

    def __init__(self, source, key=None, signed=ed25519_verify):
        self.violations = []
        self.events = 0
        self.signed_events = 0
        self._source = source
        self._key = key
        self._signed = signed
        self._chains = {}
        self._hashes_at = {}
        self._versions = {}
        self._ids = set()
        self._topics = {}
        self.manifest = self._read_manifest()

    def run(self):
        self._check_events()
        self._check_files()
        self._check_heads()
        self._check_signatures()
        return not self.violations

    def _found(self, kind, text):
        self.violations.append((kind, text))

    def _read_manifest(self):
        manifest = parse(Hashed(self._source, "manifest.json").whole(), "manifest.json")
        _is(manifest, dict, "manifest.json")
        if manifest.get("format") != FORMAT:
            raise Refused("this program does not know packages of this format")
        for name, kind in (
            ("events", int), ("topics", dict), ("companies", dict), ("files", dict), ("checkpoints", list),
            ("public_keys", dict), ("signature", dict), ("range", dict),
        ):  # fmt: skip
            _is(manifest.get(name), kind, f"{name} in manifest.json")
        for company, chain in manifest["companies"].items():
            _is(chain, dict, "a company in manifest.json")
            for name in ("after", "length"):
                if type(chain.get(name)) is not int or chain[name] < 0:
                    raise Refused(f"{name} of {company[:40]} in manifest.json is no length")
            for name in ("previous", "hash"):
                _is_hash(chain.get(name), f"{name} of a company in manifest.json")
            self._chains[company] = [chain["after"], chain["previous"]]
        for number, point in enumerate(manifest["checkpoints"]):
            _is(point, dict, "checkpoint %d" % number)
            if type(point.get("length")) is not int:
                raise Refused("checkpoint %d has no length" % number)
            for name in ("company_id", "key_id", "signature"):
                _is(point.get(name), str, "%s of checkpoint %d" % (name, number))
            _is_hash(point.get("hash"), "hash of checkpoint %d" % number)
            self._hashes_at[point["company_id"], point["length"]] = None
        for company, chain in manifest["companies"].items():
            if (company, chain["after"]) in self._hashes_at:
                self._hashes_at[company, chain["after"]] = chain["previous"]
        return manifest

    def _check_events(self):
        self._file = Hashed(self._source, "events.jsonl")
        before = (-1, 0)
        for number, line in enumerate(self._file.lines(), 1):
            where = "line %d of events.jsonl" % number
            event = parse(line, where)
            if type(event) is not dict or event.keys() != _KEYS:
                raise Refused(f"{where} is no event")
            for name, value in event.items():
                if type(value) is not str and not (value is None and name in NULLABLE):
                    raise Refused(f"{where}: {name} is no text")
            for name in ("prev_hash", "hash"):
                _is_hash(event[name], f"{name} of {where}")
            for name in ("partition", "position", "version", "schema_version"):
                if not _NUMBER.match(event[name]):
                    raise Refused(f"{where}: {name} is no number")
            place = (int(event["partition"]), int(event["position"]))
            if place <= before:
                self._found("position-gap", f"{where} does not stand behind the one before it")
            before = place
            self._check_event(event, where)
            self.events += 1

    def _check_event(self, event, where):
        company = event["company_id"]
        chain = self._chains.get(company)
        if chain is None:
            self._found("chain-head-wrong", f"{where} is of a company that the manifest does not name")
            chain = self._chains[company] = [0, event["prev_hash"]]
        if event["prev_hash"] != chain[1]:
            self._found("link-broken", f"{where} does not follow on from the one before it")
        try:
            text = canonical([event[name] for name in COLUMNS])
        except UnicodeEncodeError:
            raise Refused(f"{where} holds half a character") from None
        digest = hashlib.sha256(b"\x00" + bytes.fromhex(event["prev_hash"]) + text).hexdigest()
        if digest != event["hash"]:
            self._found("event-altered", f"{where} is not what was recorded")
        chain[0] += 1
        chain[1] = event["hash"]
        if (company, chain[0]) in self._hashes_at:
            self._hashes_at[company, chain[0]] = digest
        stream, version = event["stream_id"], int(event["version"])
        expected = self._versions.get((company, stream), None if self.manifest_after(company) else 0)
        if expected is not None and version != expected + 1:
            self._found("version-gap", "%s: version %d after %d" % (where, version, expected))
        self._versions[company, stream] = version
        if event["event_id"] in self._ids:
            self._found("event-repeated", f"{where} has the id of an earlier event")
        self._ids.add(event["event_id"])
        self._topics[event["topic"]] = self._topics.get(event["topic"], 0) + 1

    def manifest_after(self, company):
        """How many events of a company came before the package."""
        return self.manifest["companies"].get(company, {"after": 1})["after"]

    def _check_files(self):
        for name in FILES:
            if name == "manifest.json":
                continue
            file = self._file
            if name != "events.jsonl":
                file = Hashed(self._source, name)
                file.rest()
            if self.manifest["files"].get(name) != {"bytes": file.size, "sha256": file.hexdigest()}:
                self._found("file-altered", f"{name} is not what the manifest says")
        if self.manifest["files"].keys() != set(FILES) - {"manifest.json"}:
            self._found("file-altered", "the manifest names other files")

    def _check_heads(self):
        if self.manifest["events"] != self.events or self.manifest["topics"] != self._topics:
            counted = (self.manifest["events"], self.events)
            self._found("count-wrong", "the manifest counts %d events, there are %d" % counted)
        for company, (length, digest) in sorted(self._chains.items()):
            said = self.manifest["companies"].get(company)
            if said is not None and (said["length"], said["hash"]) != (length, digest):
                self._found(
                    "chain-head-wrong",
                    f"the chain of {company} ends elsewhere than the manifest says",
                )

    def _check_signatures(self):
        signed_to: dict[str, int] = {}
        for point in self.manifest["checkpoints"]:
            company, length = point["company_id"], point["length"]
            name = "the checkpoint of %s at %d" % (company, length)
            found = self._hashes_at[company, length]
            if found is None:
                self._found("checkpoint-ahead", f"{name} is not in this package")
            elif found != point["hash"]:
                self._found("checkpoint-wrong", f"{name} has another hash")
            if not self._is_signed(point, statement(company, length, point["hash"])):
                self._found("signature-wrong", f"{name} is not signed with the key it names")
            elif found == point["hash"]:
                signed_to[company] = max(length, signed_to.get(company, 0))
        for company, chain in self.manifest["companies"].items():
            self.signed_events += max(0, signed_to.get(company, 0) - chain["after"])
        signature = self.manifest["signature"]
        if signature and not self._is_signed(signature, manifest_bytes(self.manifest)):
            self._found("signature-wrong", "the manifest is not signed with the key it names")
        if self._key is not None and not signature:
            self._found("signature-wrong", "the manifest is not signed")

    def _is_signed(self, by, message):
        try:
            key = bytes.fromhex(self.manifest["public_keys"][by["key_id"]])
            return (
                key_id_of(key) == by["key_id"]
                and self._key in (None, by["key_id"])
                and self._signed(key, message, bytes.fromhex(by["signature"]))
            )
        except (KeyError, TypeError, ValueError):
            return False


def _is(value, kind, what):
    if type(value) is not kind:
        raise Refused(f"{what} is missing or of the wrong kind")


def _is_hash(value, what):
    if type(value) is not str or not _HASH.match(value):
        raise Refused(f"{what} is no hash")


def source_of(path):
    """A folder or a zip file."""
    return Folder(path) if Path(path).is_dir() else Zip(path)


def main(arguments):
    key = None
    if "--key" in arguments:
        at = arguments.index("--key")
        key = arguments[at + 1] if at + 1 < len(arguments) else None
        if key is None:
            sys.stderr.write("--key ID\n")
            return 2
        arguments = arguments[:at] + arguments[at + 2 :]
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    path = arguments[0] if arguments else str(Path(__file__).resolve().parent)
    if not Path(path).exists():
        sys.stderr.write(f"{path}: not found\n")
        return 2
    out = io.StringIO()
    try:
        with source_of(path) as source:
            check = Check(source, key)
            check.run()
    except Refused as why:
        sys.stdout.write(f"RECUSADO / REFUSED: {why}\n")
        return 7
    for kind, text in check.violations[:50]:
        out.write(f"  {kind}: {text}\n")
    if len(check.violations) > 50:
        out.write("  ... %d more\n" % (len(check.violations) - 50))
    word = "NAO INTEGRO / NOT INTACT" if check.violations else "INTEGRO / INTACT"
    out.write("%s: %d eventos / events, %d assinados / signed\n" % (word, check.events, check.signed_events))
    for name in sorted(check.manifest["public_keys"]):
        out.write(f"chave / key: {name}\n")
    sys.stdout.write(out.getvalue())
    return 7 if check.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
