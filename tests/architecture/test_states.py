"""A state's copy is its own: folding the copy never changes what is cached."""

import importlib
import pkgutil

import pytest

import write_model
from write_model.message import State

for module in pkgutil.walk_packages(write_model.__path__, "write_model."):
    if ".store" not in module.name:
        importlib.import_module(module.name)

STATES = sorted(State.__subclasses__(), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", STATES, ids=lambda kind: kind.__name__)
def test_a_state_keeps_its_values_in_slots_of_its_own(kind: type[State]) -> None:
    made = kind()
    assert not hasattr(made, "__dict__")
    copied = made.copy()
    slots: tuple[str, ...] = kind.__slots__
    for name in slots:
        value = getattr(made, name)
        assert getattr(copied, name) == value
        # Anything else that can change would be shared between the copy and the cache.
        assert isinstance(value, dict | set | list) == (getattr(copied, name) is not value)
        assert isinstance(value, dict | set | list) or hash(value) is not None
