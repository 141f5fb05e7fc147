import errno
import hashlib
import logging
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditta_jax.errors import UserError
from ditta_jax.files import seal, unseal
from ditta_jax.teacher import mask_rle
from ditta_jax.teacher.cache import (
    ClassPeak,
    EarlierEntry,
    Masklets,
    class_peaks,
    masklets_path,
    read_entry,
    read_masklets,
    request_key,
    teacher_key,
    write_masklets,
    write_request,
)
from tests.teacher_bridge.scenes import (
    ListedFrames,
    flat_reliability,
    moving_squares,
    request_for,
)

KEY = teacher_key({"teacher": "of these tests"})
IMAGES, LABELS = moving_squares(3, (24, 32))
REQUEST = request_for(LABELS, flat_reliability(LABELS), 4, video="a/strange näme")


def masklets_for(request=REQUEST, seed=0):
    """Random overlapping masks of three objects, listed in another order in every frame."""
    rng = np.random.default_rng(seed)
    frames = tuple(
        tuple((int(o), mask_rle.encode(rng.random(request.size) < 0.3)) for o in order)
        for order in (rng.permutation([1, 2, 3])[: rng.integers(4)] for _ in request.frames)
    )
    provenance = {"teacher": "random", "seconds": 0.5}
    return Masklets(request.size, (1, 2, 3), frames, request.pixels_per_class(), provenance)


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    return write_request(tmp_path_factory.mktemp("cache"), REQUEST, ListedFrames(IMAGES))


# --- peaks ---------------------------------------------------------------------------------------


@given(st.integers(0, 10**6))
def test_class_peaks_match_a_loop_over_pixels(seed):
    rng = np.random.default_rng(seed)
    label = rng.choice(np.array([0, 1, 2, 7, 254, 255], np.uint8), (5, 6))
    reliability = rng.integers(0, 4, (5, 6)).astype(np.float32) / 3  # many equal ones
    expected = {}
    for y in range(5):
        for x in range(6):
            c, r = int(label[y, x]), float(reliability[y, x])
            before = expected.get(c, ClassPeak(c, -1.0, 0, 0, 0))
            best = before if before.reliability >= r else ClassPeak(c, r, y, x, 0)
            expected[c] = best._replace(pixels=before.pixels + 1)
    expected.pop(255, None)
    assert class_peaks(label, reliability) == tuple(expected[c] for c in sorted(expected))


def test_class_peaks_refuse_what_is_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        class_peaks(np.zeros((1, 2), np.uint8), np.array([[0.5, np.nan]]))


def test_pixels_per_class_count_all_classes_of_all_frames():
    assert np.array_equal(REQUEST.pixels_per_class(), np.bincount(LABELS.ravel(), minlength=4))


# --- requests ------------------------------------------------------------------------------------


def test_request_comes_back(entry):
    found = read_entry(entry)
    assert found.request == REQUEST
    assert found.key == request_key(REQUEST, found.frame_digests)
    assert entry.name == f"a_strange_n_me-{found.key[:16]}"
    frames = ListedFrames(IMAGES)
    assert [file.read_bytes() for file in found.frame_files] == [
        frames.encoded(t) for t in range(3)
    ]
    assert [file.name for file in found.frame_files] == ["00000.png", "00001.png", "00002.png"]


