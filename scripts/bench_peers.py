#!/usr/bin/env python3
"""Other packages' facial emotions as results that `emo compare` judges beside emo's own.

    python -m venv peers && peers/bin/pip install tensorflow-cpu "opencv-python-headless<5" scikit-image
    peers/bin/pip install --no-deps fer facex
    peers/bin/python scripts/bench_peers.py fer --data data/lfw/emo.data --out fer.csv
    npm install @vladmandic/face-api @tensorflow/tfjs @tensorflow/tfjs-backend-wasm                # for face-api
    python scripts/bench_peers.py face-api --data data/lfw/emo.data --out face-api.csv
    peers/bin/python scripts/bench_peers.py fer --video talk.mp4 --limit 120     # frames/s, to set beside emo detect
    emo compare yolo vs two-stage vs file:fer.csv vs file:face-api.csv --data data/lfw/emo.data

Runs inside a peer's own environment, not emo's, and needs nothing of emo: the list of the .data file (--split) comes
in, a CSV of faces goes out (picture, x1, y1, x2, y2, face, emotion, score, and a column a class), and on stderr the
milliseconds a picture (median and 95th percentile, one thread, the first three left out) and the peak of memory. With
--whole, for a classifier's set, each picture is taken for a face. A peer whose package or weights are not there is left
out with a line.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")

CLASSES = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
SAID = {
    "angry": "Anger",
    "anger": "Anger",
    "disgust": "Disgust",
    "fear": "Fear",
    "happy": "Happy",
    "neutral": "Neutral",
    "sad": "Sad",
    "sadness": "Sad",
    "surprise": "Surprise",
    "surprised": "Surprise",
    "fearful": "Fear",
    "disgusted": "Disgust",
    "happiness": "Happy",
}

Found = list[tuple]  # (xyxy in pixels, scores by the peer's names[, how sure it is a face])


def lite_for_tensorflow() -> None:
    """Let `import tensorflow` give LiteRT (ai-edge-litert), the same interpreter, all that fer asks for."""
    from ai_edge_litert.interpreter import Interpreter

    for name in ("tensorflow", "tensorflow.keras", "tensorflow.keras.models"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["tensorflow"].lite = types.SimpleNamespace(Interpreter=Interpreter)
    sys.modules["tensorflow.keras.models"].load_model = None


class Fer:
    """fer (MIT): Haar and a mini-XCEPTION of 64 px, its quantised TFLite or, as `fer-keras`, its Keras file."""

    def __init__(self, tflite: bool = True):
        if tflite and find_spec("tensorflow") is None:
            lite_for_tensorflow()
        from fer.fer import FER

        self.faces = FER(use_tflite=tflite)
        self.crops = FER(use_tflite=tflite, offsets=(0, 0))  # a picture that is a face needs no margin

    def find(self, bgr) -> Found:
        return [
            ((x, y, x + w, y + h), face["emotions"])
            for face in self.faces.detect_emotions(bgr)
            for x, y, w, h in [map(float, face["box"])]
        ]

    def whole(self, bgr) -> dict[str, float]:
        height, width = bgr.shape[:2]
        return self.crops.detect_emotions(bgr, face_rectangles=[(0, 0, width, height)])[0]["emotions"]


class Facex:
    """facex: Haar and a small network in TFLite."""

    def __init__(self):
        import facex.core

        self.worker = facex.core.EmotionClassifier(
            str(Path(facex.core.__file__).parent / "assets" / "model_optimized.tflite")
        )

    def find(self, bgr) -> Found:
        return [
            ((x, y, x + w, y + h), face["emot"])
            for face in self.worker.predict(bgr)
            for x, y, w, h in [map(float, face["bbox"])]
        ]

    def whole(self, bgr) -> dict[str, float]:
        import cv2

        return self.worker.detect_emotion(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))


class HsEmotion:
    """hsemotion-onnx (Apache-2.0): EfficientNet-B0 of AffectNet behind OpenCV's Haar. It fetches its weights when
    it is first used; `hsemotion-b2` is the larger one.
    """

    def __init__(self, model: str = "enet_b0_8_best_vgaf"):
        import urllib.request  # noqa: F401  which the package uses and does not import

        import cv2
        from hsemotion_onnx.facial_emotions import HSEmotionRecognizer

        self.worker = HSEmotionRecognizer(model)
        self.finder = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

    def find(self, bgr) -> Found:
        import cv2

        boxes = self.finder.detectMultiScale(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), 1.1, 5)
        return [((x, y, x + w, y + h), self.whole(bgr[y : y + h, x : x + w])) for x, y, w, h in map(ints, boxes)]

    def whole(self, bgr) -> dict[str, float]:
        import cv2

        _, scores = self.worker.predict_emotions(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), logits=False)
        return {name: float(scores[index]) for index, name in self.worker.idx_to_class.items()}


def ints(box) -> tuple[int, ...]:
    return tuple(map(int, box))


NODE = """
const fs = require("fs"), path = require("path"), faceapi = require("@vladmandic/face-api/dist/face-api.node-wasm.js");
const wasm = require("@tensorflow/tfjs-backend-wasm"), tf = faceapi.tf;
function read(count) {
  const bytes = Buffer.alloc(count);
  for (let at = 0; at < count; ) {
    const got = fs.readSync(0, bytes, at, count - at);
    if (!got) process.exit(0);
    at += got;
  }
  return bytes;
}
(async () => {
  wasm.setWasmPaths(path.dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + "/");
  await tf.setBackend("wasm");
  await tf.ready();
  const model = path.join(path.dirname(require.resolve("@vladmandic/face-api/package.json")), "model");
  await faceapi.nets.ssdMobilenetv1.loadFromDisk(model);
  await faceapi.nets.faceExpressionNet.loadFromDisk(model);
  const options = new faceapi.SsdMobilenetv1Options({ minConfidence: 0.1 });
  fs.writeSync(1, "ready\\n");
  for (;;) {
    const head = read(12), [width, height, whole] = [0, 4, 8].map((at) => head.readUInt32LE(at));
    const picture = tf.tensor3d(new Uint8Array(read(width * height * 3)), [height, width, 3], "int32");
    let faces;
    if (whole) {
      const said = await faceapi.nets.faceExpressionNet.predictExpressions(picture);
      faces = [{ box: [0, 0, width, height], face: 1, said }];
    } else
      faces = (await faceapi.detectAllFaces(picture, options).withFaceExpressions()).map((each) => ({
        box: [each.detection.box.left, each.detection.box.top, each.detection.box.right, each.detection.box.bottom],
        face: each.detection.score,
        said: each.expressions,
      }));
    picture.dispose();
    fs.writeSync(1, JSON.stringify(faces) + "\\n");
  }
})();
"""


class FaceApi:
    """@vladmandic/face-api (MIT), the upkept face-api.js: SSD MobileNet and a network of 0.3 MB, in Node's WebAssembly;
    its weights come inside the package, which is looked for in the folder where this is started.
    """

    def __init__(self):
        self.node = subprocess.Popen(
            ["node", "-e", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.pid = self.node.pid
        if self.node.stdout.readline().strip() != b"ready":
            told = self.node.stderr.read().decode(errors="replace").splitlines()
            raise ImportError(next((line for line in told if "Error" in line), "node ended"))

    def ask(self, bgr, whole: bool) -> list[dict]:
        height, width = bgr.shape[:2]
        head = b"".join(value.to_bytes(4, "little") for value in (width, height, whole))
        self.node.stdin.write(head + bgr[..., ::-1].tobytes())
        self.node.stdin.flush()
        return json.loads(self.node.stdout.readline())

    def find(self, bgr) -> Found:
        return [(tuple(face["box"]), face["said"], face["face"]) for face in self.ask(bgr, False)]

    def whole(self, bgr) -> dict[str, float]:
        return self.ask(bgr, True)[0]["said"]


PEERS = {
    "fer": Fer,
    "fer-keras": lambda: Fer(tflite=False),
    "facex": Facex,
    "hsemotion": HsEmotion,
    "hsemotion-b2": lambda: HsEmotion("enet_b2_8"),
    "face-api": FaceApi,
}


def pictures(data: Path, split: str) -> Iterator[Path]:
    """Those of a split's list, as Darknet's .data file names it."""
    options = dict(
        part
        for line in data.read_text().splitlines()
        if "=" in line
        for part in [[word.strip() for word in line.split("=", 1)]]
    )
    if split not in options:
        sys.exit(f"{data}: names no {split} list")
    listed = next((path for path in (data.parent / options[split], Path(options[split])) if path.is_file()), None)
    if listed is None:
        sys.exit(f"{data}: its {split} list {options[split]} is not there")
    for line in listed.read_text().splitlines():
        if line.strip():
            yield next((path for path in (listed.parent / line, Path(line)) if path.is_file()), Path(line))


def scores_of(said: dict) -> dict[str, float]:
    """By emo's names."""
    return {SAID[name.lower()]: float(value) for name, value in said.items() if name.lower() in SAID}


