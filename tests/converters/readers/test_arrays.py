"""hdf5, npz and pickle: the same faces, labels, votes, paths and landmarks from each; hostile files are one line
and run nothing.
"""

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from converters import readers
from converters.convert import Settings, convert
from converters.errors import DataError
from converters.readers import array_files
from converters.table.records import Notes

FORMS = ("hdf5", "npz", "pickle")
FILES = {"hdf5": "train.h5", "npz": "train.npz", "pickle": "train.pkl"}
ROOT = Path(__file__).resolve().parents[3]


def need(form):
    return pytest.importorskip("h5py") if form == "hdf5" else None


def read(form, path, **options):
    notes = Notes()
    return readers.read(form, path, notes, **options), notes


def content_of(form, path):
    if form == "hdf5":
        import h5py

        with h5py.File(path) as file:
            return {name: file[name][()] for name in file} | {"classes": np.array(file.attrs["classes"])}
    if form == "npz":
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    return pickle.loads(path.read_bytes())


@pytest.mark.parametrize("form", FORMS)
def test_faces_landmarks_and_paths_of_affectnet(affectnet, tmp_path, form):
    need(form)
    rows = [("1/a.jpg", 10, 20, 80, 60, 1), ("1/b.jpg", 0, 0, 100, 100, 6), ("2/ü.jpg", 5, 5, 50, 50, 3)]
    root = affectnet("affectnet", {"training.csv": rows, "validation.csv": [("1/v.jpg", 1, 1, 60, 60, 0)]})
    for out in ("a", "b"):
        report = convert([("affectnet", str(root))], tmp_path / out, Settings(task=form, size=(40, 40)), jobs=1)
    assert report["splits"]["train"]["faces"] == 3 and report["splits"]["valid"]["faces"] == 1
    content = content_of(form, tmp_path / "a" / FILES[form])
    assert (
        content["images"].shape == (3, 40, 40)
        and content["images"].dtype == np.uint8
        and content["labels"].tolist() == [1, 6, 3]
    )
    assert [str(name) for name in content["classes"]][:2] == ["Neutral", "Happy"]
    paths = [os.fsdecode(path) if isinstance(path, bytes) else str(path) for path in content["paths"].tolist()]
    assert paths == [str(root / "Manually_Annotated_Images" / row[0]) for row in rows]
    np.testing.assert_allclose(
        content["landmarks"][0][:2],
        [[(40 - 10) * 0.5, (40 - 20) * 40 / 60], [(80 - 10) * 0.5, (41 - 20) * 40 / 60]],
        rtol=1e-5,
    )
    assert (tmp_path / "a" / FILES[form]).read_bytes() == (tmp_path / "b" / FILES[form]).read_bytes()
    assert not [
        path.name for path in (tmp_path / "a").iterdir() if path.name.startswith(".") and path.name != ".emo-files"
    ]
    table, notes = read(form, tmp_path / "a", classes=7)
    assert not notes.findings and table.emotion.tolist() == [1, 6, 3, 0] and table.split.tolist() == [0, 0, 0, 1]
    np.testing.assert_array_equal(np.stack(table.pixels[:3]), content["images"])
    np.testing.assert_allclose(table.landmarks[0], content["landmarks"][0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("classes", [6, 7, 8])
def test_votes_come_back(fer2013_csv, tmp_path, form, classes):
    need(form)
    path = fer2013_csv(12, "fer/fer2013.csv")
    columns = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    usages = ["Training", "Training", "PublicTest", "PrivateTest"]
    path.with_name("fer2013new.csv").write_text(
        columns + "\n" + "".join(f"{usages[i % 4]},fer{i:07d}.png,6,4,0,0,0,0,0,0,0,0\n" for i in range(12))
    )
    convert(
        [("ferplus", str(path.parent))], tmp_path / "out", Settings(task=form, labels="votes", classes=classes), jobs=1
    )
    table, _ = read(form, tmp_path / "out", classes=classes)
    assert len(table) == 12 and np.allclose(table.votes[:, :2], [0.6, 0.4]) and np.allclose(table.votes.sum(1), 1)


def test_other_peoples_files(tmp_path, noise):
    import cv2

    faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
    np.savez(tmp_path / "a.npz", X=(faces / 255).astype(np.float32)[..., None], y=np.array([0, 1, 2, 3, 9]))
    table, notes = read("npz", tmp_path / "a.npz")
    assert table.emotion.tolist() == [0, 1, 2, 3] and [finding.code for finding in notes.findings] == ["class-range"]
    np.testing.assert_array_equal(np.stack(table.pixels), faces[:4])
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), noise(number))
    (tmp_path / "val.pkl").write_bytes(
        pickle.dumps(
            {"paths": ["pictures/0.png", "pictures\\1.png"], "labels": [1, 2], "classes": ["angry", "happy", "sad"]}
        )
    )
    table, _ = read("pickle", tmp_path / "val.pkl")
    assert (
        [record.faces[0].emotion for record in table] == ["Happy", "Sad"]
        and table.record(0).split == "valid"
        and all(map(os.path.isfile, table.image))
    )


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/emo-was-here",)


