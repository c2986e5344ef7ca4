"""../shared/cases through the real commands' library: cfgs as editors save them, on every backend."""

import shutil
from pathlib import Path

import pytest

from converters.errors import CfgError
from emotion.comparison import compare
from emotion.sources.pictures import read_picture
from emotion.systems import models
from emotion.systems.open import SystemSettings, open_system

CASES = Path(__file__).resolve().parents[4] / "shared/cases/cfg-encoding"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")


def model_of(case, folder):
    shutil.copytree(CASES / case, folder / case, copy_function=shutil.copyfile)
    (folder / case).chmod(0o755)
    shutil.copyfile(models.shipped()["emo-v4-nano"] / "model.weights", folder / case / "model.weights")
    return str(folder / case)


@pytest.mark.parametrize("backend", ["opencv", "onnx", "torch"])
@pytest.mark.parametrize("case", ["latin1", "bom", "utf16"])
def test_a_cfg_with_another_encoding_is_the_network_that_it_is(case, backend, tmp_path):
    """A Latin-1 comment was a traceback, [network] was refused, a BOM and UTF-16 were no cfg."""
    if backend == "torch":
        pytest.importorskip("torch")
    if backend == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    portrait = read_picture(next(path for path in compare.shipped_media() if path.name == "portrait.jpg"))
    (found,) = open_system("yolo", SystemSettings(model=model_of(case, tmp_path), backend=backend)).detect([portrait])
    model = Path(shutil.copytree(tmp_path / case, tmp_path / "plain"))
    raw = (model / "model.cfg").read_bytes()
    text = raw.decode("utf-16" if case == "utf16" else "latin-1" if case == "latin1" else "utf-8-sig")
    (model / "model.cfg").write_text(text.replace("[network]", "[net]"), encoding="utf-8")
    (plain,) = open_system("yolo", SystemSettings(model=str(model), backend=backend)).detect([portrait])
    assert len(found) == len(plain) >= 1 and abs(found.xyxy_px - plain.xyxy_px).max() < 0.5


def test_a_misspelt_key_is_told(tmp_path):
    with pytest.raises(CfgError, match="did you mean 'filters'"):
        open_system("yolo", SystemSettings(model=model_of("upper", tmp_path)))
