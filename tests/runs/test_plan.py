import pytest

from ditta_jax.configuration import default_config
from ditta_jax.runs.plan import Footprint, footprint_of, lines, programs_of
from ditta_jax.runs.preflight import Preview
from ditta_jax.runs.settings import with_teachers_own

SMALL = Preview("a", (96, 160), 60, 6, 54, 54, (), ("a: a warning",))
OTHER = Preview("bb", (480, 853), 20, 2, 18, 0, (), ())
BAD = Preview("c", (0, 0), 0, 0, 0, 0, ("c.mp4: no such video file",), ())


def test_programs_are_shared_by_videos_of_one_size():
    config = default_config()
    config.input.scale = (160, 96)
    programs = programs_of([SMALL, SMALL._replace(warm_up=5), OTHER, BAD], config)
    assert [(p.size, p.inner, p.length) for p in programs] == [
        ((96, 160), (96, 160), 6),
        ((480, 853), (96, 160), 2),
    ]
    assert list(programs.values()) == [2, 1]
    config.tta.least_frames = 12
    assert {p.length for p in programs_of([SMALL, OTHER], config)} == {12}


def test_what_is_held():
    program = next(iter(programs_of([SMALL], default_config())))
    held = Footprint(fixed=1000, adapted=10, features_per_pixel=2.0).of(program, side_by_side=3)
    inner = program.inner[0] * program.inner[1]
    assert held == 1000 + 3 * (40 + 6 * (2 * inner + 2 * 96 * 160))


def test_the_footprint_of_a_student():
    from ditta_jax.students.parts import split_student
    from ditta_jax.students.segformer.config import SegFormerConfig
    from ditta_jax.students.student import abstract_student

    config = SegFormerConfig(num_classes=3, channels=(8, 16, 20, 32), embed_dim=16)
    student = abstract_student(config)
    network, graph, encoder = split_student(student)
    found = footprint_of(graph, encoder, network, "float32")
    cells = 8 / 4**2 + 16 / 8**2 + 20 / 16**2 + 32 / 32**2
    assert found.features_per_pixel == pytest.approx(4 * cells)
    half = footprint_of(graph, encoder, network, "bfloat16")
    assert half.features_per_pixel <= found.features_per_pixel
    assert found.adapted > 0 and found.fixed > 0


def test_the_plan_in_words(tmp_path):
    answers = tmp_path / "cache"
    (answers / "bb-0123456789abcdef").mkdir(parents=True)
    (answers / "bb-0123456789abcdef" / "masklets-00.json").write_text("")
    places = {"teacher's answers": answers, "compiled programs": tmp_path / "none"}
    config = with_teachers_own(default_config())
    told = list(lines([SMALL, OTHER, BAD], config, Footprint(0, 0, 1.0), places))
    assert told[0] == "a   96x160  60 frames: 6 warm-up, 54 segmented, 54 labelled"
    assert told[1].endswith("20 frames: 2 warm-up, 18 segmented, no labels")
    assert told[2].startswith("programs to compile (2 sizes")
    assert f"teacher's answers: 1 entry in {answers}" in told
    assert f"compiled programs: nothing yet in {tmp_path / 'none'}" in told
    assert "  1 of 2 videos have some, used if the prompts are the same" in told
    assert "  teacher.mask_threshold=2, tta.lr=0.0001 (as set, or its own)" in told
    assert "warning: a: a warning" in told
    assert not any("whole videos" in line for line in told)
    more = lines([SMALL, OTHER, BAD], config, Footprint(0, 0, 1.0), places, {"tracks"})
    whole = "  it tracks through whole videos (80 frames in all), not the warm-up only"
    assert whole in list(more)
    assert "cannot be done: c: c.mp4: no such video file" in told
    assert told[-1] == "2 videos would be done, 1 cannot; nothing was started"
