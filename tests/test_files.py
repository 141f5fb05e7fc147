import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditta_jax.errors import UserError
from ditta_jax.files import parse_json, read_regular, seal, unseal, write_atomically

simple = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False)
)
names = st.text(max_size=5)
values = simple | st.lists(simple | st.dictionaries(names, simple, max_size=3), max_size=3)
contents = st.dictionaries(names, values, min_size=1, max_size=4)
CONTENT = {"format": "x", "frames": [[{"a": 1}], []], "text": "äß\n", "number": 0.1}


@given(contents)
def test_content_comes_back_and_is_plain_json(content):
    data = seal(content)
    assert unseal(data) == content
    assert {key: json.loads(data)[key] for key in content} == content


def test_every_truncation_is_refused():
    data = seal(CONTENT)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="cut off|truncated"):
            unseal(data[:length])


@given(st.integers(0, len(seal(CONTENT)) - 1), st.integers(1, 255))
def test_every_changed_byte_is_refused(place, change):
    data = bytearray(seal(CONTENT))
    data[place] ^= change
    with pytest.raises(ValueError, match="cut off|checksum"):
        unseal(bytes(data))


@pytest.mark.parametrize("data", [b"", b"{}", b"\x00" * 500, b'{"checksum": "00"}'])
def test_other_files_are_refused(data):
    with pytest.raises(ValueError):
        unseal(data)


def test_numbers_that_json_lacks_are_not_written():
    with pytest.raises(ValueError):
        seal({"a": [float("nan")]})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_atomically(path, b"old")

    def fail(source, target):
        raise OSError("disk is gone")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="file.json: cannot be written: disk is gone"):
        write_atomically(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]
    assert path.read_bytes() == b"old"


def test_leftovers_of_killed_runs_are_removed_and_recent_ones_left(tmp_path):
    old, recent = tmp_path / ".a.json.1-1.partial", tmp_path / ".a.json.2-2.partial"
    old.write_bytes(b"{")
    recent.write_bytes(b"{")
    two_hours_ago = time.time() - 7200
    os.utime(old, (two_hours_ago, two_hours_ago))
    write_atomically(tmp_path / "a.json", b"{}")
    assert not old.exists() and recent.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
        ('{"deep": [{"a": 1, "a": 1}]}', "'a' is there twice"),
        ("[NaN]", "NaN is not a number"),
        ("[-Infinity]", "Infinity is not a number"),
        ("[1e999]", "too large a number"),
        ("1" * 5000, "digits"),
        ("[1,]", "not valid JSON"),
        ("", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
    ],
)
def test_json_is_strict(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        parse_json(text if isinstance(text, bytes) else text.encode())
    assert len(str(caught.value)) < 200


def test_what_is_no_regular_file_is_not_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="5 bytes, at most 4"):
        read_regular(tmp_path / "file", 4)
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for name in ("link", "pipe"):
        with pytest.raises(ValueError, match="link|regular"):
            read_regular(tmp_path / name, 100)
    with pytest.raises((ValueError, IsADirectoryError)):
        read_regular(tmp_path, 100)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nothing", 100)
