"""How near `emo detect` comes to its network's bare forward pass, and how far ahead of the usual loop it is.

    python scripts/bench_detect.py video.mp4
    python scripts/bench_detect.py video.mp4 --threads 1 --rounds 5 --face yunet --json

Of each system, backend and number of threads: frames/s of the forward passes alone, on inputs made before (of two-stage
the face finder on the decoded frames and the classifier on as many crops as it finds), and of `emo detect` on the video
with all outputs. "The usual loop" is what people write: Haar on the whole frame in OpenCV's own steps, then one call of
a PyTorch network a face, then cv2.VideoWriter; it is left out where PyTorch is not installed. Everything runs in turn,
in rounds; the best round of each counts, since other programs can only slow it down. "around" is the CPU time that emo
takes beside the networks', in ms a frame (all threads, the least of the rounds, less the bare pass's): what other
programs at work disturb least.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import click

from emotion import run_detection
from emotion.cli.printing import columns
from emotion.sources.open import open_source
from emotion.systems import models
from emotion.systems.backends import set_threads
from emotion.systems.open import SystemSettings, open_system
from emotion.systems.tracking import Tracker


@click.command()
@click.argument("video", type=click.Path(exists=True))
@click.option("--frames", default=120, show_default=True, help="Of the video.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--backend", "backends", multiple=True, default=("opencv", "onnx"), show_default=True)
@click.option("--face", default=None, help="Face finder of two-stage; default: the best at hand.")
@click.option("--json", "as_json", is_flag=True)
def main(video, frames, rounds, threads, backends, face, as_json):
    """Print a table: frames/s bare, of emo, their ratio, emo against the usual loop, and CPU ms around the networks."""
    best: dict[tuple, dict[str, float]] = {}
    for number in range(rounds):
        for count in threads:
            set_threads(count)
            loop = usual_loop(video, frames, count)
            for system in ("yolo", "two-stage"):
                for backend in backends:
                    detector = open_system(system, SystemSettings(backend=backend, face_model=face))
                    kept = best.setdefault((system, backend, count), {})
                    # One after the other, so that what else the machine does meets both.
                    (bare_rate, bare_ms), (rate, ms) = bare(detector, video, frames), emo(detector, video, frames)
                    for name, value in {"bare": bare_rate, "emo": rate, "loop": loop}.items():
                        if value:
                            kept[name] = max(kept.get(name, 0.0), value)
                    for name, value in {"bare_ms": bare_ms, "ms": ms}.items():
                        kept[name] = min(kept.get(name, value), value)
        click.echo(f"round {number + 1} of {rounds}", err=True)
    rows = [
        {
            "system": system,
            "backend": backend,
            "threads": count,
            "finder": face or open_system("two-stage").settings["face"]["finder"] if system == "two-stage" else None,
            "bare": round(kept["bare"], 1),
            "emo": round(kept["emo"], 1),
            "of_bare": round(kept["emo"] / kept["bare"], 2),
            "loop": round(kept["loop"], 1) if "loop" in kept else None,
            "of_loop": round(kept["emo"] / kept["loop"], 1) if "loop" in kept else None,
            "around": round(kept["ms"] - kept["bare_ms"], 1),
        }
        for (system, backend, count), kept in best.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        columns(
            tuple(rows[0]), [["" if value is None else value for value in row.values()] for row in rows], left=(0, 1, 3)
        )


def bare(detector, video, frames: int) -> tuple[float, float]:
    """Frames/s of the networks alone, and their CPU time in ms a frame."""
    pictures = [frame.bgr for frame in open_source(video, min(frames, 40))]
    if detector.name == "yolo":
        blobs = [detector.prepare([picture])[0] for picture in pictures]
        work = [(detector.backend_for(blob).forward, blob) for blob in blobs]
    else:
        from darknet_runner.network import resize

        cfg, work = detector.classifier.model.cfg, []
        for picture in pictures:
            work.append((detector.finder.find, picture))
            if faces := len(detector.finder.find(picture)[0]):
                work.append(
                    (
                        detector.classifier.backend.forward,
                        resize.blob([picture[:200, :200]] * faces, cfg.size_wh, cfg.net.integer("channels", 3)),
                    )
                )
    work[0][0](work[0][1])
    start, spent = time.perf_counter(), time.process_time()
    for function, value in work:
        function(value)
    spent = time.process_time() - spent
    return len(pictures) / (time.perf_counter() - start), 1000 * spent / len(pictures)


def emo(detector, video, frames: int) -> tuple[float, float]:
    """Frames/s of `emo detect`, with all that it writes of a video, and faces followed; its CPU time in ms a frame."""
    with tempfile.TemporaryDirectory() as folder:
        out, spent = Path(folder) / "out", time.process_time()
        done = run_detection.run(video, detector, out, limit=frames, tracker=Tracker())
        return done.frames_per_s, 1000 * (time.process_time() - spent) / done.frames


def usual_loop(video, frames: int, threads: int) -> float | None:
    """Frames/s of Haar, a network a face, a VideoWriter; None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    import cv2

    from darknet_runner.builtin.network import Network
    from darknet_runner.network import weights_file

    torch.set_num_threads(threads)
    model = models.find(None, "classifier")
    network = Network(model.cfg)
    network.load(weights_file.read(model.cfg, model.weights))
    network.eval()
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    capture, done, start = cv2.VideoCapture(str(video)), 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        writer = None
        while done < min(frames, 20) and (got := capture.read())[0]:
            frame = got[1]
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            writer = writer or cv2.VideoWriter(
                f"{folder}/out.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 25, frame.shape[1::-1]
            )
            for x, y, w, h in cascade.detectMultiScale(grey):
                crop = cv2.resize(grey[y : y + h, x : x + w], model.cfg.size_wh)
                with torch.no_grad():
                    scores = network.probabilities(torch.from_numpy(crop)[None, None].float() / 255)[0]
                cv2.rectangle(frame, (x, y), (x + w, y + h), (0, 255, 0), 2)
                cv2.putText(
                    frame, model.names[int(scores.argmax())], (x, y - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 255, 0), 2
                )
            writer.write(frame)
            done += 1
        if writer:
            writer.release()
    return done / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