def another_file_system(source, target):
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_files_become_hard_links_or_copies(tmp_path, monkeypatch):
    originals = []
    for t in range(3):
        originals.append(tmp_path / f"original_{t}.png")
        originals[t].write_bytes(ListedFrames(IMAGES).encoded(t))
    linked = read_entry(write_request(tmp_path / "a", REQUEST, ListedFrames(files=originals)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", another_file_system)
        copied = read_entry(write_request(tmp_path / "b", REQUEST, ListedFrames(files=originals)))
    assert linked.key == copied.key
    for original, link, copy in zip(originals, linked.frame_files, copied.frame_files, strict=True):
        assert link.samefile(original) and not copy.samefile(original)
        original.unlink()
        assert link.read_bytes() == copy.read_bytes()


def test_an_entry_works_in_another_place(entry, tmp_path):
    text = (entry / "request.json").read_text()
    assert str(entry.parent) not in text
    moved = shutil.copytree(entry, tmp_path / entry.name)
    assert read_entry(moved).key == read_entry(entry).key


def test_writing_again_changes_nothing_and_repairs_a_damaged_frame(tmp_path):
    folder = write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    state = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    assert write_request(tmp_path, REQUEST, ListedFrames(IMAGES)) == folder
    assert state == {file: file.stat().st_mtime_ns for file in state}
    frame = read_entry(folder).frame_files[1]
    whole = frame.read_bytes()
    frame.write_bytes(whole[:100])
    write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    assert frame.read_bytes() == whole


def with_peak(**values):
    """The request with the first peak of its first frame changed."""
    first = (REQUEST.peaks[0][0]._replace(**values), *REQUEST.peaks[0][1:])
    return REQUEST._replace(peaks=(first, *REQUEST.peaks[1:]))


@pytest.mark.parametrize(
    "other",
    [
        REQUEST._replace(video="another"),
        REQUEST._replace(frames=("x", *REQUEST.frames[1:])),
        REQUEST._replace(size=(24, 33)),
        REQUEST._replace(peaks=(REQUEST.peaks[0][:-1], *REQUEST.peaks[1:])),
        REQUEST._replace(kind="first frame"),
        REQUEST._replace(thresholds=(0.95, 0.8)),  # no longer passed by any peak
        REQUEST._replace(thresholds=(0.8, 0.95)),
        REQUEST._replace(max_objects=2),
        with_peak(reliability=0.7),
        with_peak(reliability=0.95, class_id=3),
        with_peak(y=1),
        with_peak(x=1),
    ],
)
def test_key_changes_with_everything_that_decides_the_masks(other):
    digests = ["0" * 64] * 3
    assert request_key(other, digests) != request_key(REQUEST, digests)


@pytest.mark.parametrize(
    "other",
    [
        with_peak(reliability=np.nextafter(0.9, 1)),  # the first in order already
        with_peak(reliability=0.95),
        with_peak(pixels=5),
        REQUEST._replace(thresholds=(0.81, 0.5)),  # passed by the same peaks
        REQUEST._replace(max_objects=1000),  # not reached
        REQUEST._replace(num_classes=5),
    ],
)
def test_key_does_not_change_with_what_leads_to_the_same_prompts(other):
    digests = ["0" * 64] * 3
    assert request_key(other, digests) == request_key(REQUEST, digests)


@given(st.integers(0, 10**6))
def test_key_holds_under_noise_in_the_last_bits_and_not_under_another_order(seed):
    rng = np.random.default_rng(seed)
    peaks = REQUEST.peaks[0]
    assert len(peaks) == 3
    values = np.float32([0.97, 0.91, 0.85])
    noisy = np.nextafter(values, np.float32(rng.choice([0, 2])), dtype=np.float32)

    def key(of):
        frame = tuple(p._replace(reliability=float(r)) for p, r in zip(peaks, of, strict=True))
        return request_key(REQUEST._replace(peaks=(frame, *REQUEST.peaks[1:])), ["0" * 64] * 3)

    assert key(noisy) == key(values)
    assert key(values[[1, 0, 2]]) != key(values)
    assert key([*values[:2], 0.75]) != key(values)  # below the threshold of 0.8


def test_the_same_prompts_are_not_asked_for_again(tmp_path):
    folder = write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    write_masklets(folder, KEY, masklets_for())
    elsewhere = with_peak(reliability=float(np.nextafter(0.9, 1)), pixels=5)
    assert write_request(tmp_path, elsewhere, ListedFrames(IMAGES)) == folder
    found = read_masklets(folder, KEY)
    assert found.frames == masklets_for().frames
    # N(c) is of the student that asks now.
    assert np.array_equal(found.pixels_per_class, elsewhere.pixels_per_class())


def test_key_changes_with_any_frame_and_with_their_order():
    digests = ["0" * 64, "1" * 64, "2" * 64]
    keys = {request_key(REQUEST, d) for d in (digests, digests[::-1], [*digests[:2], "3" * 64])}
    assert len(keys) == 3


def test_key_does_not_change_with_the_order_of_peaks_or_number_types():
    digests = ["0" * 64] * 3
    same = REQUEST._replace(
        peaks=tuple(tuple(reversed(frame)) for frame in REQUEST.peaks),
        size=tuple(np.array(REQUEST.size)),
        thresholds=tuple(np.array(REQUEST.thresholds)),
        max_objects=np.int64(REQUEST.max_objects),
    )
    assert request_key(same, digests) == request_key(REQUEST, digests)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"peaks": REQUEST.peaks[:2]}, "peaks of 2 frames"),
        ({"frames": (), "peaks": ()}, "at least one frame"),
        ({"size": (10, 10)}, "impossible peak"),
        ({"num_classes": 2}, "impossible peak of class 2"),
        ({"peaks": (REQUEST.peaks[0] * 2, *REQUEST.peaks[1:])}, "two peaks of one class"),
        ({"frames": ("a",) * 4, "peaks": REQUEST.peaks + REQUEST.peaks[:1]}, "4 frames requested"),
    ],
)
def test_impossible_requests_are_refused(tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        write_request(tmp_path, REQUEST._replace(**values), ListedFrames(IMAGES))
    assert not list(tmp_path.iterdir())


def test_damaged_requests_are_named(tmp_path):
    folder = write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    path = folder / "request.json"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(UserError, match="request.json: damaged request"):
        read_entry(folder)
    content = unseal(data)
    content["frames"][0]["file"] = "../../secret.png"
    path.write_bytes(seal(content))
    with pytest.raises(UserError, match="leads out of the entry"):
        read_entry(folder)
    path.write_bytes(data)
    with pytest.raises(UserError, match="belongs to another entry"):
        read_entry(folder.rename(tmp_path / "renamed-0123456789abcdef"))


# --- masklets ------------------------------------------------------------------------------------


def test_masklets_come_back(entry):
    for seed in range(10):
        masklets = masklets_for(seed=seed)
        write_masklets(entry, KEY, masklets)
        found = read_masklets(entry, KEY)
        assert found._replace(pixels_per_class=()) == masklets._replace(pixels_per_class=())
        assert np.array_equal(found.pixels_per_class, masklets.pixels_per_class)
        for t, frame in enumerate(masklets.frames):
            ids, masks = found.decode(t)
            assert ids.tolist() == [object_id for object_id, _ in frame]
            assert masks.shape == (len(frame), *REQUEST.size) and masks.dtype == bool
            assert [mask_rle.encode(mask) for mask in masks] == [counts for _, counts in frame]


def test_no_masklets_is_no_reason_for_a_warning(entry, caplog):
    assert read_masklets(entry, teacher_key({"teacher": "nobody"})) is None
    assert not caplog.records


def assert_refused(entry, data, caplog, reason=""):
    path = masklets_path(entry, KEY)
    path.write_bytes(data)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert read_masklets(entry, KEY) is None
    (record,) = caplog.records
    message = record.getMessage()
    assert str(path) in message and "\n" not in message and reason in message


def test_every_truncated_file_is_named_and_not_used(entry, caplog):
    data = write_masklets(entry, KEY, masklets_for()).read_bytes()
    for length in {*range(0, len(data), 61), *range(len(data) - 5, len(data)), 1, 2}:
        assert_refused(entry, data[:length], caplog)


def test_every_flipped_bit_is_named_and_not_used(entry, caplog):
    data = write_masklets(entry, KEY, masklets_for()).read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 100):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        assert_refused(entry, bytes(flipped), caplog)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"format": "other"}, "not a file of format"),
        ({"version": 0}, "version 0"),
        ({"request_key": "0" * 64}, "another request"),
        ({"teacher_key": "0" * 64}, "another teacher"),
        ({"size": [24, 31]}, "masks of size"),
        ({"frames": [[], []]}, "2 frames, expected 3"),
        ({"objects": [2, 3]}, "object ids"),
        ({"frames": [[{"object": 4, "counts": "P0"}], [], []]}, "an unknown one"),
        ({"frames": [[{"object": 1, "counts": "P0"}], [], []]}, "run lengths"),
        ({"frames": [[{"object": 1}], [], []]}, "counts"),
        ({"frames": [[{"object": 1, "counts": 5}], [], []]}, "not a string"),
        ({"frames": [[{"object": 1, "counts": "0" * 10**6}], [], []]}, "longer than any"),
        ({"frames": [[{"object": True, "counts": "P0"}], [], []]}, "an unknown one"),
        ({"frames": [[5], [], []]}, "a mask must be a mapping"),
        ({"frames": [[{"object": 1, "counts": "P0"}] * 4, [], []]}, "frame 0 must be a list"),
        ({"frames": 3}, "frames must be a list"),
        ({"objects": None}, "objects must be a list"),
        ({"objects": [True, 2, 3]}, "object ids"),
        ({"size": [24.0, 32]}, "a side must be a whole number"),
        ({"size": [10**30, 1]}, "a side must be a whole number"),
        ({"provenance": []}, "provenance must be a mapping"),
        ({"provenance": {"seconds": "long"}}, "seconds must be a number"),
    ],
)
def test_whole_files_that_do_not_fit_are_named_and_not_used(entry, caplog, values, reason):
    content = unseal(write_masklets(entry, KEY, masklets_for()).read_bytes())
    assert_refused(entry, seal({**content, **values}), caplog, reason)


