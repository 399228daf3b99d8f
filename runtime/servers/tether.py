"""Ties a program to its parent's life, then becomes it: `tether.py SIGNAL PARENT UID:GID PROGRAM …`.

A script of its own rather than `preexec_fn`, because running Python between fork and exec is unsafe once the
parent has threads (CPython 3.12 warns about it). It keeps its process id through exec, so the caller's Popen
handle is the server's own. It imports nothing of ours: it runs with `-I -S`, before privileges are dropped.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def main() -> None:
    """Drop privileges if asked, ask the kernel for the death signal, exec."""
    death_signal, parent, account, *program = sys.argv[1:]
    if account != "-":
        user, group = account.split(":")
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    # After setuid: a change of credentials clears the setting.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the kernel knew that we care.
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606  # no shell is the point


if __name__ == "__main__":
    main()
