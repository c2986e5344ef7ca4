"""Property tests: the same cases in every run, so that a build fails for what was changed in it.

`HYPOTHESIS_PROFILE=explore python -m pytest` looks for new ones, other ones in each run.
"""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
