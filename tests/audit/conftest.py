"""One history for all tests here; who changes it puts it back."""

import pytest

from tests.audit import history
from tests.audit.history import History


@pytest.fixture(scope="module")
def recorded(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> History:
    return history.make(module_database_url, tmp_path_factory.mktemp("history"))
