"""Imported first: until `main` handles signals, Ctrl-C ends the command in silence, not with a traceback of an import.

Only where this process is the command: the script `emo`, or `python -m emotion.cli`, whose name is still `-m` now.
"""

import os
import signal
import sys

if os.path.basename(sys.argv[0] if sys.argv else "") in ("emo", "emo.exe", "-m"):
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
