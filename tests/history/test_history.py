"""The published language: one stored sample of each event and version, readable for ever.

A sample is never edited. When a test here fails because an event changed its shape, give the event the next
`version`, write the upcast from the old one, and add the new sample:

    python -m tests.history.sampling
"""

from pathlib import Path
from uuid import UUID

import pytest

from tests.history.sampling import SAMPLES, path_of, text_of
from write_model.message import EVENTS, Personal
from write_model.store import topics

topics.load()
# What this program declares; tests elsewhere may declare more while they run.
KINDS = dict(EVENTS)
PATHS = sorted(SAMPLES.glob("*.json"))


def parts_of(path: Path) -> tuple[str, int]:
    topic, _, version = path.stem.rpartition(".")
    return topic, int(version)


@pytest.mark.parametrize("topic", KINDS)
def test_every_version_of_every_event_has_a_sample(topic: str) -> None:
    missing = [v for v in range(1, KINDS[topic].schema_version + 1) if not path_of(topic, v).exists()]
    assert not missing, f"{topic}: run `python -m tests.history.sampling`"


@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_every_sample_can_be_read(path: Path) -> None:
    topic, version = parts_of(path)
    assert topic in KINDS, f"{topic} is in the history of somebody's store and may not be forgotten"
    fact = topics.decode(topic, version, path.read_text("utf-8"))
    assert isinstance(fact, KINDS[topic])


@pytest.mark.parametrize("topic", KINDS)
def test_the_present_version_is_stored_as_its_sample_says(topic: str) -> None:
    """A field renamed, dropped, added or retyped shows here, even where the old text still decodes."""
    kind = KINDS[topic]
    text = path_of(topic, kind.schema_version).read_text("utf-8").strip()
    fact = topics.decode(
        topic, kind.schema_version, text, lambda sealed, _: Personal(UUID(sealed["subject"]), "any")
    )
    assert text_of(fact) == text
