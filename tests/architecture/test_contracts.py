"""Each import contract breaks when violated: a contract that cannot fail protects nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_ROOMS = ("write_model", "read_model", "projections", "api", "integration", "runtime")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the rooms and of the contracts."""
    copy = tmp_path_factory.mktemp("tree")
    for room in _ROOMS:
        shutil.copytree(_ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_ROOT / "pyproject.toml", copy)
    return copy


@pytest.mark.parametrize(
    ("contract", "offender", "offence"),
    [
        pytest.param(
            "rooms", "read_model/offence.py", "import write_model.message", id="models-are-strangers"
        ),
        pytest.param("rooms", "api/offence.py", "import projections", id="api-does-not-project"),
        pytest.param("rooms", "write_model/values/offence.py", "import runtime", id="nobody-sees-runtime"),
        pytest.param("rooms", "projections/offence.py", "import integration", id="projections-do-not-send"),
        pytest.param("rooms", "api/offence.py", "import integration", id="api-does-not-send"),
        pytest.param("integration", "integration/offence.py", "import api", id="integration-has-no-door"),
        pytest.param(
            "integration",
            "integration/offence.py",
            "import write_model.sales.sale",
            id="integration-does-not-decide",
        ),
        pytest.param(
            "projections", "projections/offence.py", "import write_model.sales.sale", id="no-aggregate"
        ),
        pytest.param("projections", "projections/offence.py", "import write_model.store", id="only-the-log"),
        pytest.param(
            "facts", "write_model/sales/events.py", "import write_model.sales.sale", id="own-aggregate"
        ),
        pytest.param("facts", "write_model/sales/events.py", "import write_model.store", id="store"),
        pytest.param("write-model", "write_model/sales/offence.py", "import write_model.stock", id="context"),
        pytest.param("write-model", "write_model/message.py", "import write_model.sales", id="upwards"),
        pytest.param("write-model", "write_model/newcomer.py", "", id="not-placed"),
        pytest.param("plain-python", "write_model/sales/offence.py", "import psycopg", id="driver"),
        pytest.param("plain-python", "write_model/message.py", "import pydantic", id="models"),
        pytest.param("plain-python", "write_model/newcomer.py", "import sqlalchemy.sql", id="sql"),
    ],
)
def test_a_violated_contract_breaks(pristine: Path, contract: str, offender: str, offence: str) -> None:
    path = pristine / offender
    before = path.read_text() if path.exists() else None
    path.write_text((before or '"""Breaks a contract."""\n') + f"\n{offence}\n")
    try:
        checked = subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--contract", contract, "--no-cache"],
            cwd=pristine,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert "BROKEN" in checked.stdout, checked.stdout + checked.stderr
