"""The output folder: one writer at a time, nothing lost that emo did not write, links followed, a killed run's
leftovers healed.
"""

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


def elsewhere(function, *args, **more):
    """The error that the function ends with in another thread, or None."""
    out = []

    def work():
        try:
            out.append(function(*args, **more))
        except Exception as error:
            out.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return out[0]


def read(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != output_folder.LEDGER
    }


def test_force_replaces_emos_files_and_keeps_all_others(tmp_path):
    out = tmp_path / "out"
    build(out, report_json="1", train__a_txt="old", gone_txt="old")
    (out / "backup").mkdir()
    (out / "backup" / "v4.weights").write_text("trained")
    (out / "train" / "mine.txt").write_text("mine")
    (out / "link").symlink_to("/nowhere")
    output_folder.check(out, True, [])
    build(out, report_json="2", train__a_txt="new")
    assert read(out) == {
        "report.json": "2",
        "train/a.txt": "new",
        "backup/v4.weights": "trained",
        "train/mine.txt": "mine",
    }
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
    with pytest.raises(UsageError, match="is not an output of emo"):
        output_folder.check(tmp_path / "project", True, [])


def test_a_link_keeps_its_target(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk/target")
    build(tmp_path / "out", a_txt="1")
    build(tmp_path / "out", a_txt="2")
    assert (tmp_path / "out").is_symlink() and read(tmp_path / "disk" / "target") == {"a.txt": "2"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out"]
    with output_folder.locked(tmp_path / "disk" / "target"):
        assert "another emo" in str(elsewhere(build, tmp_path / "out", a_txt="3"))


def test_a_run_killed_between_its_renames_is_healed_by_the_next(tmp_path):
    out = tmp_path / "out"
    build(out, a_txt="1")
    (out / "mine.txt").write_text("mine")
    out.rename(tmp_path / ".out.old")  # where kill -9 may leave it
    (tmp_path / ".out.partial").mkdir()
    build(out, a_txt="2")
    assert read(out) == {"a.txt": "2", "mine.txt": "mine"}


def test_the_lock_ends_with_a_killed_holder(tmp_path):
    code = (
        "import pathlib, time; from converters import output_folder\nwith "
        f"output_folder.locked(pathlib.Path({str(tmp_path / 'run')!r})): print('held', flush=True); time.sleep(600)"
    )
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


def fill(out, force=False, **files):
    """A run that writes a.csv and pictures/ in place."""
    with output_folder.in_place(out, force, ("a.csv", "pictures")):
        paths = []
        for name, text in files.items():
            path = output_folder.part(out / name.partition("__")[0].replace("_", ".")) / name.partition("__")[
                2
            ].replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            paths.append(out / name.partition("__")[0].replace("_", "."))
        output_folder.finish(out, *dict.fromkeys(paths), instead_of=("a.csv", "pictures"))


def test_in_place_replaces_emos_files_and_keeps_all_others(tmp_path):
    out = tmp_path / "out"
    fill(out, a_csv="1", pictures__b_jpg="1", pictures__c_jpg="1")
    assert read(out) == {"a.csv": "1", "pictures/b.jpg": "1", "pictures/c.jpg": "1"} and not output_folder.strangers(
        out
    )
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        fill(out, a_csv="2")
    fill(out, True, a_csv="2")
    assert read(out) == {"a.csv": "2", "mine.txt": "mine"} and not (out / "pictures").exists(), "an earlier run's go"
    assert output_folder.strangers(out) == ["mine.txt"]
    (out / "pictures").mkdir()
    (out / "pictures" / "holiday.jpg").write_text("mine")
    with pytest.raises(UsageError, match="holds pictures/holiday.jpg, which emo did not write and would replace"):
        fill(out, True, a_csv="3")
    assert read(out) == {"a.csv": "2", "mine.txt": "mine", "pictures/holiday.jpg": "mine"}


def test_what_a_killed_run_leaves_in_place_is_cleared_by_the_next_without_force(tmp_path):
    out = tmp_path / "out"
    code = f"""if True:
        import os, pathlib, signal
        from converters import output_folder
        out = pathlib.Path({str(out)!r})
        with output_folder.in_place(out, False, ("a.csv", "pictures")):
            (out / "a.part.csv").write_text("begun")
            (out / "pictures.part" / "sub").mkdir(parents=True)
            (out / "pictures.part" / "sub" / "b.jpg").write_text("begun")
            os.kill(os.getpid(), signal.SIGKILL)"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL
    assert read(out) == {"a.part.csv": "begun", "pictures.part/sub/b.jpg": "begun"}
    fill(out, a_csv="1")
    assert read(out) == {"a.csv": "1"} and not (out / "pictures.part").exists()


def test_an_error_in_place_keeps_what_was_begun_and_the_earlier_run(tmp_path):
    out = tmp_path / "new" / "out"
    with pytest.raises(KeyError), output_folder.in_place(out, False, ("a.csv",)):
        raise KeyError
    assert not (tmp_path / "new").exists(), "what was made for nothing goes again"
    with pytest.raises(KeyError), output_folder.in_place(out, False, ("a.csv",)):
        (out / "a.part.csv").write_text("begun")
        raise KeyError
    assert read(out) == {"a.part.csv": "begun"}
    fill(out, a_csv="1")
    with pytest.raises(KeyError), output_folder.in_place(out, True, ("a.csv",)):
        (out / "a.part.csv").write_text("begun")
        raise KeyError
    assert read(out) == {"a.csv": "1", "a.part.csv": "begun"}
    with pytest.raises(UsageError, match="is not empty"):
        fill(out, a_csv="2")
    fill(out, True, a_csv="2")
    assert read(out) == {"a.csv": "2"}


def test_a_link_in_place_keeps_its_target(tmp_path):
    (tmp_path / "out").symlink_to("disk/target")
    fill(tmp_path / "out", a_csv="1")
    assert (tmp_path / "out").is_symlink() and read(tmp_path / "disk" / "target") == {"a.csv": "1"}
    (tmp_path / "a.svg").symlink_to("disk/b.svg")
    with output_folder.replacing(tmp_path / "a.svg") as temporary:
        temporary.write_text("2")
    assert (tmp_path / "a.svg").is_symlink() and (tmp_path / "disk" / "b.svg").read_text() == "2"


def test_a_thread_may_take_its_lock_again_and_another_may_not(tmp_path):
    def take():
        with output_folder.locked(tmp_path / "run"):
            pass

    with output_folder.locked(tmp_path / "run"), output_folder.locked(tmp_path / "run"):
        assert "another emo" in str(elsewhere(take))
    assert elsewhere(take) is None and not list(tmp_path.iterdir())


def test_a_run_that_names_no_output_gets_the_next_folder(tmp_path):
    default = tmp_path / "video"
    assert output_folder.free(default) == default
    default.mkdir()
    (default / "a.part.csv").write_text("begun, never finished")
    assert output_folder.free(default) == default
    (default / "a.csv").write_text("whole")
    assert output_folder.free(default) == tmp_path / "video-2" and output_folder.free(default, force=True) == default
    (tmp_path / "video-2").mkdir()
    (tmp_path / "video-2" / "mine.txt").write_text("a stranger's")
    assert output_folder.free(default) == tmp_path / "video-3"
    assert output_folder.free(default, force=True, taken=[default]) == tmp_path / "video-2"
