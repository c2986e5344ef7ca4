"""Trainings with Debian's darknet, and with a program that misbehaves."""

import csv
import json
import os
import re
import signal
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from converters.errors import MissingExtra, RunError
from darknet_runner.builtin.recipe import Recipe
from darknet_runner.compiled.engine import CompiledEngine
from darknet_runner.compiled.training import BinarySettings
from darknet_runner.network import cfg_file, templates, weights_file
from darknet_runner.run.folder import STEM, now


def rows_of(run):
    with open(run.metrics, newline="") as file:
        return list(csv.DictReader(file))


def orphans(run):
    """Processes that still stand in the run folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (
                os.readlink(entry / "cwd") == str(run.path)
                and "Z" not in (entry / "stat").read_text().rpartition(")")[2].split()[0]
            ):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


# --- Debian's darknet ------------------------------------------------------------------------------------


def test_trains_v3_tiny(debian, job):
    cfg = templates.render("v3-tiny", 3, size=64, batch=2, subdivisions=1, iterations=3)
    cfg = cfg.edit({index: {"random": 0} for index, section in enumerate(cfg.sections) if section.type == "yolo"})
    todo = job(text=cfg.text, evaluate=False)
    result = CompiledEngine(debian).train(todo)
    assert (result.verdict, result.iterations, result.reasons) == ("finished", 3, ())
    read = weights_file.read(cfg, todo.run.weights_file("final"))
    assert read.seen == 6 and np.isfinite(read.layers[0]["weights"]).all()
    told = todo.run.read_json()
    assert told["started"].endswith("+00:00") and told["started"] <= told["ended"] <= now()  # UTC: sorted as texts
    assert told["darknet_argv"] == [debian, "detector", "train", "feed/feed.data", "model.cfg"]
    assert told["returncode"] == 0 and told["environment"]["OMP_WAIT_POLICY"] == "passive"
    assert set(told["hashes"]["data"]) == {"data", "train", "valid"} and "model_final.weights" in told["weights"]
    assert [int(row["iteration"]) for row in rows_of(todo.run)] == [1, 2, 3]
    assert todo.run.chart.read_bytes()[:4] == b"\x89PNG" and b"Saving weights" in todo.run.log.read_bytes()
    assert orphans(todo.run) == []


def test_trains_a_classifier(debian, job):
    todo = job("classifier", 200)  # Debian's draws its weights by the clock: enough for any of them
    result = CompiledEngine(debian).train(todo)
    assert (result.verdict, result.iterations) == ("finished", 200)
    assert result.metric >= 0.75, "three colours must be told apart"
    assert float(rows_of(todo.run)[-1]["top1"]) == result.metric
    kept = sorted(path.name for path in todo.run.weights.iterdir())
    assert kept == [f"{STEM}_final.weights", f"{STEM}_last.weights"], "its file for every epoch is not kept"
    assert todo.run.read_json()["best"] == {"top1": result.metric}


def test_validates_after_the_run(debian, job):
    todo = job(iterations=5)
    result = CompiledEngine(debian).train(todo)
    last = rows_of(todo.run)[-1]
    assert result.verdict == "finished" and result.metric is not None
    assert float(last["map"]) == pytest.approx(result.metric) and last["ap_Happy"] != ""


def test_interrupted_and_resumed(debian, job):
    todo = job(iterations=260, evaluate=False)
    engine = CompiledEngine(debian)

    def interrupt():
        while not todo.run.weights_file("last").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    result = engine.train(todo)
    assert result.verdict == "interrupted" and 100 < result.iterations < 260
    reason = result.reasons[0]
    assert "SIGINT" in reason and any(f"at iteration {saved}" in reason for saved in (100, 200)), reason
    assert orphans(todo.run) == [] and todo.run.read_json()["verdict"] == "interrupted"

    result = engine.train(replace(todo, resume=True))
    assert (result.verdict, result.iterations) == ("finished", 260)
    told = todo.run.read_json()
    assert told["resumed_at"] in (100, 200) and not any(
        "resumed" in note for note in told["notes"]
    )  # it may crash after saving
    assert [int(row["iteration"]) for row in rows_of(todo.run)] == list(range(1, 261)), (
        "no iteration is missing or there twice"
    )
    assert weights_file.header_bytes(todo.run.weights_file("final"))[1] == 260 * 4

    again = engine.train(replace(todo, resume=True))  # Debian's would crash
    assert (again.verdict, again.iterations) == ("finished", 260) and "nothing to do" in todo.run.read_json()["notes"][
        0
    ]


def test_goes_on_in_the_other_engine(debian, job):
    """What Debian's darknet wrote, the built-in engine resumes, and the other way round."""
    pytest.importorskip("torch")
    from darknet_runner.builtin.engine import BuiltinEngine

    todo = job(iterations=6, evaluate=False, workers=0)
    assert CompiledEngine(debian).train(todo).verdict == "finished"
    os.replace(todo.run.weights_file("final"), todo.run.weights_file("last"))
    longer = cfg_file.load(todo.cfg).edit({0: {"max_batches": 9}})
    cfg_file.save(longer, todo.cfg)
    result = BuiltinEngine().train(replace(todo, resume=True))
    assert (result.verdict, result.iterations) == ("finished", 9)
    cfg_file.save(longer.edit({0: {"max_batches": 12}}), todo.cfg)
    result = CompiledEngine(debian).train(replace(todo, resume=True))
    assert (result.verdict, result.iterations) == ("finished", 12)
    assert todo.run.read_json()["resumed_at"] == 9
    assert [int(row["iteration"]) for row in rows_of(todo.run)] == list(range(1, 13))


