# shellcheck shell=bash
# Sourced by ./run and ./test: `bootstrap run|dev` makes .venv fit requirements/<that>.txt, or does nothing
# if it already does. Everything it says goes to standard error.

fail() {
    echo "ccontrol: $*" >&2
    exit 1
}

# Any Python we support; $PYTHON chooses one.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "needs Python 3.11, 3.12 or 3.13 (set PYTHON to its path if it is not on PATH)"
}

# Debian ships Python without the part that fills a virtual environment.
ensure_venv_works() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    local install="apt-get update && apt-get install -y --no-install-recommends python3-venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "ccontrol: installing python3-venv" >&2
        DEBIAN_FRONTEND=noninteractive bash -c "$install" >/dev/null
        "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    fi
    fail "this Python cannot make virtual environments; run once as root:  $install"
}

make_venv() {
    local python
    # A virtual environment whose Python was removed or upgraded away cannot be mended.
    if [ -e "$venv/bin/python" ] && ! "$venv/bin/python" -c '' 2>/dev/null; then
        find "$venv" -mindepth 1 -maxdepth 1 ! -name .bootstrap-lock -exec rm -rf {} +
    fi
    if [ ! -x "$venv/bin/uv" ]; then
        python=$(find_python)
        ensure_venv_works "$python"
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes \
            -r "$root/requirements/bootstrap.txt"
    fi
}

# What .venv was made from: any change of it is a reason to install again.
fingerprint() {
    "$venv/bin/python" -VV 2>/dev/null || true
    (cd "$root" && sha256sum "requirements/$1.txt" requirements/bootstrap.txt pyproject.toml)
}

is_installed() {
    [ -f "$venv/.installed-$1" ] && [ "$(cat "$venv/.installed-$1")" = "$(fingerprint "$1")" ]
}

install_lock() {
    is_installed "$1" && return
    # The development lock holds everything in the other one, in the same versions.
    [ "$1" = run ] && is_installed dev && return
    echo "ccontrol: preparing .venv (once; later starts skip this)" >&2
    make_venv
    # Compiled here, once: where Python may not write beside its modules, every start would compile them anew.
    "$venv/bin/uv" pip install -q --compile-bytecode --python "$venv/bin/python" --require-hashes \
        -r "$root/requirements/$1.txt"
    # Without isolation: the build backend is in the lock, so this needs no network.
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-deps --no-build-isolation -e "$root"
    fingerprint "$1" >"$venv/.installed-$1"
}

bootstrap() {
    # Only the locked artefacts, never an interpreter of uv's own choosing.
    export UV_PYTHON_DOWNLOADS=never
    root=$1
    venv=$root/.venv
    mkdir -p "$venv"
    # Two commands at once would fill the same folder.
    (
        flock 9
        install_lock "$2"
    ) 9>"$venv/.bootstrap-lock" >&2
}
