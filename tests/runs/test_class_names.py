import pytest

from ditta_jax.errors import UserError
from ditta_jax.runs.class_names import distinct_names, read_class_names

NAMES = ("Straße", "traffic light", "sky")
PLAIN = "Straße\ntraffic light\nsky\n"


@pytest.mark.robustness(
    "Student weights",
    "a file of class names: any encoding, line ends, numbers, blank lines, comments",
    "read as meant",
)
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (PLAIN, "utf-8"),
        (PLAIN, "utf-8-sig"),
        (PLAIN, "utf-16"),
        (PLAIN, "utf-16-le"),
        (PLAIN, "utf-16-be"),
        (PLAIN, "utf-32"),
        (PLAIN, "latin-1"),
        (PLAIN.replace("\n", "\r\n"), "utf-8"),
        (PLAIN.replace("\n", "\r"), "utf-8"),
        (f"\n\n  {PLAIN}\n \n", "utf-8"),
        (f"# names\n{PLAIN}", "utf-8"),
        ("0: Straße\n1: traffic light\n2: sky", "utf-8"),
        ("1. Straße\n2. traffic light\n3. sky", "utf-8"),
        ("0\tStraße\n1\ttraffic light\n2\tsky", "utf-8"),
        ("0,Straße\n1,traffic light\n2,sky", "utf-8"),
        ("0 Straße\n1 traffic light\n2 sky", "utf-8"),
        ("Straße, traffic light, sky", "utf-8"),
    ],
)
def test_names_are_read_from_files_as_people_have_them(tmp_path, text, encoding):
    path = tmp_path / "classes.txt"
    path.write_bytes(text.encode(encoding))
    assert read_class_names(str(path), "--classes") == NAMES


@pytest.mark.parametrize("text", ["road,car", "(road, car)", "['road', 'car']", "road, car,"])
def test_names_are_read_from_the_option(text):
    assert read_class_names(text, "--classes") == ("road", "car")


def test_no_option_is_no_names():
    assert read_class_names("", "--classes") == ()


@pytest.mark.robustness(
    "Student weights", "a file of class names that is none, or has one twice", "refused"
)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; write one name a line"),
        (b"\n\n", "is empty"),
        (b"road\ncar\nroad\n", "it has 'road' twice"),
        (b"0: road\n2: car\n", "its numbers must be 0, 1, 2"),
        (b"5: road\n6: car\n", "its numbers must be 0, 1, 2"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is no text"),
        (b"\x00\x01\x02\x03", "is no text"),
        (b"a\x01b\n", "is no text"),
        (b"\n".join(b"%d x" % i for i in range(300)), "300 classes are more than 255"),
        (b"x" * 2**21, "is too large"),
    ],
)
def test_what_is_no_list_of_names_is_refused(tmp_path, said, content, words):
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_class_names(str(path), "--classes")
    message = said(str(caught.value))
    assert words in message and str(path) in message and len(message.splitlines()) == 1


def test_a_folder_or_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        read_class_names(str(tmp_path), "--classes")
    with pytest.raises(UserError, match="no such file"):
        read_class_names(str(tmp_path / "none.txt"), "--classes")


def test_names_are_made_distinct():
    names = ("road", "road", "", "road", "a\nb", "road (2)")
    made = ("road", "road (2)", "class 2", "road (3)", "ab", "road (2) (2)")
    assert distinct_names(names) == made
