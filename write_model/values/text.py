"""Text that people typed: names, descriptions, reasons.

Nothing is removed silently. What cannot be seen or would lie about how it reads is refused; the rest is
kept as it came, only composed (Unicode NFC), so that equal-looking texts are equal.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from write_model.values.invalid import Invalid

# Controls, invisible format characters (bidi overrides, zero-width, soft hyphen, tags), surrogates, breaks.
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# Letters and marks by category, yet they show nothing: fillers, joiners and the blank Braille pattern.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u2800\u3164\uffa0"
)

# Composing shortens text at most this much; anything longer is refused before the work is done.
_COMPOSITION_MAX: Final = 4


def clean_text(text: str, *, max_length: int, min_length: int = 1) -> str:
    """Return the text composed, or say why it cannot be stored; lengths are in characters."""
    if not isinstance(text, str):
        raise Invalid("invalid-text", "A text is required.")
    if len(text) > max_length * _COMPOSITION_MAX:
        raise _too_long(max_length)
    if _is_suspect(text) and any(map(_is_forbidden, text)):
        raise Invalid("forbidden-character", "The text has a control, invisible or direction character.")
    composed = unicodedata.normalize("NFC", text)
    if len(composed) > max_length:
        raise _too_long(max_length)
    if composed and not any(unicodedata.category(c)[0] in "LNPS" for c in composed):
        raise Invalid("text-blank", "The text has nothing that can be seen.")
    if len(composed) < min_length:
        raise Invalid("text-too-short", "The text is too short.", {"min_length": str(min_length)})
    return composed


def _is_suspect(text: str) -> bool:
    """Whether a closer look is needed; ordinary text is not and takes the short way."""
    return not text.isprintable() or not _INVISIBLE.isdisjoint(text)


def _is_forbidden(character: str) -> bool:
    if character in _INVISIBLE or unicodedata.category(character) in _FORBIDDEN_CATEGORIES:
        return True
    # Noncharacters by number, not as "unassigned": that set shrinks with every edition of Unicode.
    point = ord(character)
    return point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF


def _too_long(max_length: int) -> Invalid:
    return Invalid("text-too-long", "The text is too long.", {"max_length": str(max_length)})