def peak_megabytes(pid: int | str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def frames_a_second(peer, video: Path, limit: int | None) -> float:
    """Decoding and finding, as people write the loop."""
    import cv2

    capture, done, start = cv2.VideoCapture(str(video)), 0, time.perf_counter()
    while done != limit and (got := capture.read())[0]:
        peer.find(got[1])
        done += 1
    return done / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="a .data file")
    source.add_argument("--video", type=Path, help="print frames/s on this video; nothing is written")
    parser.add_argument("--split", default="valid")
    parser.add_argument("--whole", action="store_true", help="each picture is a face, as in a classifier's set")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, help="the CSV, with --data")
    args = parser.parse_args()
    if args.data and not args.out:
        parser.error("--data needs --out")
    import cv2

    cv2.setNumThreads(1)
    try:
        peer, times = PEERS[args.peer](), []
    except (ImportError, OSError) as error:  # the package, or the weights that it fetches
        sys.exit(f"{args.peer}: left out: {type(error).__name__}: {error}")
    if args.video:
        print(f"{args.peer}: {frames_a_second(peer, args.video, args.limit):.1f} frames/s", file=sys.stderr)
        return
    with open(args.out, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["picture", "x1", "y1", "x2", "y2", "face", "emotion", "score", *CLASSES])
        for path in list(pictures(args.data, args.split))[: args.limit]:
            bgr = cv2.imread(str(path))
            if bgr is None:
                sys.exit(f"{path}: cannot be read")
            start = time.perf_counter()
            found = [((0, 0, bgr.shape[1], bgr.shape[0]), peer.whole(bgr))] if args.whole else peer.find(bgr)
            times.append(1000 * (time.perf_counter() - start))
            for box, said, *face in found:
                scores = scores_of(said)
                best = max(scores, key=scores.get)
                out.writerow(
                    [
                        path.name,
                        *(f"{value:.1f}" for value in box),
                        f"{face[0]:.6f}" if face else 1,
                        best,
                        f"{scores[best]:.6f}",
                        *(f"{scores.get(name, 0):.6f}" for name in CLASSES),
                    ]
                )
    times = sorted(times[3:]) or times
    half, most = times[(len(times) - 1) // 2], times[int(0.95 * (len(times) - 1))]
    print(
        f"{args.peer}: {half:.1f} ms a picture, 95% within {most:.1f}; "
        f"peak of memory {peak_megabytes(getattr(peer, 'pid', 'self')):.0f} MB",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
