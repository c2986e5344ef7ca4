"""An HDF5 file on which the library itself dies or hangs: tried in a process that may be lost, and told in one line."""

import pytest

from converters.errors import DataError
from converters.readers import array_files


@pytest.mark.parametrize(
    ("trial", "name"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass", "SIG(XCPU|KILL)"),
    ],
)
def test_a_file_that_ends_the_library(trial, name, tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "_TRIAL", trial)
    with pytest.raises(DataError, match=rf"a\.h5: is damaged: the HDF5 library crashes on it \({name}\)"):
        array_files._tried(tmp_path / "a.h5")


def test_a_whole_one_and_one_that_is_none_pass_the_trial(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"] = [[[1]]], [0]
        file.attrs["classes"] = ["a"]
    (tmp_path / "b.h5").write_bytes(b"no HDF5")
    for name in ("a.h5", "b.h5", "gone.h5"):
        array_files._tried(tmp_path / name)  # what is wrong with them, h5py says
