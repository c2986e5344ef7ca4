"""The forms of one file a split that hold all faces as arrays: `hdf5` (.h5), `npz` (NumPy) and `pickle` (a dict of the
same).

    images     uint8 (N, H, W) or (N, H, W, 3) BGR
    labels     uint8 (N,), ids of `classes`
    classes    the names, in id order
    paths      text (N,): the source pictures
    landmarks  float32 (N, K, 2), pixels of the crop, NaN where a face has none; when the dataset has any
    votes      float32 (N, C), taggers' shares; when the dataset has any

Faces are kept on disk as they come, and the arrays made at the end: memory does not grow with the dataset, but for
pickle, which needs all of a split at once. A disk that is full is one error for each form: HDF5's own library, which
crashes on one, is given a file whose writes do not fail.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtra
from ..table.records import Table
from .classifier import shares
from .crops import USES, Cut, stage
from .form import Form, Job

SUFFIXES = {"hdf5": ".h5", "npz": ".npz", "pickle": ".pkl"}
STEMS = ("train", "val", "test")
_ROWS = 4096  # that are copied at a time


class ArraySink:
    """Takes chunks of faces, writes the files of `form` when it is closed without an error."""

    def __init__(self, form: str, work: Path, names: tuple[str, ...], ids: np.ndarray, points: int):
        """`points`: landmarks a face, 0 for none."""
        if form == "hdf5":
            try:
                import h5py  # noqa: F401
            except ImportError:
                raise MissingExtra("h5py", "hdf5", "--task hdf5") from None
        self.form, self.work, self.names, self.ids, self.points = form, work, names, ids, points
        self.columns: list[dict[str, Any]] = [{} for _ in STEMS]

    def add(self, part: Cut) -> None:
        if part.images is None:
            return
        split = np.array(part.split)
        for which in np.unique(split).tolist():
            mine = np.flatnonzero(split == which)
            self._append(which, "images", part.images[mine])
            self._append(which, "labels", np.array(part.label, np.uint8)[mine])
            for row in mine.tolist():
                self._paths(which).append(part.paths[row])
            if self.points:
                self._append(which, "landmarks", np.stack([self._marks(part.landmarks[row]) for row in mine.tolist()]))
            if part.votes_of:
                self._append(which, "votes", shares(np.array(part.votes_of)[mine], self.ids).astype(np.float32))

    def finish(self) -> None:
        """Write the files; OSError when the disk refuses."""
        write = {"hdf5": _hdf5, "npz": _npz, "pickle": _pickle}[self.form]
        for stem, columns in zip(STEMS, self.columns):
            if columns:
                arrays = dict(columns.items()) | {"classes": np.array(self.names)}
                write(self.work / (stem + SUFFIXES[self.form]), arrays)

    def close(self) -> None:
        for columns in self.columns:
            for column in columns.values():
                if isinstance(column, Column):
                    column.close()

    def _append(self, split: int, name: str, values: np.ndarray) -> None:
        columns = self.columns[split]
        if name not in columns:
            columns[name] = Column(self.work / f".{STEMS[split]}.{name}", values.dtype, values.shape[1:])
        columns[name].append(values)

    def _paths(self, split: int) -> list[str]:
        return self.columns[split].setdefault("paths", [])

    def _marks(self, points) -> np.ndarray:
        out = np.full((self.points, 2), np.nan, np.float32)
        if points is not None and len(points) == self.points:
            out[:] = points
        return out


class Column:
    """An array (N, ...) that grows on disk; the file has no name once it is open."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]):
        self.file, self.dtype, self.row, self.count = open(path, "w+b"), np.dtype(dtype), shape, 0
        path.unlink()

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count, *self.row)

    def append(self, values: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(values, self.dtype).tobytes())
        self.count += len(values)

    def blocks(self):
        """The rows in order, some at a time."""
        self.file.flush()
        self.file.seek(0)
        size = self.dtype.itemsize * int(np.prod(self.row))
        for start in range(0, self.count, _ROWS):
            rows = min(_ROWS, self.count - start)
            yield np.frombuffer(self.file.read(rows * size), self.dtype).reshape(rows, *self.row)

    def whole(self) -> np.ndarray:
        return np.concatenate([np.zeros((0, *self.row), self.dtype), *self.blocks()])

    def close(self) -> None:
        self.file.close()


