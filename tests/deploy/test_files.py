"""The files a deployment starts from are valid, keep no secret, publish nothing, and name what exists."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_OWN_SERVICES = ("prepare", "api", "projector", "relay", "consumers")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_compose_fits_its_schema() -> None:
    _passes("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def test_the_dockerfile_passes_its_linter() -> None:
    _passes("hadolint", "Dockerfile")


def test_the_shell_scripts_pass_their_linter() -> None:
    _passes("shellcheck", "-x", "run", "test", ".ci/run", "deploy/bootstrap.sh")


def test_compose_publishes_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_every_secret_must_be_given(compose: dict[str, Any]) -> None:
    """`${NAME:?…}` stops compose; a default password would be in use somewhere for ever."""
    values = [
        (name, value)
        for service in compose["services"].values()
        for name, value in service["environment"].items()
        if re.search(r"PASS|URL$", name)
    ]
    assert len(values) >= 6
    assert [name for name, value in values if not re.search(r"\$\{[A-Z_]+_PASSWORD:\?", str(value))] == []


def test_the_example_environment_names_every_variable_of_compose() -> None:
    wanted = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (_ROOT / "docker-compose.yml").read_text()))
    example = (_ROOT / "deploy" / "env.example").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    assert named == wanted
    # No value for a secret: whoever copies the file must think of one.
    assert re.findall(r"^[A-Z_]*PASSWORD=.+$", example, re.MULTILINE) == []


def test_every_service_is_watched_or_says_why_not(compose: dict[str, Any]) -> None:
    unwatched = {name for name, service in compose["services"].items() if "healthcheck" not in service}
    assert unwatched == {"prepare"}  # runs once and ends


@pytest.mark.parametrize("service", _OWN_SERVICES)
def test_our_services_run_commands_that_exist(compose: dict[str, Any], service: str) -> None:
    program, *arguments = compose["services"][service]["command"]
    if program == "ccontrol":
        _passes("ccontrol", *arguments, "--help")
    else:
        assert (program, arguments[0]) == ("python", "-m")
        assert (_ROOT / arguments[1].replace(".", "/")).with_suffix(".py").exists()


@pytest.mark.parametrize("service", _OWN_SERVICES)
def test_our_services_get_variables_somebody_reads(compose: dict[str, Any], service: str) -> None:
    settings = (_ROOT / "runtime" / "settings.py").read_text()
    # By its whole name, or as a field of the settings that carry the prefix.
    unread = [
        name
        for name in compose["services"][service]["environment"]
        if not re.search(rf"(?i)\b{name}\b|^\s+{name.removeprefix('CCONTROL_')}\s*:", settings, re.MULTILINE)
    ]
    assert unread == []


def test_the_image_does_not_run_as_root() -> None:
    dockerfile = (_ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001"]


def test_the_image_gets_every_room_and_nothing_private() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", (_ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert copied == {"write_model", "read_model", "projections", "api", "integration", "runtime"}
    context = (_ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in context  # everything is left out that is not named
    assert copied <= {line.removeprefix("!") for line in context}


def _passes(program: str, *arguments: str) -> None:
    checked = subprocess.run(
        [_BIN / program, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
