"""What `import emotion` gives. Each function does what the command of its name does; nothing heavy is imported before
it is called.

system = emotion.load("yolo")
for result in system.stream("video.mp4", track=True): print(result.emotions)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darknet_runner.engine import TrainResult

    from .run_detection import Summary
    from .system import System


def load(
    model: str | Path = "yolo",
    *,
    face_model: str | None = None,
    conf: float = 0.25,
    iou: float = 0.45,
    square: bool = False,
    backend: str = "auto",
    device: str = "auto",
) -> System:
    """Open a system.

    model       a system as `emo compare` names it (`yolo`, `two-stage`, `two-stage:yunet+emo-s`,
                `yolo:runs/v4-tiny-001`), or any model: a shipped one's name, a model or run folder, a .cfg or .weights.
                A classifier gets a face finder
    face_model  the face finder of a two-stage system that names none: yunet, ssd, face-nano, haar, or a file
    conf        score below which a face is dropped
    iou         overlap above which NMS drops the weaker box of a YOLO
    square      put the whole letter box through a YOLO, grey bars too, as Darknet does
    backend     what computes the networks: auto, opencv, onnx or torch
    device      auto, cpu, cuda or cuda:N
    UsageError for a model, system or backend there is not, WeightsError for weights that do not fit.

    >>> import emotion
    >>> emotion.load("two-stage:haar")
    <System two-stage: Neutral, Happy, Sad, Surprise, Fear, Disgust, Anger>
    """
    from dataclasses import replace

    from converters.errors import UsageError

    from .system import System
    from .systems import models
    from .systems.open import SYSTEMS, SystemSettings, open_system

    _check_names(model=model)
    spec = str(model or "")
    if not spec:
        raise UsageError("no model is named", mend="emotion.load() opens yolo, emotion.load('two-stage') the other")
    if spec.partition(":")[0] not in SYSTEMS or Path(spec).exists():
        spec = f"yolo:{spec}" if models.find(spec, None).task == "detector" else f"two-stage:{face_model or ''}+{spec}"

    settings = SystemSettings(face_model=face_model, conf=conf, iou=iou, square=square, backend=backend, device=device)

    def open_detector(least: float) -> Any:
        return open_system(spec, replace(settings, conf=least))

    return System(open_detector, conf)


def detect(
    source: str | Path,
    model: str | Path = "yolo",
    *,
    out: str | Path | None = None,
    track: bool | None = None,
    smooth: float = 0.5,
    limit: int | None = None,
    outputs: Collection[str] | None = None,
    force: bool = False,
    **settings: Any,
) -> Summary:
    """Find the faces of a picture, folder, video, camera or stream and write files, as `emo detect` does.

    track     follow the faces; default: of a video
    out       the folder; default detect-out/<name of the source>, or with -2, -3 ... when that is taken
    outputs   of media, jsonl, csv, summary ...; default: those of the command, see `run_detection.OUTPUTS`
    settings  of `load`: face_model, conf, iou, square, backend, device
    The Summary holds counts, times and the files. To have the faces in memory take `load(...).stream(source)`.

    >>> import emotion
    >>> emotion.detect("group.jpg", out="found").faces
    9
    """
    from .run_detection import USUAL, run
    from .sources.open import open_source
    from .systems.tracking import Tracker

    system, opened = load(model, **settings), open_source(source, limit)
    tracker = Tracker(system.conf, smooth) if track or (track is None and opened.kind == "video") else None
    detector = system.with_least(tracker.low) if tracker else system.detector
    return run(opened, detector, out, force=force, outputs=USUAL if outputs is None else outputs, tracker=tracker)


def evaluate(
    models: str | Path | Sequence[str | Path],
    data: str | Path | None = None,
    split: str = "valid",
    *,
    out: str | Path | None = None,
    tta: str | int | None = None,
    top: int | None = None,
    force: bool = False,
    **settings: Any,
) -> dict:
    """Measure one or several models on a labelled set, as `emo evaluate` does; what its report.json holds.

    data      a .data file or the folder that holds one; default: the run's, or the one under ./data that fits
    out       the folder; default evaluate-out/<model>
    tta       look at each face in so many views, or in ten crops (`tencrop`), and average
    top       k of top-k; default: as the .data file says
    settings  of `comparison.settings.Settings`: conf, iou, square, face_model, backend, device, limit, replicates, seed
    """
    from .comparison.evaluate import evaluate as run
    from .comparison.settings import Settings

    specs = _several(models, "model")
    _check_names(data=data, out=out)
    chosen = Settings(split=split, **settings)
    return run([str(spec) for spec in specs], data, settings=chosen, out=out, tta=tta, top=top, force=force)


def compare(
    *systems: str | Path,
    data: str | Path | None = None,
    media: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    memory: bool = False,
    clip: bool = False,
    force: bool = False,
    **settings: Any,
) -> dict:
    """Compare two or more systems on labelled `data`, on `media`, or on the media that ship, as `emo compare` does.

    out       the folder; default compare-out/<system>-vs-<system>
    memory    measure each system's peak of memory, in a process of its own
    clip      of a video, write the systems side by side too
    settings  of `comparison.settings.Settings`: split, conf, iou, square, face_model, backend, device, limit,
              replicates, seed
    What compare.json holds comes back.
    """
    from .comparison.compare import run
    from .comparison.settings import Settings

    specs = [str(system) for system in _several(systems, "system")]
    _check_names(data=data, out=out)
    chosen = Settings(**settings)
    return run(
        specs,
        data=data,
        media=_several(media, "media"),
        out=out,
        settings=chosen,
        memory=memory,
        clip=clip,
        force=force,
    )


def convert(
    kind: str,
    source: str | Path | None = None,
    out: str | Path | None = None,
    *,
    jobs: int | None = None,
    force: bool = False,
    limit: int | None = None,
    **settings: Any,
) -> dict:
    """Turn a dataset into Darknet files, as `emo convert` does; what its report.json holds.

    kind      affectnet, fer2013, ferplus, folder, rafdb, expw, yolo, coco, hdf5, npz, pickle
    source    its folder or list; default: a folder of its name here
    out       default data/<kind>-<task>
    settings  of `converters.convert.Settings`: task, classes, valid, size, scenes ...
    """
    from converters.convert import Settings, convert as run

    _check_names(kind=kind, source=source, out=out)
    chosen = Settings(**settings)
    sources = [(kind, None if source is None else str(source))]
    return run(sources, out or f"data/{kind}-{chosen.task}", chosen, jobs=jobs, force=force, limit=limit)


def train(network: str | Path, data: str | Path | None = None, *, quiet: bool = False, **settings: Any) -> TrainResult:
    """Train a network, as `emo train` does; how it ended, and in which run folder.

    network   a shipped cfg's name or a .cfg file
    data      a .data file, or what `emo train --data` takes; default: the set under ./data that fits
    quiet     neither progress nor notes on stderr
    settings  of `darknet_runner.train_settings.TrainSettings`: recipe, pretrained, iterations, engine, device, runs,
              name, seed ...; and of the recipe: epochs, batch, size, learning_rate, optimizer, patience, mixup ...
    EmoError when the training cannot begin; how it ended is in the result's `verdict`.
    """
    from darknet_runner import training
    from darknet_runner.reporting import TerminalReporter
    from darknet_runner.train_settings import TrainSettings

    from .systems import models

    _check_names(network=network, data=data, pretrained=settings.get("pretrained"))
    if settings.get("pretrained") is not None:
        settings["pretrained"] = models.to_begin_with(settings["pretrained"])
    return training.train(network, data, TrainSettings.of(**settings), TerminalReporter(quiet))


def _check_names(**values: object) -> None:
    """UsageError for what is neither text nor a path, nor None: an array, a list."""
    from converters.errors import UsageError

    for what, value in values.items():
        if value is not None and not isinstance(value, (str, Path)):
            shown = " ".join(repr(value).split())[:60]
            raise UsageError(f"{what} = {shown} ({type(value).__name__}) is not a name or path")


def _several(given: Any, what: str) -> list[str | Path]:
    """One name, or a sequence of them, as a list."""
    one = given is None or isinstance(given, (str, Path)) or not isinstance(given, Sequence)
    some = [given] if one else list(given)
    for value in some:
        _check_names(**{what: value})
    return [] if one and given is None else some
