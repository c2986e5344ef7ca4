"""`emo runs`: the commands, on run folders written by hand."""

import csv
import io
import json

import pytest

from emotion.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name, rate, top1 in (("a-001", 0.01, 0.4), ("b-001", 0.001, 0.6)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        told = {
            "engine": "builtin",
            "verdict": "finished",
            "started": f"2026-01-0{1 + (name > 'b')}T00:00:00",
            "iterations": 20,
            "settings": {"learning_rate": rate},
        }
        (folder / "run.json").write_text(json.dumps(told))
        (folder / "metrics.csv").write_text(f"iteration,loss,top1\n20,1.5,{top1}\n")
        (folder / "model.cfg").write_text(
            f"[net]\nwidth={32 if name < 'b' else 64}\nheight=32\nchannels=3\n[softmax]\n"
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def emo(capsys, *args):
    with pytest.raises(SystemExit) as end:
        main(["runs", *map(str, args)])
    return end.value.code, *capsys.readouterr()


def test_list(here, capsys):
    code, out, _ = emo(capsys, "list")
    assert code == 0 and out.index("b-001") < out.index("a-001") and "learning_rate" in out and "0.6" in out
    code, out, _ = emo(capsys, "list", "--sort", "learning-rate", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["run"], row["learning_rate"], row["top1"]) for row in rows] == [
        ("runs/b-001", "0.001", "0.6"),
        ("runs/a-001", "0.01", "0.4"),
    ]
    code, out, _ = emo(capsys, "list", "--sort", "top1", "--json")
    assert [row["top1"] for row in json.loads(out)] == [0.6, 0.4]
    code, _, err = emo(capsys, "list", "--sort", "top2")
    assert code == 2 and "did you mean 'top1'" in err
    code, _, err = emo(capsys, "list", "--runs", "nothing")
    assert code == 2 and "no such folder" in err


def test_a_setting_of_a_columns_name_has_a_column_of_its_own(here, capsys):
    """A run that was stopped at 20 of 500 iterations, and one that has done its 100."""
    for name, asked, done in (("a-001", 500, 20), ("b-001", 100, 100)):
        path = here / "runs" / name / "run.json"
        told = json.loads(path.read_text())
        path.write_text(json.dumps(told | {"iterations": done, "settings": {"iterations": asked}}))
    for column, order in (("iterations", ["a", "b"]), ("settings.iterations", ["b", "a"])):
        out = emo(capsys, "list", "--csv", "--sort", column)[1]
        head, *rows = csv.reader(io.StringIO(out))
        assert len(set(head)) == len(head) and [row[0][5] for row in rows] == order
        told = {row[0][5]: (row[head.index("iterations")], row[head.index("settings.iterations")]) for row in rows}
        assert told == {"a": ("20", "500"), "b": ("100", "100")}


def test_show_and_diff(here, capsys):
    code, out, _ = emo(capsys, "show", "runs/a-001")
    assert code == 0 and "learning_rate" in out and "best top1" in out
    assert json.loads(emo(capsys, "show", "runs/a-001", "--json")[1])["best"]["top1"] == 0.4
    code, out, _ = emo(capsys, "diff", "runs/a-001", "runs/b-001")
    assert code == 0 and "0.001" in out and "options of the cfg that differ from the first" in out
    assert json.loads(emo(capsys, "diff", "runs/a-001", "runs/b-001", "--json")[1])["differ"]["learning_rate"] == [
        0.01,
        0.001,
    ]
    out = emo(capsys, "diff", "runs/a-001", "runs/b-001", "--csv")[1].splitlines()
    assert out[0] == ",runs/a-001,runs/b-001" and any(row.startswith("learning_rate,") for row in out)
    assert "differ in no setting" in emo(capsys, "diff", "runs/a-001", "runs/a-001")[1]
    assert emo(capsys, "diff", "runs/a-001")[0] == 2
    code, _, err = emo(capsys, "show", "runs/c")
    assert code == 1 and "not a run folder" in err
