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


@pytest.mark.robustness(
    "Settings and command line",
    "a setting that acts only together with another one, given without it",
    "said that it has no effect, and why",
)
@pytest.mark.parametrize(
    ("key", "value", "together"),
    [
        ("student.supervised", "elsewhere", {"methods": ("frozen", "supervised")}),
        ("tent.lr", 0.5, {"methods": ("frozen", "tent")}),
        ("cotta.scales", (0.5, 1.0), {"methods": ("cotta",)}),
        ("ditta_cuts.distance", 0.5, {"methods": ("ditta_cuts",)}),
        ("profile.videos", ("a",), {"profile.folder": "trace"}),
        ("report.reference", "runs/demo", {"report.tensorboard": True}),
        ("parallel.workers", 3, {"parallel.executor": "ray"}),
        ("parallel.ray_address", "auto", {"parallel.executor": "ray"}),
    ],
)
def test_a_setting_in_vain_is_told(said, key, value, together):
    config = default_config()
    assert not list(notices(config))
    config.update_from_flattened_dict({key: value})
    (line,) = notices(config)
    assert said(line).startswith(f"note: {key} has no effect: ")
    config.update_from_flattened_dict(together)
    assert not list(notices(config))


def test_where_data_lies_is_in_vain_without_a_builder():
    config = default_config()
    config.data.update(kind="vspw", path="VSPW_480p", manual_dir="VSPW_480p")
    first, *_ = notices(config)
    assert first == "note: data.manual_dir has no effect: data.kind is not tfds"