def _npz(path: Path, arrays: dict) -> None:
    """As numpy.savez, the same bytes whenever it is written, without the arrays in memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, values in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as file:
                if isinstance(values, Column):
                    header = {
                        "descr": np.lib.format.dtype_to_descr(values.dtype),
                        "fortran_order": False,
                        "shape": values.shape,
                    }
                    np.lib.format.write_array_header_1_0(file, header)
                    for block in values.blocks():
                        file.write(block.tobytes())
                else:
                    np.lib.format.write_array(file, np.asarray(values, str), allow_pickle=False)


def _pickle(path: Path, arrays: dict) -> None:
    content = {
        name: values.whole() if isinstance(values, Column) else np.asarray(values, str)
        for name, values in arrays.items()
    }
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=4)


def _hdf5(path: Path, arrays: dict) -> None:
    import h5py

    with Patient(path) as patient, h5py.File(patient, "w", libver="v110") as file:
        for name, values in arrays.items():
            if isinstance(values, Column):
                rows = min(256, max(1, values.count))
                data = file.create_dataset(
                    name,
                    values.shape,
                    values.dtype,
                    maxshape=(None, *values.row),
                    chunks=(rows, *values.row),
                    track_times=False,
                )
                start = 0
                for block in values.blocks():
                    data[start : start + len(block)] = block
                    start += len(block)
                    patient.check()
            elif name == "paths":
                text = [os.fsencode(value) for value in values]
                file.create_dataset(
                    name, data=np.array(text, f"S{max(1, max(map(len, text), default=1))}"), track_times=False
                )
        labels = arrays["labels"].whole()
        file.attrs["classes"], file.attrs["counts"] = (
            [str(name) for name in arrays["classes"]],
            np.bincount(labels, minlength=len(arrays["classes"])),
        )


class Patient:
    """A file for HDF5's library, which ends the process when a write fails: a write that fails is kept in memory and
    told by `check`, and at the end.
    """

    def __init__(self, path: Path):
        self.file = open(path, "w+b", buffering=0)
        self.fault: OSError | None = None
        self.kept: dict = {}
        self.length = self.at = 0

    def check(self) -> None:
        """OSError when a write has failed."""
        if self.fault is not None:
            raise self.fault

    def write(self, data) -> int:
        data = bytes(data)
        if self.fault is None:
            try:
                self.file.seek(self.at)
                left = memoryview(data)
                while left:
                    left = left[self.file.write(left) :]
            except OSError as error:
                self.fault = error
        if self.fault is not None:
            self.kept[self.at] = data
        self.at += len(data)
        self.length = max(self.length, self.at)
        return len(data)

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
        self.file.seek(self.at)
        self.file.readinto(view)
        for start, data in self.kept.items():
            low, high = max(start, self.at), min(start + len(data), self.at + len(view))
            if low < high:
                view[low - self.at : high - self.at] = data[low - start : high - start]
        count = max(0, min(len(view), self.length - self.at))
        self.at += count
        return count

    def read(self, size: int = -1) -> bytes:
        data = bytearray(max(0, self.length - self.at) if size < 0 else size)
        return bytes(data[: self.readinto(data)])

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.length)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def truncate(self, size: int | None = None) -> int:
        self.length = self.at if size is None else size
        try:
            self.file.truncate(self.length)
        except OSError as error:
            self.fault = self.fault or error
        return self.length

    def flush(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, kind, *_) -> None:
        self.file.close()
        if kind is None:
            self.check()


def points_of(table: Table) -> int:
    """Landmarks a face, the most that any has."""
    return max((len(points) for points in table.landmarks or () if points is not None), default=0)


def sink(job: Job, table: Table) -> ArraySink:
    return ArraySink(job.settings.task, job.work, job.names, job.ids, points_of(table))


FORM = Form(USES, stage, sink=sink, landmarks=True)
