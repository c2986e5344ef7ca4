"""The emotion classes, their order, and the map from each dataset's ids. By name, never by index.

The order is AffectNet's. Class ids never depend on the data: seven classes are the default, eight
add Contempt, six merge Disgust into Anger; one class, Face, is for a network that only finds faces.
"""

from __future__ import annotations

from .errors import DataError, UsageError, nearest

EMOTIONS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt")

# Dataset id -> class name. AffectNet 8, 9 and 10 are None, Uncertain and No-Face: not emotions.
AFFECTNET = dict(enumerate(EMOTIONS))
AFFECTNET_NOT_EMOTIONS = {8: "None", 9: "Uncertain", 10: "No-Face"}
FER2013 = dict(enumerate(("Anger", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")))
FERPLUS_COLUMNS = {
    "neutral": "Neutral",
    "happiness": "Happy",
    "surprise": "Surprise",
    "sadness": "Sad",
    "anger": "Anger",
    "disgust": "Disgust",
    "fear": "Fear",
    "contempt": "Contempt",
}
RAFDB = dict(enumerate(("Surprise", "Fear", "Disgust", "Happy", "Sad", "Anger", "Neutral"), start=1))
EXPW = dict(enumerate(("Anger", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")))

SYNONYMS = {
    "neutral": "Neutral",
    "calm": "Neutral",
    "happy": "Happy",
    "happiness": "Happy",
    "joy": "Happy",
    "joyful": "Happy",
    "smile": "Happy",
    "sad": "Sad",
    "sadness": "Sad",
    "surprise": "Surprise",
    "surprised": "Surprise",
    "fear": "Fear",
    "fearful": "Fear",
    "afraid": "Fear",
    "scared": "Fear",
    "disgust": "Disgust",
    "disgusted": "Disgust",
    "anger": "Anger",
    "angry": "Anger",
    "contempt": "Contempt",
    "contemptuous": "Contempt",
}


def class_names(classes: int) -> tuple[str, ...]:
    """The names of the set of 1 (every face, whatever its emotion), 6, 7 or 8 classes, in id order."""
    if classes == 1:
        return ("Face",)
    if classes == 6:
        return tuple(name for name in EMOTIONS[:7] if name != "Disgust")
    if classes in (7, 8):
        return EMOTIONS[:classes]
    raise UsageError(
        f"there is no set of {classes} classes", mend="take 1 (Face), 6 (Disgust merged into Anger), 7 or 8"
    )


def class_ids(classes: int) -> dict[str, int]:
    """Class name -> id in the set of `classes`; a name that the set leaves out is absent."""
    if classes == 1:
        return dict.fromkeys(EMOTIONS, 0)
    ids = {name: index for index, name in enumerate(class_names(classes))}
    if classes == 6:
        ids["Disgust"] = ids["Anger"]
    return ids


def canonical(name: str) -> str:
    """The class name for `name` or a synonym of it, in any case; DataError lists the known ones."""
    try:
        return SYNONYMS[name.strip().lower()]
    except KeyError:
        raise DataError(f"'{name}' is not an emotion that emo knows", mend=nearest(name, SYNONYMS)) from None
