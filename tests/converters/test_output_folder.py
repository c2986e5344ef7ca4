"""The output folder: one writer at a time, nothing lost that emo did not write, links followed, a killed run's leftovers healed."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from converters import output_folder
from converters.errors import DataError, UsageError

ROOT = Path(__file__).resolve().parents[2]


def build(out, **files):
    with output_folder.building(out) as work:
        for name, text in files.items():
            path = work / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def read(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != output_folder.LEDGER}


def test_force_replaces_emos_files_and_keeps_all_others(tmp_path):
    out = tmp_path / "out"
    build(out, report_json="1", train__a_txt="old", gone_txt="old")
    (out / "backup").mkdir()
    (out / "backup" / "v4.weights").write_text("trained")
    (out / "train" / "mine.txt").write_text("mine")
    (out / "link").symlink_to("/nowhere")
    output_folder.check(out, True, [])
    build(out, report_json="2", train__a_txt="new")
    assert read(out) == {"report.json": "2", "train/a.txt": "new", "backup/v4.weights": "trained", "train/mine.txt": "mine"}
    assert os.readlink(out / "link") == "/nowhere"
    assert output_folder.strangers(out) == ["backup/v4.weights", "link", "train/mine.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_stranger_in_the_way_is_named_and_nothing_changes(tmp_path):
    out = tmp_path / "out"
    build(out, a_txt="1")
    (out / "b.txt").write_text("mine")
    (out / "c").write_text("mine")
    before = read(out)
    with pytest.raises(DataError, match="holds b.txt, which emo did not write"):
        build(out, a_txt="2", b_txt="2")
    with pytest.raises(DataError, match="holds c, "):
        build(out, a_txt="2", c__d_txt="2")
    assert read(out) == before


def test_a_folder_with_a_report_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "project" / "src").mkdir(parents=True)
    (tmp_path / "project" / "report.json").write_text('{"format": 1}')
    (tmp_path / "project" / "src" / "main.c").write_text("x")
    with pytest.raises(UsageError, match="is no output of emo"):
        output_folder.check(tmp_path / "project", True, [])


def test_a_link_keeps_its_target(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk/target")
    build(tmp_path / "out", a_txt="1")
    build(tmp_path / "out", a_txt="2")
    assert (tmp_path / "out").is_symlink() and read(tmp_path / "disk" / "target") == {"a.txt": "2"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out"]
    with output_folder.locked(tmp_path / "disk" / "target"), pytest.raises(DataError, match="another emo"):
        build(tmp_path / "out", a_txt="3")


def test_a_run_killed_between_its_renames_is_healed_by_the_next(tmp_path):
    out = tmp_path / "out"
    build(out, a_txt="1")
    (out / "mine.txt").write_text("mine")
    out.rename(tmp_path / ".out.old")  # where kill -9 may leave it
    (tmp_path / ".out.partial").mkdir()
    build(out, a_txt="2")
    assert read(out) == {"a.txt": "2", "mine.txt": "mine"}


def test_the_lock_ends_with_a_killed_holder(tmp_path):
    code = f"import pathlib, time; from converters import output_folder\nwith output_folder.locked(pathlib.Path({str(tmp_path / 'run')!r})): print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match="another emo"), output_folder.locked(tmp_path / "run"):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with output_folder.locked(tmp_path / "run"):
        pass
    assert not list(tmp_path.glob(".*"))


def test_two_never_hold_one_lock_though_it_is_deleted_in_between(tmp_path):
    inside, most, held = [], [], []

    def work():
        for _ in range(200):
            try:
                with output_folder.locked(tmp_path / "run"):
                    inside.append(1)
                    most.append(len(inside))
                    held.append(1)
                    inside.pop()
            except DataError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held and max(most) == 1
