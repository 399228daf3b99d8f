"""Which routing keys a pattern matches, as AMQP's topic exchanges have it."""

import re
from functools import lru_cache


@lru_cache(maxsize=4_096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Every word with its dot in front, so that `#` may stand for none."""
    words = {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}
    return re.compile("".join(words.get(word, r"\." + re.escape(word)) for word in pattern.split(".")))


def matches(pattern: str, routing_key: str) -> bool:
    """`*` stands for one word, `#` for any number of them, also none."""
    return _compiled(pattern).fullmatch("." + routing_key) is not None
