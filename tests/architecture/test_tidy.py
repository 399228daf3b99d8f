"""Style a linter does not know, as tests: names, sizes, money without floats, locks without addresses."""

import ast
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_ROOMS = ("write_model", "read_model", "projections", "api", "integration", "runtime")
_CODE = (*_ROOMS, "tests", "benchmarks")
_FUNCTION_LINES_MAX = 70

_INSTEAD_OF = {
    "utils": "name what the functions are about (money, period, pages)",
    "common": "put it where it is used most, or name the thing both sides share",
    "core": "name the one job of the module",
    "helpers": "name what is helped with",
    "base": "name the idea the subclasses have in common, or use a Protocol",
    "manager": "name what it does: store, queue, schedule",
    "misc": "one file per thing",
    "shared": "name the thing that is shared",
}


def test_module_names_say_what_is_inside() -> None:
    offences = [
        f"{_relative(path)}: {part!r} is banned, instead {_INSTEAD_OF[part]}"
        for path in _modules(*_CODE)
        for part in path.relative_to(_ROOT).with_suffix("").parts
        if part in _INSTEAD_OF
    ]
    assert offences == []


def test_every_module_says_why_it_exists() -> None:
    offences = [_relative(path) for path in _modules(*_CODE) if not ast.get_docstring(_parsed(path))]
    assert offences == []


def test_every_folder_of_a_room_is_a_package() -> None:
    """Otherwise the import contracts do not see what is inside."""
    folders = {path.parent for path in _modules(*_ROOMS)}
    assert sorted(_relative(folder) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_functions_fit_on_a_screen() -> None:
    offences = [
        f"{_relative(path)}:{node.lineno}: {node.name} has {length} lines, at most {_FUNCTION_LINES_MAX}"
        for path in _modules(*_CODE)
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > _FUNCTION_LINES_MAX
    ]
    assert offences == []


def test_decisions_know_no_floats() -> None:
    """A binary fraction cannot hold a cent. The store and the dispatcher are free to count seconds."""
    offences = [
        f"{_relative(path)}:{line}"
        for path in _modules("write_model")
        if path.relative_to(_ROOT / "write_model").parts[0] not in ("store", "dispatch")
        for line in sorted(_floats(_parsed(path)))
    ]
    assert offences == []


def test_locks_name_no_hosts() -> None:
    """An address in a lock ties every installation to one index."""
    locks = [*_ROOT.glob("requirements/*.txt"), *_ROOT.glob("*/package-lock.json")]
    assert locks
    offences = [
        f"{_relative(lock)}:{number}"
        for lock in locks
        for number, line in enumerate(lock.read_text().splitlines(), 1)
        if _names_a_host(line)
    ]
    assert offences == []


def test_every_locked_package_has_a_hash() -> None:
    for lock in _ROOT.glob("requirements/*.txt"):
        pins = lock.read_text().replace("\\\n", "").splitlines()
        assert [pin for pin in pins if "--hash=sha256:" not in pin] == [], lock.name


def _floats(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="float")) | ast.Constant(value=float()):
                yield node.lineno
            case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=ast.expr() as annotation):
                yield from _named_float(annotation)
            case ast.FunctionDef(returns=ast.expr() as returns):
                yield from _named_float(returns)


def _named_float(annotation: ast.expr) -> Iterator[int]:
    return (node.lineno for node in ast.walk(annotation) if isinstance(node, ast.Name) and node.id == "float")


def _names_a_host(line: str) -> bool:
    # npm's lock may name where a package asks for money; nothing is fetched from there.
    return "://" in line and '"url"' not in line and '"funding"' not in line


def _modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (_ROOT / folder).rglob("*.py"))


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def _relative(path: Path) -> str:
    return str(path.relative_to(_ROOT))
