import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditta_jax.names import MOST_BYTES, fault_of, file_name, kept_name

BAD = [
    *("", " ", ".", "..", "../up", "/etc/passwd", "a/b", "a\\b", "..\\up", "\\\\host\\share"),
    *("C:", "c:secret", "C:\\secret", "nul\0byte", "new\nline", "tab\t", "\x7f", "NUL", "con.png"),
    *("lpt1", "\udcff", "x" * (MOST_BYTES + 1), "한" * 86),
]


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_name_has_a_fault(name):
    assert fault_of(name)


@pytest.mark.parametrize("name", [None, 3, True, 1.5, ["a"], {"a": 1}, b"a"])
def test_only_text_is_a_name(name):
    assert "not text" in fault_of(name)


@pytest.mark.parametrize(
    "name", ["street", "a video", "--help", "-x", "한국어", "x" * MOST_BYTES, "...", "a.b", "100%"]
)
def test_names(name):
    assert fault_of(name) == ""


@pytest.mark.parametrize("name", [*BAD, "--help", ".hidden", "trailing.", "trailing ", "100%"])
def test_every_text_becomes_one_component(name):
    encoded = file_name(name)
    assert fault_of(encoded) == ""
    assert encoded[0] not in ".-" and encoded[-1] not in ". "


def test_plain_names_stay_readable():
    for name in ("street_01", "a video", "frame (3)", "x=1,y=2"):
        assert file_name(name) == name
    assert file_name("a/b") == "a%2Fb"


@pytest.mark.robustness(
    "Teacher and masklets",
    "a video with a long name (30 Korean characters)",
    "its files carry the beginning of the name and a hash of it, the same in every run",
)
def test_long_names_are_cut_and_stay_different(said):
    names = ["한" * 30, "한" * 31, "한" * 85, "x" * 255, "x" * 254 + "y", "x" * 5000]
    encoded = [file_name(name) for name in names]
    assert len(set(encoded)) == len(names)
    for name in encoded:
        assert len(name.encode()) <= 150 and fault_of(name) == ""
        assert file_name(name) != name  # nobody can be called like another's shortened name
    said(file_name(names[0]))
    assert file_name("한" * 30) == "%ED%95%9C" * 11 + "!" + file_name("한" * 30)[-16:]


@given(st.text(max_size=60), st.text(max_size=60))
def test_different_names_stay_different(a, b):
    assert (file_name(a) == file_name(b)) == (a == b)
    assert fault_of(file_name(a)) == ""


def test_names_of_frames_are_kept_where_they_fit():
    assert kept_name("거리_0001", ".png") == "거리_0001.png"
    assert kept_name("한" * 84, ".png") == file_name("한" * 84) + ".png"
    for name in ("../up", "/etc/passwd", "a\0b", "-x", ".hidden", "", "a%2Fb"):
        assert kept_name(name, ".png") == file_name(name) + ".png" != name + ".png"


@given(st.text("ab/%2F!.-", max_size=6), st.text("ab/%2F!.-", max_size=6))
def test_kept_names_stay_different(a, b):
    assert (kept_name(a, ".png") == kept_name(b, ".png")) == (a == b)
