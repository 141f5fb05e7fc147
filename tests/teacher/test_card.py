import json

import pytest

from ditta_jax.errors import UserError
from ditta_jax.teacher.card import TeacherCard, card_of, read_card

GOOD = {"mask_threshold": 2, "learning_rate": 1e-4, "why": "measured"}


def test_a_card_says_what_it_says(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(GOOD))
    assert read_card(tmp_path / "card.json") == TeacherCard(2.0, 1e-4)
    (tmp_path / "card.json").write_text("{}")
    assert read_card(tmp_path / "card.json") == TeacherCard() == card_of("large")
    assert card_of("embedded").lr == 1e-4


@pytest.mark.robustness(
    "Teacher and masklets",
    "a teacher's `card.json` edited by hand: cut, another type, out of range, an unknown key",
    "refused by file and key",
)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(GOOD | {"learning_rate": "1e-4"}), "'learning_rate' must be float"),
        (json.dumps(GOOD | {"learning_rate": [1e-4]}), "'learning_rate' must be float"),
        (json.dumps(GOOD | {"learning_rate": True}), "'learning_rate' must be float"),
        (json.dumps(GOOD | {"learning_rate": 0}), "it is out of range"),
        (json.dumps(GOOD | {"learning_rate": -1e-4}), "it is out of range"),
        (json.dumps(GOOD | {"learning_rate": 2}), "it is out of range"),
        (json.dumps(GOOD | {"learning_rate": float("nan")}), "NaN is not a number"),
        (json.dumps(GOOD | {"mask_threshold": 1e9}), "'mask_threshold' must be in"),
        (json.dumps(GOOD | {"mask_treshold": 2}), "unknown key 'mask_treshold'"),
        (json.dumps(GOOD)[:30], "not valid JSON"),
        ('{"learning_rate": 1, "learning_rate": 2}', "is there twice"),
        ("[" * 50_000, "nested too deeply"),
        ("[]", "expected a JSON object"),
        ("", "not valid JSON"),
        ("\x00\xff", "not valid JSON"),
        (None, "No such file"),
    ],
)
def test_a_card_that_is_none_is_refused(tmp_path, said, text, words):
    path = tmp_path / "card.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match="card.json: not the card of a teacher: ") as error:
        read_card(path)
    assert words in said(str(error.value))


def test_a_link_or_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("link")
    for name, words in (("folder", "Is a directory"), ("link", "it is a link or no file")):
        with pytest.raises(UserError, match=f"not the card of a teacher: {words}"):
            read_card(tmp_path / name)
