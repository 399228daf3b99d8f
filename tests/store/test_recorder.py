"""The library's own conformance suites, run against the recorder over this store.

Left out, and why:
  AggregateRecorderTestCase for events     the application recorder answers with positions where that suite
                                           demands None; it is run for the snapshots, which are what it is for
  TrackingRecorderTestCase, ProcessRecorderTestCase, InfrastructureFactoryTestCase
                                           of tracking and process recorders, which are not offered:
                                           projections keep their checkpoints with their own rows
"""

import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, NotSupportedError, StoredEvent, Tracking
from eventsourcing.tests import application, persistence
from psycopg.conninfo import conninfo_to_dict

from write_model.store.chain import verify
from write_model.store.recorder import CompanyRecorder, RecorderFactory


@pytest.fixture
def environment(database_url: str) -> Iterator[dict[str, str]]:
    """A company of its own in a database of its own, named as the library wants it."""
    given = conninfo_to_dict(database_url)
    environment = {
        "PERSISTENCE_MODULE": "write_model.store.recorder:RecorderFactory",
        "CCONTROL_COMPANY_ID": str(uuid4()),
        "POSTGRES_DBNAME": str(given["dbname"]),
        "POSTGRES_HOST": str(given["host"]),
        "POSTGRES_PORT": str(given["port"]),
        "POSTGRES_USER": str(given["user"]),
        "POSTGRES_PASSWORD": str(given["password"]),
    }
    with patch.dict(os.environ, environment):
        yield environment


@pytest.fixture
def factory(environment: dict[str, str]) -> Iterator[RecorderFactory]:
    with RecorderFactory(environment) as made:
        yield made


class _WithFactory:
    """Gives the library's unittest classes what pytest prepares."""

    factory: RecorderFactory

    @pytest.fixture(autouse=True)
    def _prepare(self, factory: RecorderFactory) -> None:
        self.factory = factory

    def create_recorder(self) -> Any:
        return self.factory.application_recorder()


class TestApplicationRecorder(_WithFactory, persistence.ApplicationRecorderTestCase):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleaving(_WithFactory, persistence.NonInterleavingNotificationIDsBaseCase):
    pass


class TestSnapshotRecorder(_WithFactory, persistence.AggregateRecorderTestCase):
    def create_recorder(self) -> Any:
        return self.factory.aggregate_recorder("snapshots")


class TestExampleApplication(application.ExampleApplicationTestCase):
    expected_factory_topic = "write_model.store.recorder:RecorderFactory"

    @pytest.fixture(autouse=True)
    def _prepare(self, environment: dict[str, str]) -> None:
        pass


def _stored(
    stream: Any, version: int, state: bytes = b"state", topic: str = "somewhere:Thing"
) -> StoredEvent:
    return StoredEvent(originator_id=stream, originator_version=version, topic=topic, state=state)


def test_any_bytes_come_back_as_they_were(factory: RecorderFactory) -> None:
    recorder = factory.application_recorder()
    stream, state = uuid4(), bytes(range(256))
    recorder.insert_events([_stored(stream, 1, state)])
    assert recorder.select_events(stream)[0].state == state


def test_a_version_left_out_is_refused(factory: RecorderFactory) -> None:
    recorder, stream = factory.application_recorder(), uuid4()
    recorder.insert_events([_stored(stream, 1)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([_stored(stream, 3)])


def test_tracking_is_refused_rather_than_dropped(factory: RecorderFactory) -> None:
    recorder = factory.application_recorder()
    with pytest.raises(NotSupportedError):
        recorder.insert_events([_stored(uuid4(), 1)], tracking=Tracking("upstream", 1))
    assert recorder.max_notification_id() is None


def test_an_attempt_whose_answer_was_lost_is_not_repeated(factory: RecorderFactory) -> None:
    recorder, events, command_id = factory.application_recorder(), [_stored(uuid4(), 1)], uuid4()
    first = CompanyRecorder._append(recorder, events, command_id)
    # The library's retry calls again with the same arguments; the stream is one further by then.
    with pytest.raises(IntegrityError):
        recorder.insert_events(events)
    assert CompanyRecorder._append(recorder, events, command_id) == first


def test_a_subscription_passes_over_other_topics(factory: RecorderFactory) -> None:
    recorder = factory.application_recorder()
    recorder.insert_events([_stored(uuid4(), 1, topic="unwanted") for _ in range(1_200)])
    recorder.insert_events([_stored(uuid4(), 1, topic="wanted")])
    with recorder.subscribe(topics=["wanted"]) as subscription:
        assert next(subscription).id == 1_201


def test_another_company_sees_nothing(
    environment: dict[str, str], factory: RecorderFactory, database_url: str
) -> None:
    stream = uuid4()
    factory.application_recorder().insert_events([_stored(stream, 1)])
    with RecorderFactory({**environment, "CCONTROL_COMPANY_ID": str(uuid4())}) as other:
        assert other.application_recorder().select_events(stream) == []


def test_foreign_events_are_chained_like_all_others(factory: RecorderFactory, database_url: str) -> None:
    factory.application_recorder().insert_events([_stored(uuid4(), version) for version in (1,)])
    kinds = {violation.kind for violation in verify(database_url).violations}
    assert kinds == {"topic-unknown"}  # whole, and honestly not one of our own
