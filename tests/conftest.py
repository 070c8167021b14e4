"""For all tests: examples of Hypothesis have no deadline, since machines may be busy."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