def make(form, path, **content):
    if form == "npz":
        np.savez(path, **content)
    elif form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        import h5py

        with h5py.File(path, "w") as file:
            for name, values in content.items():
                file[name] = values


FACES, LABELS = np.zeros((3, 8, 8), np.uint8), np.arange(3)
HOSTILE = {
    "none": {},
    "no labels": {"images": FACES},
    "no images": {"labels": LABELS},
    "short": {"images": FACES, "labels": LABELS[:2]},
    "flat": {"images": FACES[0], "labels": LABELS},
    "text": {"images": FACES, "labels": np.array([b"a", b"b", b"c"])},
    "scalar": {"images": FACES, "labels": np.int64(3)},
    "wide": {"images": FACES.astype(np.int64) + 999, "labels": LABELS},
    "nan": {"images": FACES + np.nan, "labels": LABELS},
    "deep": {"images": FACES[..., None, None], "labels": LABELS},
    "two channels": {"images": np.zeros((3, 8, 8, 2), np.uint8), "labels": LABELS},
    "empty": {"images": np.zeros((3, 0, 8), np.uint8), "labels": LABELS},
    "votes": {"images": FACES, "labels": LABELS, "votes": np.zeros((3, 2))},
    "votes nan": {"images": FACES, "labels": LABELS, "votes": np.full((3, 7), np.nan)},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_that_do_not_fit_are_one_line(tmp_path, form, name):
    need(form)
    make(form, tmp_path / FILES[form], **HOSTILE[name])
    with pytest.raises(DataError) as told:
        read(form, tmp_path)
    assert FILES[form] in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("form", FORMS)
def test_cut_and_garbled_files_are_one_line(tmp_path, form):
    need(form)
    path = tmp_path / FILES[form]
    make(form, path, images=FACES, labels=LABELS)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for trial in range(60):
        data = bytearray(whole[: rng.integers(0, len(whole))] if trial % 2 else whole)
        for at in rng.integers(0, max(1, len(data)), 5) if data else ():
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            read(form, tmp_path)
        except DataError as error:
            assert "\n" not in str(error)


def test_a_pickle_runs_nothing(tmp_path):
    for content in (Evil(), {"images": Evil(), "labels": [1]}, {"images": np.array([Evil()], object), "labels": [1]}):
        (tmp_path / "train.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(DataError, match="which is not read from a pickle"):
            read("pickle", tmp_path)
    np.savez(tmp_path / "train.npz", images=np.array([Evil()], object), labels=LABELS[:1])
    with pytest.raises(DataError):
        read("npz", tmp_path)
    assert not os.path.exists("/tmp/emo-was-here")


@pytest.mark.parametrize("way", ["link", "bytes", "virtual"])
@pytest.mark.parametrize("name", ["images", "labels"])
def test_an_hdf5_does_not_lead_to_other_files(tmp_path, way, name):
    h5py = pytest.importorskip("h5py")
    arrays = {"images": FACES, "labels": LABELS}
    make("hdf5", tmp_path / "secret.h5", **arrays)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        for key, array in arrays.items():
            if key != name:
                file[key] = array
            elif way == "link":
                file[key] = h5py.ExternalLink(str(tmp_path / "secret.h5"), key)
            elif way == "bytes":
                file.create_dataset(
                    key, array.shape, array.dtype, external=[(str(tmp_path / "secret.h5"), 0, array.nbytes)]
                )
            else:
                layout = h5py.VirtualLayout(array.shape, array.dtype)
                layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), key, array.shape)
                file.create_virtual_dataset(key, layout)
    with pytest.raises(DataError, match=f"train.h5: '{name}' lies in another file, .*secret.h5"):
        readers.read("hdf5", tmp_path / "train.h5", Notes())


def test_an_hdf5_may_lead_about_itself(tmp_path):
    h5py = pytest.importorskip("h5py")
    make("hdf5", tmp_path / "train.h5", images=FACES, kept=LABELS)
    with h5py.File(tmp_path / "train.h5", "a") as file:
        file["labels"] = h5py.SoftLink("/kept")
    assert len(readers.read("hdf5", tmp_path / "train.h5", Notes())) == 3


