"""For all tests.

Property tests take the same cases in every run, so that a build fails for what was changed in it;
`HYPOTHESIS_PROFILE=explore python -m pytest` looks for new ones, other ones in each run. Ctrl-C and a
closed terminal end the programs that tests start, also when pytest runs in the background or under nohup, which
have them ignored.
"""

import os
import signal

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    *((signal.SIGHUP, signal.SIG_DFL) for _ in range(hasattr(signal, "SIGHUP"))),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)

# FFmpeg asks once, when it is first used, whichever test that is.
os.environ |= {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "SILENT"}

os.environ["EMO_CACHE"] = os.path.join(
    os.path.dirname(__file__), "no-cache"
)  # what somebody has fetched changes no test
