"""How a process that folds for hours collects its garbage.

A page is some ten thousand objects that live until it is written. With Python's own thresholds the collector
goes through all of them, and through every module that is loaded, again and again and finds nothing: nearly
half of the time of a catch-up. What really is garbage to it, a few objects a page, may wait.
"""

import gc

# More than the pages in work are, so that the collector seldom meets one; some 25 MB of garbage at most.
_YOUNG_OBJECTS = 250_000


def collect_seldom() -> None:
    """Once, when the process has loaded what it needs: what is there now stays, and pages come and go."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 5, 20)