@pytest.mark.parametrize(
    "fault, said",
    [
        ("picture", "bad-file|Cannot load image|ended at iteration"),
        ("label", "Couldn't open file|trained nothing|ended at iteration"),
    ],
)
def test_exit_code_0_proves_nothing(debian, job, draw_set, tmp_path, fault, said):
    """Past the preflight: a picture or a label vanishes, and Debian's darknet ends with 0 or a crash."""
    data = draw_set("detector", tmp_path / "set")
    for path in (tmp_path / "set").glob("*.jpg" if fault == "picture" else "*.txt"):
        if path.stem.isdigit():
            path.unlink()
    result = CompiledEngine(debian).train(job(iterations=50, data=data, evaluate=False))
    assert result.verdict == "failed"
    assert re.search(said, " ".join(result.reasons)), result.reasons
    assert any("no final weights" in reason for reason in result.reasons)


# --- a program that misbehaves ---------------------------------------------------------------------------


def test_a_good_stand_in_passes(stand_in, job):
    """So that the failures below are the faults' and not the stand-in's."""
    result = stand_in("for i in range(1, 5): row(i)\nsave('model_final.weights', 4)").train(job(evaluate=False))
    assert (result.verdict, result.iterations, result.loss) == ("finished", 4, 1.0)


LATE = """for i in range(1, 5): row(i)
save('model_final.weights', 4)
print('Cannot load image "feed/train/0000001.jpg"', flush=True)
"""


@pytest.mark.parametrize("kind", ["detector", "classifier"])
def test_a_loader_that_is_still_at_work_when_all_is_saved(stand_in, job, kind):
    """Debian's exits while a thread reads the next batch: once in seventy runs it then cannot decode a good picture,
    says so, and lists it.
    """
    body = LATE + "open('bad.list', 'a').write('feed/train/0000001.jpg\\n')"
    if kind == "classifier":
        body = body.replace("model_final", "model")
    result = stand_in(body, kind).train(todo := job(kind, evaluate=False))
    assert (result.verdict, result.reasons) == ("finished", ())
    assert "after everything was saved it printed: Cannot load image" in (todo.run.path / "run.json").read_text()


def test_a_bad_picture_of_before_is_told_though_a_later_one_is_not(stand_in, job):
    body = "open('bad.list', 'a').write('feed/train/0000002.jpg\\n')\n" + LATE
    result = stand_in(body).train(job(evaluate=False))
    assert result.verdict == "failed" and "bad.list grew" in result.reasons[0], result


