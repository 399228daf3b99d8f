"""`ccontrol audit export` and `check-package`: the history for somebody who has no access to the system."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli import instance, moments, output
from runtime.cli.company import OneCompany, company_id
from runtime.cli.outcome import Exit, usage
from runtime.cli.output import Format, Output

if TYPE_CHECKING:
    from runtime.cli.progress import Progress

_SHOWN_VIOLATIONS = 20


class Visibility(StrEnum):
    """How much of people stands in what is for reading."""

    NONE = "none"
    MASKED = "masked"
    FULL = "full"


def export(
    out: Annotated[Path, typer.Option("--out", help="The zip file to write.")],
    company: OneCompany = None,
    since: Annotated[str | None, typer.Option("--from", help="Recorded from this day or moment on.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Recorded up to this day or moment.")] = None,
    pii: Annotated[
        Visibility, typer.Option("--pii", help="Personal data in readable.csv: none, masked or full.")
    ] = Visibility.NONE,
    output_format: Output = Format.TABLE,
) -> None:
    """Write a package that anybody can verify alone, with Python and nothing else.

    \b
    Examples
      ccontrol audit export --out 2026.zip --from 2026-01-01 --to 2026-12-31
      ccontrol audit export --out acme.zip --company cmp_01J… --pii masked
    """
    from importlib.metadata import version

    from runtime.audit_package.write import Package, Wanted
    from runtime.cli import heads
    from runtime.cli.progress import progress

    now = datetime.now(UTC)
    wanted = Wanted(
        company=None if company is None else company_id(company),
        since=None if since is None else moments.beginning(since, now),
        until=None if until is None else moments.moment(until, now),
        pii=pii.value,
    )
    if not out.parent.is_dir():
        raise usage(f"there is no folder {out.parent}")
    url = instance.database_url()
    ring = None
    if pii is Visibility.FULL:
        ring = _ring()
    with progress("audit export", 0, "events") as bar:
        written = Package(url, wanted, version("ccontrol-m"), ring).write(
            out, heads.key_here(), now, _counting(bar)
        )
    data = {
        "file": str(out),
        "events": written.events,
        "companies": written.companies,
        "checkpoints": written.checkpoints,
        "bytes": out.stat().st_size,
    }
    output.answer(
        output_format,
        "audit.export",
        data,
        show=lambda: output.line(
            f"{out}: {written.events:,} events of {written.companies:,} companies, "
            f"{written.checkpoints:,} signed heads, {data['bytes']:,} bytes\n"
            f"check it with: ccontrol audit check-package {out}"
        ),
    )


def _counting(bar: "Progress") -> Callable[[int], None]:
    def count(events: int) -> None:
        if not events % 1_000:
            bar.done(1_000)

    return count


def _ring() -> Any:
    from write_model.store.personal_data import KeyRing, KeysUnusable

    path = instance.settings().root_key
    if not path.exists():
        raise usage("personal data can only be read where the root key is", "use --pii masked")
    try:
        return KeyRing.read(path)
    except KeysUnusable as why:
        raise usage(str(why)) from None


def check_package(
    package: Annotated[Path, typer.Argument(help="The zip file, or the folder it was unpacked to.")],
    key: Annotated[
        str | None, typer.Option("--key", help="The only key id whose signatures are accepted.")
    ] = None,
    output_format: Output = Format.TABLE,
) -> int:
    """Verify a package; offline, without a database."""
    import time

    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from runtime.audit_package.verify import Check, Refused, source_of

    def signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    if not package.exists():
        raise usage(f"there is no {package}")
    started = time.monotonic()
    data: dict[str, Any] = {"ok": False, "events": 0, "signed_events": 0, "violations": [], "keys": []}
    try:
        with source_of(package) as source:
            check = Check(source, key, signed)
            check.run()
        data |= {
            "ok": not check.violations,
            "events": check.events,
            "signed_events": check.signed_events,
            "violations": [{"kind": kind, "meaning": meaning} for kind, meaning in check.violations],
            "keys": sorted(check.manifest["public_keys"]),
        }
    except Refused as why:
        data["violations"] = [{"kind": "package-refused", "meaning": str(why)}]
    data["seconds"] = round(time.monotonic() - started, 3)
    output.answer(
        output_format,
        "audit.check-package",
        data,
        show=lambda: _show(data),
        ok=data["ok"],
        records="violations",
    )
    return Exit.DONE if data["ok"] else Exit.INTEGRITY


def _show(data: dict[str, Any]) -> None:
    for violation in data["violations"][:_SHOWN_VIOLATIONS]:
        output.line(f" ✘ {violation['kind']}  {violation['meaning']}")
    if len(data["violations"]) > _SHOWN_VIOLATIONS:
        output.line(f"   … and {len(data['violations']) - _SHOWN_VIOLATIONS:,} more (-o json has all)")
    word = "Intact" if data["ok"] else "NOT intact"
    output.line(
        f" {word}: {data['events']:,} events, {data['signed_events']:,} of them under a signature, "
        f"in {data['seconds']} s"
    )
    for key in data["keys"]:
        output.line(f" key {key}: compare it with the one published elsewhere")
