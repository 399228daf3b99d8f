"""Property tests of the values look for wrong answers, not for slow machines."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