def test_masklets_of_another_entry_are_not_used(entry, tmp_path, caplog):
    path = write_masklets(entry, KEY, masklets_for())
    other_request = REQUEST._replace(max_objects=7)
    other = write_request(tmp_path, other_request, ListedFrames(IMAGES))
    shutil.copy(path, masklets_path(other, KEY))
    with caplog.at_level(logging.WARNING):
        assert read_masklets(other, KEY) is None
    assert "another request" in caplog.text


def test_what_could_not_be_read_is_not_written(entry):
    with pytest.raises(ValueError, match="expected 3"):
        write_masklets(entry, KEY, masklets_for()._replace(frames=((),)))


def test_partial_file_of_a_killed_writer_is_not_taken_for_an_answer(tmp_path):
    folder = write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    final = masklets_path(folder, KEY)
    (folder / f".{final.name}.123-456.partial").write_bytes(b'{\n"checksum": "')
    assert read_masklets(folder, KEY) is None
    write_masklets(folder, KEY, masklets_for())
    assert read_masklets(folder, KEY) is not None


# --- crafted by hand -----------------------------------------------------------------------------


def craft(folder, **values):
    """Puts a whole request.json with these values in place of the entry's."""
    path = folder / "request.json"
    path.write_bytes(seal({**unseal(path.read_bytes()), **values}))


