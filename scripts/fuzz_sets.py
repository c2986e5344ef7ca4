"""Small good datasets of every kind, a file of each to be broken, and the reader that people reach it by (see
`fuzz.py`).
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from converters.errors import EmoError


@dataclass(frozen=True)
class Target:
    """`make(folder)` writes a good dataset and gives the file to break; `use(folder)` reads it as a command does."""

    make: Callable[[Path], Path]
    use: Callable[[Path], object]


def picture(path: Path, size: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(len(path.name)).integers(0, 256, (6, 6, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC))


def written(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def dataset(kind: str, name: str = "") -> Callable[[Path], object]:
    """Read a dataset whole, and make the rows into a detector's or crops' files."""

    def use(folder: Path):
        from converters.convert import Settings, convert

        for task in ("detector", "npz"):
            with tempfile.TemporaryDirectory() as out:
                convert(
                    [(kind, str(folder / name))],
                    Path(out) / "out",
                    Settings(task=task, size=(64, 64), scenes=1),
                    jobs=1,
                )

    return use


def affectnet(folder: Path) -> Path:
    picture(folder / "Manually_Annotated_Images" / "1" / "a.jpg")
    rows = ["subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"]
    rows += [f"1/a.jpg,{x},4,30,40,1.5;2;3;4,{x % 8},-0.1,0.2" for x in (1, 9, 30)]
    return written(folder / "training.csv", "\n".join(rows) + "\n")


def affectnet_arrays(folder: Path) -> Path:
    picture(folder / "train_set" / "images" / "0.jpg")
    (folder / "train_set" / "annotations").mkdir()
    np.save(folder / "train_set" / "annotations" / "0_lnd.npy", np.arange(136.0))
    np.save(folder / "train_set" / "annotations" / "0_exp.npy", np.array("3"))
    return folder / "train_set" / "annotations" / "0_exp.npy"


def fer2013(folder: Path) -> Path:
    rows = [
        f"{i % 7},{' '.join(map(str, np.random.default_rng(i).integers(0, 256, 2304)))},{('Training', 'PublicTest')[i % 2]}"  # noqa: E501
        for i in range(2)
    ]
    return written(folder / "fer2013.csv", "\n".join(["emotion,pixels,Usage", *rows]) + "\n")


def ferplus(folder: Path) -> Path:
    fer2013(folder)
    columns = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    return written(
        folder / "fer2013new.csv",
        f"{columns}\nTraining,fer0000000.png,8,1,0,0,0,1,0,0,0,0\nPublicTest,fer0000001.png,0,6,4,0,0,0,0,0,0,0\n",
    )


def expw(folder: Path) -> Path:
    picture(folder / "image" / "origin" / "a.jpg")
    return written(folder / "label.lst", "a.jpg 0 1 2 30 40 9.5 6\na.jpg 1 33 2 60 60 9 3\n")


def rafdb(folder: Path, which: str = "EmoLabel/list_patition_label.txt") -> Path:
    picture(folder / "Image" / "original" / "train_00001.jpg")
    written(folder / "Annotation" / "boundingbox" / "train_00001_boundingbox.txt", "3.5 4 40 50\n")
    written(folder / "EmoLabel" / "list_patition_label.txt", "train_00001.jpg 5\n")
    return folder / which


def coco(folder: Path) -> Path:
    picture(folder / "images" / "a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "images/a.jpg", "width": 64, "height": 64}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[1, 2, 60, 2, 60, 50]]},
            {
                "id": 3,
                "image_id": 1,
                "category_id": 2,
                "segmentation": {"size": [64, 64], "counts": [130, 20, 44, 20, 3882]},
            },
        ],
        "categories": [{"id": 1, "name": "Happy"}, {"id": 2, "name": "sad"}],
    }
    return written(folder / "annotations.json", json.dumps(content))


def darknet(which: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for name in ("a", "b"):
            picture(folder / "train" / f"{name}.jpg")
            written(folder / "train" / f"{name}.txt", "1 0.5 0.5 0.25 0.3\n2 0.2 0.2 0.1 0.1\n")
        written(folder / "emo.names", "Neutral\nHappy\nSad\n")
        written(folder / "train.txt", "train/a.jpg\ntrain/b.jpg\n")
        written(folder / "emo.data", "classes = 3\ntrain = train.txt\nnames = emo.names\nbackup = backup\ntop = 2\n")
        written(
            folder / "manifest.csv",
            "image,split,emotion,group\ntrain/a.jpg,train,Happy,ann\ntrain/b.jpg,train,Sad,bob\n",
        )
        written(folder / "report.json", '{"classes": {"0": "Neutral"}, "balanced": 1}')
        return folder / which

    return make


def darknet_use(folder: Path):
    from converters.darknet_format.dataset import load
    from converters.dataset import check, edit, stats

    for step in (
        lambda: stats.text(stats.summary(load(folder), stats.measure(load(folder)))),
        lambda: check.check(load(folder), jobs=1),
        lambda: edit.split(load(folder), folder / "split", {"valid": 0.5}),
        lambda: dataset("yolo")(folder),
        lambda: _checks(folder),
    ):
        try:
            step()
        except EmoError as error:
            _one_line(error)


def _checks(folder: Path) -> None:
    from converters.darknet_format.dataset import find_data
    from converters.darknet_format.files import read_data
    from darknet_runner.run.preflight_files import check_files, check_lists

    data = read_data(find_data(folder))
    check_lists(data, "train")
    check_files(data, "train")


def data_yaml(folder: Path) -> Path:
    darknet("emo.data")(folder).unlink()
    return written(
        folder / "data.yaml",
        "path: .\ntrain: train\nval: train.txt\nnc: 3\nnames:\n  0: Neutral\n  1: Happy\n  2: Sad\n",
    )


def findings(suffix: str, text: str) -> Target:
    def use(folder: Path):
        from converters.dataset.edit import read_findings

        return read_findings(folder / f"found{suffix}")

    return Target(lambda folder: written(folder / f"found{suffix}", text), use)


def arrays(form: str, name: str) -> Target:
    def make(folder: Path) -> Path:
        content = {
            "images": np.zeros((2, 8, 8), np.uint8),
            "labels": np.arange(2),
            "classes": np.array(["Neutral", "Happy"]),
            "landmarks": np.zeros((2, 5, 2)),
            "votes": np.eye(2),
        }
        path = folder / name
        if form == "npz":
            np.savez(path, **content)
        elif form == "pickle":
            path.write_bytes(pickle.dumps(content, 4))
        else:
            import h5py

            with h5py.File(path, "w") as file:
                file.attrs["classes"] = ["Neutral", "Happy"]
                for key in ("images", "labels", "landmarks", "votes"):
                    file[key] = content[key]
        return path

    return Target(make, dataset(form))


def metrics_use(folder: Path):
    from darknet_runner.run import metrics_plot

    metrics_plot.draw(metrics_plot.read_metrics(folder / "metrics.csv"), folder / "chart.png")


def _one_line(error: EmoError) -> None:
    if "\n" in str(error):
        raise AssertionError(f"an error of two lines: {error}")


SETS: dict[str, Target] = {
    "affectnet": Target(affectnet, dataset("affectnet")),
    "affectnet-arrays": Target(affectnet_arrays, dataset("affectnet")),
    "fer2013": Target(fer2013, dataset("fer2013")),
    "ferplus": Target(ferplus, dataset("ferplus")),
    "expw": Target(expw, dataset("expw")),
    "rafdb": Target(rafdb, dataset("rafdb")),
    "rafdb-box": Target(
        lambda folder: rafdb(folder, "Annotation/boundingbox/train_00001_boundingbox.txt"), dataset("rafdb")
    ),
    "coco": Target(coco, dataset("coco")),
    "label": Target(darknet("train/a.txt"), darknet_use),
    "list": Target(darknet("train.txt"), darknet_use),
    "data": Target(darknet("emo.data"), darknet_use),
    "names": Target(darknet("emo.names"), darknet_use),
    "manifest": Target(darknet("manifest.csv"), darknet_use),
    "report": Target(darknet("report.json"), darknet_use),
    "data.yaml": Target(data_yaml, darknet_use),
    "findings-csv": findings(".csv", "code,severity,subset,file,line,message\nleak,error,train,a.jpg,1,x\n"),
    "findings-json": findings(
        ".json",
        (
            '{"findings": [{"code": '
            '"leak", '
            '"severity": '
            '"error", '
            '"subset": '
            '"train", '
            '"file": '
            '"a.jpg", '
            '"line": 1, '
            '"message": "x"}]}'
        ),
    ),
    "hdf5": arrays("hdf5", "train.h5"),
    "npz": arrays("npz", "train.npz"),
    "pickle": arrays("pickle", "train.pkl"),
    "metrics": Target(
        lambda folder: written(
            folder / "metrics.csv", "iteration,loss,rate,map\n1,2.5,0.001,\n2,2.4,0.001,0.5\n3,nan,0.001,0.6\n"
        ),
        metrics_use,
    ),
}
