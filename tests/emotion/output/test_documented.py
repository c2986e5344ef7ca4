"""docs/outputs.md against the files: every key and column of every output stands in its table, and the reverse."""

import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import cv2
import pytest

from emotion.cli import main

PAGE = Path(__file__).parents[3] / "docs" / "outputs.md"


def tables() -> dict[str, dict[str, list[str]]]:
    """What a table's first heading says -> what stands in backticks in its first column -> the row's other cells."""
    found: dict[str, dict[str, list[str]]] = {}
    about = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells or cells[0].startswith("---"):
            about = about if cells else ""
        elif not about:
            about = cells[0]
            assert about not in found, f"two tables '{about}'"
            found[about] = {}
        else:
            found[about] |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[1:])
    return found


def detect(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    return ended.value.code or 0


@pytest.fixture(scope="module")
def written(tmp_path_factory, squares, video_factory, detector_folder, classifier_folder):
    """Folders of a tracked video, one that is not, and of pictures with and without a face; and what --json printed."""
    here = tmp_path_factory.mktemp("documented")
    scenes = [squares([(index // 10, 1, 1), (3, 3, 2)], scale=4)[0] for index in range(20)]
    video_factory(here / "a.mp4", [*scenes, squares([], scale=4)[0]])
    (here / "pictures").mkdir()
    for name, scene in (("a.png", scenes[0]), ("b.bmp", squares([])[0])):
        cv2.imwrite(str(here / "pictures" / name), scene)
    usual = ("--outputs", "media,jsonl,csv,summary,crops,labels,coco", "--backend", "opencv", "--quiet", "--model")
    for name, source, *more in (
        ("tracked", "a.mp4", detector_folder, "--detect-every", "2"),
        ("raw", "a.mp4", detector_folder, "--raw"),
        ("folder", "pictures", detector_folder),
        ("picture", "pictures/a.png", classifier_folder, "--system", "two-stage", "--face-model", "whole"),
    ):
        assert detect("detect", here / source, "--out", here / name, *usual, *more) == 0
    assert detect("draw", here / "tracked/detections.jsonl", here / "a.mp4", "--out", here / "drawn", *usual[:2]) == 0
    return here


RUNS = ("tracked", "raw", "folder", "picture", "drawn")


def records(written) -> dict[str, list[dict]]:
    """The title of a table -> all the records that it is of."""
    found: dict[str, list[dict]] = defaultdict(list)
    for run in (written / name for name in RUNS):
        header, *frames = [json.loads(line) for line in (run / "detections.jsonl").read_text().splitlines()]
        found["key of the header"].append(header)
        found["key of the settings"].append(header["settings"])
        found["key of the model"] += [header["settings"][key] for key in ("model",) if key in header["settings"]]
        found["key of the tracking"] += [header["settings"][key] for key in ("tracking",) if key in header["settings"]]
        found["key of a frame"] += frames
        found["key of a face"] += [face for frame in frames for face in frame["faces"]]
        coco = json.loads((run / "coco.json").read_text())
        found["key of the file"].append(coco)
        for title, key in (("an image", "images"), ("a category", "categories"), ("an annotation", "annotations")):
            found[f"key of {title}"] += coco[key]
        if (run / "summary.json").exists():
            summary = json.loads((run / "summary.json").read_text())
            found["key of the summary"].append(summary)
            found["key of a track"] += summary["tracks"]
            found["key of a stretch"] += [one for track in summary["tracks"] for one in track["stretches"]]
            found["key of a moment"] += [one for several in summary["strongest"].values() for one in several]
    return found


def test_every_key_of_every_record(written):
    documented = {title: set(keys) for title, keys in tables().items() if title.startswith("key of")}
    found = {title: {key for one in several for key in one} for title, several in records(written).items()}
    documented.pop("key of the run")
    assert found == documented


def test_every_key_of_what_json_prints(written, detector_folder, capsys):
    out = written / "json"
    assert detect("detect", written / "a.mp4", "--model", detector_folder, "--limit", 2, "--json", "--out", out) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(tables()["key of the run"])


def columns(title, names) -> list[str]:
    return [column for key in tables()[title] for column in (names if key == "<class>" else [key])]


def test_every_column(written):
    names = json.loads((written / "tracked/detections.jsonl").read_text().splitlines()[0])["names"]
    for run in RUNS:
        header, *rows = csv.reader((written / run / "detections.csv").open())
        tracked = run in ("tracked", "drawn")  # results bring their numbers
        assert header == [name for name in columns("column of the faces", names) if tracked or name != "track"], run
        assert (written / run / "tracks.csv").exists() == tracked, run
        assert any(not any(row[3:]) for row in rows) == (run != "picture"), run
    header, *rows = csv.reader((written / "tracked/tracks.csv").open())
    assert header == columns("column of the tracks", names) and rows


def test_every_type_of_the_parquet(written, detector_folder):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    out = written / "parquet"
    usual = ("--model", detector_folder, "--outputs", "parquet", "--quiet", "--out", out)
    assert detect("detect", written / "a.mp4", "--limit", 3, *usual) == 0
    schema = parquet.read_schema(out / "detections.parquet")
    table = tables()["column of the faces"]
    assert [name for name in schema.names if name in table] == [name for name in table if name != "<class>"]
    for field in schema:
        assert str(field.type) == table.get(field.name, table["<class>"])[0], field


def test_every_file(written):
    """The tables' patterns match all that is written, and each of them something."""
    patterns = [
        re.compile(re.sub(r"<\w+>", "[^/]+", re.escape(name).replace(r"\.", "[.]")))
        for name in [*tables()["file"], *(name for title in titles() for name in re.findall(r"\S+[.]\w+", title))]
    ]
    plain = {"timeline.png", "summary.html"}  # told of in the text
    files = {
        path.relative_to(written / run).as_posix()
        for run in (*RUNS, "parquet")
        for path in (written / run).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    assert plain <= files and all(f"`{name}`" in PAGE.read_text() for name in plain)
    assert {name for name in files - plain if not any(one.fullmatch(name) for one in patterns)} == set()
    unused = {one.pattern for one in patterns if not any(one.fullmatch(name) for name in files)}
    assert unused <= {"annotated[.]jpg", "detections[.]parquet"}  # of a JPEG, and of the extra


def titles() -> list[str]:
    return re.findall(r"^## (.*)$", PAGE.read_text(), re.M)