def peaks_of(*values):
    return {"peaks": [[list(values)], [], []]}


FRAME = {"name": "a", "file": "00000.png", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"num_classes": 10**12}, "num_classes must be a whole number from 1 to 65535"),
        ({"num_classes": 10**300}, "num_classes"),
        ({"num_classes": -1}, "num_classes"),
        ({"num_classes": True}, "num_classes"),
        ({"num_classes": 4.0}, "num_classes"),
        ({"num_classes": None}, "num_classes"),
        ({"max_objects": 10**30}, "max_objects"),
        ({"max_objects": -1}, "max_objects"),
        ({"size": [10**9, 10**9]}, "a side"),
        ({"size": [65535, 65535]}, "pixels, at most"),
        ({"size": [0, 5]}, "a side"),
        ({"size": [24]}, "size must be a list"),
        ({"size": "24"}, "size must be a list"),
        ({"thresholds": ["0.8", 0.8]}, "a threshold"),
        ({"thresholds": [0.8]}, "thresholds"),
        (peaks_of(1, 0.9, 0, 0, 10**30), "a class's pixels"),
        (peaks_of(1, 0.9, 0, 0, -4), "a class's pixels"),
        (peaks_of(1, 0.9, -1, 0, 4), "a peak's row"),
        (peaks_of(1, 0.9, 0, 10**30, 4), "a peak's column"),
        (peaks_of(1, "sure", 0, 0, 4), "a peak's reliability"),
        (peaks_of(1, 0.9, 0, 0), "a peak must be a list"),
        (peaks_of(1, 0.9, 0, 0, 24 * 32 + 1), "an impossible peak"),
        ({"peaks": {}}, "peaks must be a list"),
        ({"kind": "other"}, "kind 'other'"),
        ({"kind": 5}, "kind must be text"),
        ({"video": 5}, "video must be text"),
        ({"video": ""}, "is no name"),
        ({"video": "a\0b"}, "is no name"),
        ({"video": "a\nb"}, "is no name"),
        ({"video": "x" * 10**6}, "video must be text of at most"),
        ({"frames": [{**FRAME, "name": "a\x1b[2J"}] * 3}, "is no name"),
        ({"frames": [{**FRAME, "sha256": "x"}] * 3}, "sha256"),
        ({"frames": [{"name": "a"}] * 3}, "no 'file'"),
        ({"frames": ["00000.png"] * 3}, "a frame must be a mapping"),
        ({"frames": None}, "frames must be a list"),
        *[
            ({"frames": [{**FRAME, "file": name}] * 3}, "leads out of the entry")
            for name in (
                *("../00000.png", "/etc/passwd", "a/b.png", "..", "", "C:00000.png", "00000.txt"),
                *("..\\00000.png", "00000.png\0", "00000.png\n", "request.json", "-00000.png"),
            )
        ],
    ],
)
def test_crafted_requests_are_one_line(tmp_path, values, reason):
    folder = write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    craft(folder, **values)
    with pytest.raises(UserError, match="request.json: damaged request.*" + reason) as caught:
        read_entry(folder)
    assert len(str(caught.value)) < 400 + len(str(folder))


