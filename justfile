# `just` alone lists what can be done. Needs ./test (or ./run) to have made .venv once.

[private]
default:
    @just --list --unsorted

# Start everything on this machine and print where to look
run *args:
    ./run {{args}}

# Every check CI makes; with arguments, only pytest with those arguments
test *args:
    ./test {{args}}

# Style, formatting and the import contracts
lint:
    .venv/bin/ruff check
    .venv/bin/ruff format --check
    .venv/bin/lint-imports

# Strict type check
types:
    .venv/bin/mypy

# Mend style and formatting in place
fmt:
    .venv/bin/ruff check --fix
    .venv/bin/ruff format

# Resolve again and write the hashed locks (uv.lock itself holds index addresses and stays out of git)
lock:
    .venv/bin/uv lock
    .venv/bin/uv export -q --no-emit-project --extra embedded --no-default-groups --group build --no-header --no-annotate --format requirements-txt -o requirements/run.txt
    .venv/bin/uv export -q --no-emit-project --extra embedded --group build --group dev --no-header --no-annotate --format requirements-txt -o requirements/dev.txt
    .venv/bin/uv export -q --no-emit-project --no-default-groups --group build --no-header --no-annotate --format requirements-txt -o requirements/image.txt
    ! grep -n '://' requirements/*.txt
