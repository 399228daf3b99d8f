"""An export to begin with."""

from pathlib import Path

import pytest

from tests.marketplace.exports import ExportFolder, small


@pytest.fixture
def export(tmp_path: Path) -> ExportFolder:
    """A good little export; tests spoil it."""
    return small(tmp_path / "olist")
