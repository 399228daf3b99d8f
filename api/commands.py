"""The registry of commands, loaded whole: every module that can declare one is imported."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import write_model
from write_model.message import COMMANDS, CommandType

# Parts of the write model that hold no commands.
_NOT_CONTEXTS = frozenset({"dispatch", "message", "store", "values"})


@cache
def load_commands() -> Mapping[str, CommandType]:
    """The whole registry, after importing every context and process."""
    for package in iter_modules(write_model.__path__):
        if not package.ispkg or package.name in _NOT_CONTEXTS:
            continue
        inside = import_module(f"write_model.{package.name}")
        for module in iter_modules(inside.__path__):
            import_module(f"write_model.{package.name}.{module.name}")
    return COMMANDS
