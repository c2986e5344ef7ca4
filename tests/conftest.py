"""For all tests.

Property tests take the same cases in every run, so that a build fails for what was changed in it;
`HYPOTHESIS_PROFILE=explore python -m pytest` looks for new ones, other ones in each run. Ctrl-C works in the
programs that tests start, also when a shell runs pytest in the background, where it is ignored.
"""

import os
import signal

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
