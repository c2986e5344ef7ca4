"""What files hold reaches the terminal as plain text: no command lets a control character of a class name, cfg or
log through.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.darknet_format.files import write_data
from emotion.systems.models import shipped

EVIL = "Ha\x1b[31mppy\x07\x9b2J\x7f\u202e"
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a set and a log whose class names hold control characters."""
    root = tmp_path_factory.mktemp("evil")
    for name in ("emo-v4-nano", "emo-s"):
        shutil.copytree(shipped()[name], root / name)
        names = (root / name / "emo.names").read_text().splitlines()
        (root / name / "emo.names").write_text(
            "\n".join([EVIL + str(index) for index in range(len(names))]) + "\n", encoding="utf-8"
        )
        card = (root / name / "model.toml").read_text()
        (root / name / "model.toml").write_text(card.replace("\n[", '\nnote = "\\u001b[31mred"\n[', 1))
    (root / "names.txt").write_text(f"{EVIL}\nb\n", encoding="utf-8")
    (root / "train.txt").write_text("1.png\n2.png\n")
    for name in ("1", "2"):
        cv2.imwrite(str(root / f"{name}.png"), np.full((64, 64, 3), 90, np.uint8))
        (root / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    write_data(root / "emo.data", classes=2, train="train.txt", valid="train.txt", names="names.txt")
    (root / "evil.cfg").write_text(f"[net]\nwidth={EVIL}\n")
    (root / f"{EVIL}.toml").write_text("x")
    (root / "bad.toml").write_text(
        f'[detect]\n"{EVIL.encode("unicode_escape").decode()}" = 1\n'.replace("\\x", "\\u00")
    )
    (root / "classes" / EVIL).mkdir(parents=True)
    cv2.imwrite(str(root / "classes" / EVIL / "1.png"), np.full((64, 64, 3), 90, np.uint8))
    return root


@pytest.mark.parametrize(
    "args",
    [
        ["models", "show", "emo-v4-nano"],
        ["models", "show", "emo-v4-nano", "--json"],
        ["models", "verify", "emo-s"],
        ["detect", "1.png", "--model", "emo-v4-nano", "--out", "o1"],
        ["compare", "two-stage:haar+./emo-s", "vs", "yolo:./emo-v4-nano", "1.png", "--out", "o2"],
        ["dataset", "stats", "emo.data"],
        ["dataset", "stats", "emo.data", "--json"],
        ["dataset", "check", "emo.data"],
        ["cfg", "show", "evil.cfg"],
        ["convert", "folder", "classes", "--out", "o3"],
        ["--config", f"{EVIL}.toml", "cfg", "list"],
        ["--config", "bad.toml", "cfg", "list"],
        ["detect", f"{EVIL}.jpg"],
        ["cfg", EVIL],
    ],
    ids=lambda args: " ".join(args[:2]) if args[0] != "--config" else "--config",
)
def test_no_control_character_reaches_the_terminal(args, folder):
    args = [str(folder / arg) if arg in ("emo-v4-nano", "emo-s") else arg for arg in args]
    ran = subprocess.run(
        [sys.executable, "-m", "emotion.cli", *args],
        cwd=folder,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])},
    )
    said = ran.stdout.decode("utf-8") + ran.stderr.decode("utf-8")
    assert said and not CONTROLS.search(said) and "Traceback" not in said, said
    if "--json" in args:
        assert repr(EVIL)[1:-1] in repr(json.loads(ran.stdout)), "JSON reads back as what it was"


def test_a_traceback_too():
    code = f"import emotion.cli as cli; cli._prepare_process(); raise RuntimeError({EVIL!r})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[3])
    assert b"RuntimeError" in ran.stderr and not CONTROLS.search(ran.stderr.decode("utf-8"))


@pytest.mark.parametrize(
    "command",
    [
        "detect {address}",
        "compare yolo vs two-stage {address}",
        "draw {address} x.mp4",
        "convert affectnet {address}",
        "convert folder classes --cluster {cluster} --out never",
        "darknet train --cfg v4-tiny --data {address}",
        "evaluate emo-s --data {address}",
        "models show {address}",
        "models pull yunet --from {address}",
        "detect 1.png --face-model {address} --system two-stage",
        "detect {address} --bad",
        "cfg show {address}",
    ],
)
def test_no_password_of_an_address_is_printed(command, folder):
    """Nobody answers at port 9; whoever complains of it, the address is shown without its secrets."""
    args = command.format(
        address="http://me:p@ss@127.0.0.1:9/x/password=sekret?token=sekret", cluster="tcp://me:p@ss@127.0.0.1:9"
    ).split()
    ran = subprocess.run(
        [sys.executable, "-m", "emotion.cli", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])},
    )
    assert ran.returncode in (1, 2) and ran.stderr.startswith("emo: ")
    assert not any(secret in ran.stdout + ran.stderr for secret in ("p@ss", "ss@", "sekret"))