def test_text_of_impossible_characters_is_one_line(tmp_path):
    names = np.array(["happy", "sad"])
    names.view(np.uint32)[0] = 0x77777777
    (tmp_path / "train.pkl").write_bytes(pickle.dumps({"images": FACES, "labels": np.arange(3), "classes": names}))
    with pytest.raises(DataError, match="characters that do not exist"):
        read("pickle", tmp_path)
    (tmp_path / "train.pkl").write_bytes(
        pickle.dumps({"images": FACES, "labels": LABELS, "classes": np.array(["happy", "sad", "fear"], ">U9")})
    )
    assert len(read("pickle", tmp_path)[0]) == 3


def test_bombs_are_refused_by_what_they_claim(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file.create_dataset("images", (10**6, 100, 100), np.uint8, chunks=(64, 100, 100))
        file["labels"] = np.zeros(10**6, np.uint8)
    with pytest.raises(DataError, match="claims 9536 MB"):
        read("hdf5", tmp_path)
    with (
        zipfile.ZipFile(tmp_path / "train.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (1500, 1000, 1000)}
        )
        for _ in range(1500):
            file.write(bytes(10**6))
    with pytest.raises(DataError, match="claims 1430 MB"):
        read("npz", tmp_path)
    with zipfile.ZipFile(tmp_path / "train.npz", "w") as archive, archive.open("images.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
        )
    with pytest.raises(DataError, match="is cut"):
        read("npz", tmp_path)


class NeverFilled:
    """Pickled, an array of 16 GB without its numbers."""

    def __reduce__(self):
        return np.ndarray.__reduce__(FACES)[0], (np.ndarray, (1 << 34,), b"b")


def test_a_bomb_of_a_pickle_says_one_thing_many_times_or_never(tmp_path):
    shared = [0] * 1000
    for _ in range(3):
        shared = [shared] * 1000
    for content in (
        {"images": shared, "labels": [0]},
        {"images": FACES, "labels": [0, 1, 2], "votes": [[1] * 700] * 10**6},
        {"images": NeverFilled(), "labels": [0]},
    ):
        (tmp_path / "train.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(DataError, match="claims .* in .* bytes of file"):
            read("pickle", tmp_path)
    names = ["x" * 10**6, *"ab" * 20000]  # one long text makes no others long: an array of text would take 160 GB
    (tmp_path / "train.pkl").write_bytes(pickle.dumps({"paths": names, "labels": [0] * len(names)}))
    assert len(read("pickle", tmp_path)[0]) == len(names)


def test_an_hdf5_that_gives_one_long_text_for_every_row_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    path, count = tmp_path / "train.h5", 5000
    with h5py.File(path, "w") as file:
        paths = file.create_dataset("paths", (count,), h5py.string_dtype())
        paths[:] = ["x" * 5000] + ["y"] * (count - 1)
        file["labels"] = np.zeros(count, np.uint8)
        place, entry = paths.id.get_offset(), 16  # of a row: the text's length, and where it is
    assert len(read("hdf5", path)[0]) == count
    data = path.read_bytes()
    path.write_bytes(data[:place] + data[place : place + entry] * count + data[place + entry * count :])
    with pytest.raises(DataError, match="claims more than"):
        read("hdf5", path)


SCALES = {"bytes": (np.uint8, 1), "floats": (np.float32, 255), "whole numbers": (np.int32, 1)}


@pytest.mark.parametrize("form", ["hdf5", "packed", "npz", "fortran"])
@pytest.mark.parametrize("kind", SCALES)
def test_rows_stay_in_the_file_until_they_are_looked_at(tmp_path, monkeypatch, form, kind):
    """In any order, also in another process, and as they were; blocks of a few rows here."""
    monkeypatch.setattr(array_files, "BLOCK_BYTES", 7 * 48)
    monkeypatch.setattr(array_files, "CACHE_BYTES", 30 * 48)
    dtype, scale = SCALES[kind]
    faces = np.random.default_rng(0).integers(0, 256, (50, 6, 8), np.uint8)
    stored = (faces / scale).astype(dtype)[..., None]
    path = tmp_path / ("train.npz" if form in ("npz", "fortran") else "train.h5")
    if form == "fortran":
        np.savez(path, images=np.asfortranarray(stored), labels=np.arange(50) % 7)
    elif form == "npz":
        np.savez(path, images=stored, labels=np.arange(50) % 7)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            packed = {"chunks": (4, 3, 8, 1), "compression": "gzip"} if form == "packed" else {}
            file.create_dataset("images", data=stored, **packed)
            file["labels"] = np.arange(50) % 7
    table, _ = read("hdf5" if path.suffix == ".h5" else "npz", path)
    for index in (49, 0, *np.random.default_rng(1).permutation(50).tolist()):
        np.testing.assert_array_equal(table.picture(index), faces[index])
    copy = pickle.loads(pickle.dumps(table.take(np.array([3, 44]))))
    np.testing.assert_array_equal(copy.picture(1), faces[44])
    assert len(pickle.dumps(table.pixels)) < 50 * 48, "what goes to another process is no pixels"


@pytest.mark.parametrize("form", ["hdf5", "npz"])
def test_a_file_that_is_cut_after_it_was_read_is_one_line(tmp_path, form):
    need(form)
    path = tmp_path / FILES[form]
    make(form, path, images=np.ones((2000, 48, 48), np.uint8), labels=np.zeros(2000, int))
    table, _ = read(form, path)
    os.truncate(path, 100_000)
    with pytest.raises(DataError, match="cannot|can be read|claims"):
        table.picture(1999)


@pytest.mark.parametrize("form", ["hdf5", "npz"])
def test_memory_does_not_grow_with_the_set(tmp_path, form):
    """300 MB of faces are read, and written as another form, by a process that may have 120 MB more than it began
    with.
    """
    need(form)
    path, block = tmp_path / FILES[form], np.random.default_rng(0).integers(0, 256, (1000, 100, 100), np.uint8)
    count = 30_000
    if form == "hdf5":
        import h5py

        with h5py.File(path, "w") as file:
            images = file.create_dataset("images", (count, 100, 100), np.uint8)
            for start in range(0, count, 1000):
                images[start : start + 1000] = block
            file["labels"] = np.zeros(count, np.uint8)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open("images.npy", "w") as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": "|u1", "fortran_order": False, "shape": (count, 100, 100)}
                )
                for _ in range(count // 1000):
                    file.write(block.tobytes())
            with archive.open("labels.npy", "w") as file:
                np.save(file, np.zeros(count, np.uint8))
    code = f"""if 1:
        import resource
        import cv2
        from converters import readers
        from converters.table.records import Notes
        def peak():
            return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) >> 10
        before = peak()
        table = readers.read({form!r}, {str(path)!r}, Notes())
        total = sum(int(table.picture(index)[0, 0]) for index in range(len(table)))
        print(len(table), total, peak() - before)"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    faces, total, megabytes = map(int, done.stdout.split())
    assert faces == count and total == int(block[:, 0, 0].sum()) * (count // 1000) and megabytes < 120


def test_what_can_only_be_read_whole_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "MOST_WHOLE", 1 << 20)
    faces = np.random.default_rng(0).integers(0, 256, (500, 48, 48), np.uint8)
    (tmp_path / "train.pkl").write_bytes(pickle.dumps({"images": faces, "labels": np.zeros(500, int)}))
    np.savez_compressed(tmp_path / "train.npz", images=faces, labels=np.zeros(500, int))
    for form in ("pickle", "npz"):
        with pytest.raises(DataError, match="read whole, up to a limit of 1 MB.*HDF5"):
            read(form, tmp_path)
    np.savez(tmp_path / "train.npz", images=faces, labels=np.zeros(500, int))
    assert len(read("npz", tmp_path)[0]) == 500
    monkeypatch.setenv("EMO_MAX_PIXELS", "2000")
    with pytest.raises(DataError, match="48x48: more than 2000 pixels"):
        read("npz", tmp_path)


def test_a_piece_of_an_hdf5_that_is_larger_than_the_limit(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    monkeypatch.setattr(array_files, "MOST_CHUNK", 1 << 20)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file.create_dataset("images", (500, 48, 48), np.uint8, chunks=(500, 48, 48))
        file["labels"] = np.zeros(500, int)
    with pytest.raises(DataError, match="in pieces of 1 MB.*h5repack"):
        read("hdf5", tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_one_line_and_leaves_nothing(fer2013_csv, tmp_path, form):
    """A limit on the size of files fails a write as a full disk does."""
    need(form)
    path = fer2013_csv(400)
    code = f"""if 1:
        import resource, signal, sys
        from converters.convert import Settings, convert
        from converters.errors import EmoError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
        try:
            convert([("fer2013", {str(path)!r})], {str(tmp_path / "out")!r}, Settings(task={form!r}), jobs=1)
        except EmoError as error:
            print(error)
            sys.exit(1)"""
    for limit in (100_000, 440_000, 460_800, 462_000):  # in the rows of 200 faces; at the end of the file
        done = subprocess.run(
            [sys.executable, "-c", code, str(limit)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        if limit < 461_000 or done.returncode:
            assert (done.returncode, done.stderr) == (1, ""), done.stderr[-2000:]
            assert "cannot be written" in done.stdout and done.stdout.count("\n") == 1
            assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