@pytest.mark.parametrize(
    "body, said",
    [
        (
            "row(1)\nprint('Cannot load image \"feed/train/0000001.jpg\"', flush=True)\nrow(2)\ntime.sleep(60)",
            "a file that cannot be read",
        ),
        ("pass", "it trained nothing (exit code 0): it printed nothing"),
        ("row(1); row(2); row(3)", "it ended at iteration 3 of 4 (exit code 0)"),
        ("for i in range(1, 5): row(i)", "there are no final weights"),
        ("for i in range(1, 5): row(i)\nsave('model_final.weights', 4, SIZE // 2)", "bytes instead of"),
        ("row(1)\nprint('CUDA Error: unspecified launch failure', flush=True)\nsys.exit(1)", "the GPU is gone"),
        ("row(1)\nprint('CUDA Error: out of memory', flush=True)\nsys.exit(1)", "out of memory"),
        ("for i in range(1, 5): row(i, 'nan')\ntime.sleep(60)", "the loss is nan since iteration 1"),
        ("row(1)\nrow(2, '3e7')\nrow(3)\ntime.sleep(60)", "the loss exploded to 3e+07 at iteration 2"),
        ("row(1)\nopen('bad_label.list', 'w').write('x.txt Wrong')\ntime.sleep(60)", "bad_label.list grew"),
        ("row(1)\ntime.sleep(60)", "no line for 2 s"),
        ("row(1)\nsys.stdout.write('2: 1.0, 1.')\nsys.stdout.flush()\ntime.sleep(60)", "no line for 2 s"),
        ("row(1)\nos.kill(os.getpid(), signal.SIGSEGV)", "it ended at iteration 1 of 4 (exit code -11)"),
        ("row(1)\nsave('model.backup', 1, 40)\nrow(2)\nrow(3)\nrow(4)\ntime.sleep(60)", "is the disk full?"),
        (
            (
                "for i in range(1, 5): "
                "row(i)\n"
                "save('model_final.weights', 4)\n"
                "open('weights/model_final.weights', "
                "'r+b').seek(20)\n"
                "f = open('weights/model_final.weights', "
                "'r+b'); "
                "f.seek(100); "
                "f.write(struct.pack('<f', "
                "float('nan'))); f.close()"
            ),
            "not finite numbers",
        ),
    ],
)
def test_what_it_does_wrong_is_seen(stand_in, job, body, said):
    todo = job(evaluate=False)
    result = stand_in(body, silence_s=2 if "no line" in said else 120).train(todo)
    assert result.verdict == "failed"
    assert any(said in reason for reason in result.reasons), result.reasons
    told = todo.run.read_json()
    assert told["verdict"] == "failed" and told["reasons"] == list(result.reasons)
    assert orphans(todo.run) == []


def test_weights_that_are_being_written_anew_are_waited_for(stand_in, job):
    """With a save every batch the next one has begun when the row after the last one came."""
    body = """
    row(1); save("model_last.weights", 1)
    open("weights/model_last.weights", "wb").close()
    row(2); row(3)
    time.sleep(0.5)
    save("model_last.weights", 3); row(4)
    save("model_final.weights", 4)
    """
    result = stand_in(body).train(job(evaluate=False))
    assert (result.verdict, result.reasons) == ("finished", ())


def test_noise_does_not_hide_the_rows(stand_in, job):
    body = r"""
    row(1)
    sys.stdout.flush(); os.write(1, b"\xff\xfe not text \x1b[H\x1b[J\x07\n"); os.write(1, b"x" * 20_000_000 + b"\n")
    row(2, end=""); sys.stdout.flush(); time.sleep(0.2); print("", flush=True)
    row(3); row(4)
    save("model_final.weights", 4)
    """
    todo = job(evaluate=False)
    assert stand_in(body).train(todo).verdict == "finished"
    assert [row["iteration"] for row in rows_of(todo.run)] == ["1", "2", "3", "4"]
    assert todo.run.log.stat().st_size > 20_000_000


