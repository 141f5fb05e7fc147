import pytest

from ditta_jax.configuration import default_config
from ditta_jax.runs.notices import notices


@pytest.mark.parametrize(
    ("kind", "student", "teacher", "said"),
    [
        ("tfds", "embedded", "embedded", []),
        ("file", "embedded", "large", ["student"]),
        ("file", "checkpoints/b5", "embedded", ["teacher"]),
        ("folder", "embedded", "embedded", ["student", "teacher"]),
        ("vspw", "checkpoints/b5", "flow", []),
    ],
)
def test_parts_of_the_demo_that_meet_other_data_are_named(kind, student, teacher, said):
    config = default_config()
    config.data.kind = kind
    config.student.checkpoint, config.teacher.config = student, teacher
    lines = list(notices(config))
    assert [line.split()[3] for line in lines] == said
    assert all(line.startswith("note: ") and "\n" not in line for line in lines)


def test_another_prepared_data_set_is_other_data():
    config = default_config()
    config.data.builder = "cityscapes_video"
    assert len(list(notices(config))) == 2
