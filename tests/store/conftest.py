"""What the tests of the store have in common."""

import sys
from types import ModuleType

# The library's suite imports its cipher module, which wants pycryptodome, for tests of ciphers we do not run.
_cipher = ModuleType("eventsourcing.cipher")
_cipher.AESCipher = object  # type: ignore[attr-defined]
sys.modules.setdefault("eventsourcing.cipher", _cipher)