def test_ctrl_c_ends_the_validation_after_the_run_at_once(stand_in, job, monkeypatch):
    """While the binary runs a signal is noted first; the validation, which takes minutes, is ours and ends as
    anything does.
    """
    engine, after = stand_in("for i in range(1, 5): row(i)\nsave('model_final.weights', 4)"), []

    def validate(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        after.append("went on")
        return {}

    monkeypatch.setattr(engine, "evaluate", validate)
    with pytest.raises(KeyboardInterrupt):
        engine.train(job())
    assert after == []


def test_the_log_on_a_full_disk(stand_in, job):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    todo = job(evaluate=False)
    todo.run.log.symlink_to("/dev/full")
    with pytest.raises(RunError, match="the log cannot be written: No space left on device"):
        stand_in("row(1)\ntime.sleep(60)").train(todo)
    assert orphans(todo.run) == []


def test_auto_recover_doubles_subdivisions(stand_in, job):
    """The first start saves at iteration 2 and runs out of memory; the second goes on from there."""
    body = """
    parts = int(open("model.cfg").read().split("subdivisions=")[1].split()[0])
    if parts == 1:
        row(1); row(2); save("model.backup", 2); row(3)
        print("CUDA Error: out of memory", flush=True)
        sys.exit(1)
    assert sys.argv[5] == "feed/start.weights" and struct.unpack("<Q", open(sys.argv[5], "rb").read()[12:20])[0] == 8
    row(3, 0.5); row(4, 0.5)
    save("model_final.weights", 4)
    """
    todo = job(evaluate=False)
    result = stand_in(body, auto_recover=True).train(todo)
    assert (result.verdict, result.iterations) == ("finished", 4)
    assert "subdivisions=2" in todo.cfg.read_text()
    assert [(row["iteration"], row["loss"]) for row in rows_of(todo.run)] == [
        ("1", "1.0"),
        ("2", "1.0"),
        ("3", "0.5"),
        ("4", "0.5"),
    ]


@pytest.mark.parametrize("later, kept", [(0.2, 2), (0.6, 4)])
def test_the_best_of_a_resumed_run_is_the_best_of_all_its_starts(stand_in, job, later, kept):
    """AlexeyAB's and hank-ai's begin with a best of 0 again and write model_best.weights over the earlier one."""
    body = f"""
    import pathlib
    first = not pathlib.Path("weights/model_last.weights").exists()
    for number in (1, 2) if first else (3, 4):
        row(number)
    print(f" mean average precision (mAP@0.50) = {{0.5 if first else {later}}}", flush=True)
    save("model_best.weights", number)
    save("model_last.weights" if first else "model_final.weights", number)
    """
    todo = job(evaluate=False)
    engine = stand_in(body)
    assert engine.train(todo).metric == 0.5
    result = engine.train(replace(todo, resume=True))
    assert (result.verdict, result.metric) == ("finished", max(0.5, later))
    assert todo.run.read_json()["best"] == {"map": max(0.5, later)}
    assert weights_file.header_bytes(todo.run.weights_file("best"))[1] == 4 * kept
    assert sorted(path.name for path in todo.run.weights.iterdir()) == [
        f"{STEM}_{tag}.weights" for tag in ("best", "final", "last")
    ]


def test_a_second_signal_is_immediate(stand_in, job):
    """A program that does not heed SIGTERM is killed at once by the second Ctrl-C."""
    todo = job(evaluate=False)
    engine = stand_in("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nrow(1)\nrow(2)\ntime.sleep(600)")

    def interrupt():
        while not todo.run.metrics.exists() or len(todo.run.metrics.read_text().splitlines()) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.train(todo)
    assert time.monotonic() - began < 600 and orphans(todo.run) == []


def test_refuses_what_it_cannot_do(stand_in, job):
    four = templates.render("v4-tiny", 3, size=64, iterations=4).text
    assert "groups in [route]" in stand_in("pass").cannot(job(text=four))[0]
    assert "built without GPU" in stand_in("pass").cannot(job(gpus=(0, 1)))[0]
    assert "the built-in engine only" in stand_in("pass").cannot(job(recipe=Recipe(ema=0.9)))[0]
    alexey = CompiledEngine(_alexey())
    assert "pile up" in alexey.cannot(job())[0]
    assert CompiledEngine(_alexey(), BinarySettings(allow_broken_cpu=True)).cannot(job()) == []


def _alexey():
    from darknet_runner.compiled.binary import Binary

    return Binary(
        Path("/d"), "alexeyab", None, gpu=False, cudnn=False, half=False, opencv=False, avx=True, openmp=True, banner=""
    )


def test_tensorboard_is_named_when_it_is_missing(stand_in, job):
    todo = job(evaluate=False)
    engine = stand_in("for i in range(1, 5): row(i)\nsave('model_final.weights', 4)", tensorboard=True)
    if find_spec("tensorboard"):
        assert engine.train(todo).verdict == "finished" and list((todo.run.path / "tensorboard").glob("events.*"))
    else:
        with pytest.raises(MissingExtra, match="tensorboard"):
            engine.train(todo)


def test_run_json_survives_as_json(stand_in, job):
    todo = job(evaluate=False)
    stand_in("row(1, 'nan')").train(todo)
    told = json.loads(
        (todo.run.path / "run.json").read_text(), parse_constant=lambda text: pytest.fail(f"{text} is not JSON")
    )
    assert told["verdict"] == "failed" and told["loss"] is None
