"""Whatever a superuser does to the past is found and named; a clean history is never accused.

`TAMPERS=1000 pytest -s tests/audit/test_tampers.py` tries as many and says how many of each kind were found.
"""

import os
import random
import sys
from collections import Counter

import pytest

from tests.audit.history import History
from tests.audit.restoring import copy, put_back
from tests.audit.tampers import OTHERWISE, TAMPERS, Event, Expected, _edit
from tests.store.tampering import tampering
from write_model.store.chain import Verification

TRIALS = int(os.environ.get("TAMPERS", "60"))
pytestmark = pytest.mark.timeout(120 + TRIALS)


@pytest.fixture(scope="module")
def history(recorded: History) -> History:
    return copy(recorded)


def is_found(expected: Expected, verification: Verification) -> bool:
    return any(
        violation.kind in expected.kinds
        and expected.partition in (None, violation.partition)
        and expected.position in (None, violation.position)
        for violation in verification.violations
    )


def test_a_clean_history_is_not_accused(history: History) -> None:
    verification = history.verify()
    assert verification.violations == ()
    assert verification.events == 48


@pytest.mark.parametrize("column", OTHERWISE)
def test_every_column_counts(history: History, column: str) -> None:
    with put_back(history):
        with tampering(history.url) as connection:
            _edit(connection, random.Random(1), Event(2, 11, history.companies[0]), column)
        kinds = {violation.kind for violation in history.verify().violations}
        assert kinds & {"event-altered", "link-broken"}


def test_whatever_is_changed_is_found(history: History) -> None:
    tried: Counter[str] = Counter()
    missed = []
    for number in range(TRIALS):
        tamper = TAMPERS[number % len(TAMPERS)]
        with put_back(history):
            with tampering(history.url) as connection:
                expected = tamper(connection, random.Random(number))
            verification = history.verify()
        tried[tamper.__name__] += 1
        if not is_found(expected, verification):
            missed.append((number, tamper.__name__, expected, [v.kind for v in verification.violations]))
    for name, count in sorted(tried.items()):
        found = count - sum(name == each[1] for each in missed)
        sys.stdout.write(f"{name:<36} found {found} of {count}\n")
    assert missed == []
    assert history.verify().violations == ()
