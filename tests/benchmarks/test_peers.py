"""A peer that cannot take part says why, and stops nobody else."""

from pathlib import Path

import pytest

from benchmarks.peers.emmett_projection import EmmettRunner, Missing


@pytest.mark.asyncio
async def test_without_node_emmett_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="no node"):
        await EmmettRunner("postgresql://nowhere", 1).open()


@pytest.mark.asyncio
async def test_without_its_packages_emmett_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("node", "npm"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(Missing, match="cannot be installed"):
        await EmmettRunner("postgresql://nowhere", 1).open()
