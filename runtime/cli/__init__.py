"""The command line `ccontrol`, for ops, auditors and scripts.

One module per group of commands. Their functions import what they need when they run: `ccontrol --help`
must answer at once, without a database driver or a web framework.
"""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from runtime.cli.program import run

    sys.exit(run(sys.argv[1:]))
