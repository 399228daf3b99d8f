"""One history for all tests here; who changes it puts it back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit import history
from tests.audit.history import History
from tests.conftest import fresh_database


@pytest.fixture(scope="module")
def recorded(
    postgres_server: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[History]:
    folder: Path = tmp_path_factory.mktemp("history")
    with fresh_database(postgres_server, migrated_template) as url:
        yield history.make(url, folder)