@pytest.mark.robustness(
    "Teacher and masklets",
    "a request crafted by hand: 200 000 nested lists, a key twice, NaN, a count of 10^30",
    "refused in one line before anything is allocated",
)
@pytest.mark.parametrize(
    "body", ["[" * 200_000, '{"a": 1, "a": 2}', "NaN", "1e999", "9" * 5000, '{"video": "b"}']
)
def test_crafted_json_is_one_line(tmp_path, body, said):
    folder = write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    rest = f'",\n"x": {body}\n}}\n'.encode()
    digest = hashlib.sha256(rest).hexdigest().encode()
    (folder / "request.json").write_bytes(b'{\n"checksum": "' + digest + rest)
    with pytest.raises(UserError, match="request.json: damaged request") as caught:
        read_entry(folder)
    said(str(caught.value))


@pytest.mark.robustness(
    "Teacher and masklets",
    "a cache entry, or its `frames`, that is a link to another folder",
    "refused; nothing in the link's target is replaced",
)
@pytest.mark.parametrize("part", ["", "frames"])
def test_links_in_the_cache_are_not_followed(tmp_path, part, said):
    folder = write_request(tmp_path / "cache", REQUEST, ListedFrames(IMAGES))
    moved = (folder / part).rename(tmp_path / "target")
    (folder / part).symlink_to(moved)
    mine = moved / ("00000.png" if part else "frames/00000.png")
    mine.write_bytes(b"of another program")
    with pytest.raises(UserError, match="a link, expected a folder") as caught:
        write_request(tmp_path / "cache", REQUEST, ListedFrames(IMAGES))
    said(str(caught.value))
    with pytest.raises(UserError, match="a link"):
        read_entry(folder)
    with pytest.raises(UserError, match="a link"):
        write_masklets(folder, KEY, masklets_for())
    assert mine.read_bytes() == b"of another program" and not list(moved.glob("masklets*"))


def test_files_of_the_cache_that_are_links_are_replaced_themselves(tmp_path):
    folder = write_request(tmp_path / "cache", REQUEST, ListedFrames(IMAGES))
    answer = write_masklets(folder, KEY, masklets_for())
    for path in (folder / "request.json", folder / "frames" / "00001.png", answer):
        for link in (path.symlink_to, path.hardlink_to):
            victim = tmp_path / "victim"
            victim.write_bytes(b"mine")
            path.unlink()
            link(victim)
            write_request(tmp_path / "cache", REQUEST, ListedFrames(IMAGES))
            write_masklets(folder, KEY, masklets_for())
            assert victim.read_bytes() == b"mine"
            victim.unlink()
            assert read_masklets(folder, KEY) is not None and path.stat().st_size > 10


def test_pipes_and_devices_in_the_cache_do_not_hang(tmp_path, caplog):
    folder = write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    os.mkfifo(masklets_path(folder, KEY))
    assert read_masklets(folder, KEY) is None and "no regular file" in caplog.text
    (folder / "request.json").unlink()
    (folder / "request.json").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="request.json: damaged request.*a link"):
        read_entry(folder)


def test_a_video_called_like_an_option_has_a_folder_that_is_none(tmp_path):
    for video in ("--help", "-x", "..", "."):
        folder = write_request(tmp_path, REQUEST._replace(video=video), ListedFrames(IMAGES))
        assert folder.parent == tmp_path and folder.name[0] not in "-."
        assert read_entry(folder).request.video == video


def test_entries_of_the_first_version_are_told_apart(tmp_path):
    folder = write_request(tmp_path, REQUEST, ListedFrames(IMAGES))
    craft(folder, version=1)
    with pytest.raises(EarlierEntry, match="request.json: of an earlier version"):
        read_entry(folder)
