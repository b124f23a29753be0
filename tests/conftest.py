"""Settings that all tests share."""

import os

from hypothesis import settings

# A slow machine is no failing test; Hypothesis' own profile for CI also repeats the same examples.
settings.register_profile("drawbridge", deadline=None)
settings.load_profile("ci" if "CI" in os.environ else "drawbridge")
