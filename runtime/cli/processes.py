"""`ccontrol ps`: what runs of the installation on this machine."""

import os

from runtime.cli import instance, output
from runtime.cli.output import Format, Output


def ps(output_format: Output = Format.TABLE) -> None:
    """Show the processes of the installation on this machine."""
    pids = instance.description()["pids"]
    roles = [{"role": role, "pid": pid, "running": _is_running(pid)} for role, pid in pids.items()]

    def show() -> None:
        rows = [(each["role"], each["pid"], "yes" if each["running"] else "no") for each in roles]
        output.table(None, ("role", "pid", "running"), rows, right=("pid",))

    stopped = [str(each["role"]) for each in roles if not each["running"]]
    notes = [output.warning("not-running", f"{role} is not running", subject=role) for role in stopped]
    output.answer(
        output_format,
        "ps",
        {"roles": roles},
        show=show,
        ok=not stopped,
        records="roles",
        diagnostics=notes,
    )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but there
    return True
