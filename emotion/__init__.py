"""emo from Python: weights -> detections -> metrics and reports.

    import emotion

    system = emotion.load("yolo")                            # any model, run folder or system; backend=, device=, conf=
    result = system("photo.jpg")                             # a path, PIL picture, BGR or grey array, or a list of them
    result.boxes_xyxy_px, result.emotions, result.scores, result.plot()

    for result in system.stream("video.mp4", track=True):
        print(result.time_s, result.track_ids, result.emotions)

    emotion.convert("affectnet", task="detector")            # as the commands of these names
    emotion.train("v4-tiny")
    emotion.detect("video.mp4")
    emotion.compare("two-stage", "yolo")
    emotion.evaluate("emo-s", "data/fer2013-classifier", "test")

Importing it imports neither torch nor cv2. What a user can cause is an `EmoError`, whose text says how to mend it.
"""

from converters.errors import EmoError

from .api import compare, convert, detect, evaluate, load, train
from .version import __version__

__all__ = ["EmoError", "__version__", "compare", "convert", "detect", "evaluate", "load", "train"]
