from ditta_jax.configuration import default_config
from ditta_jax.runs.plan import lines, programs_of
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


def test_the_plan_in_words(tmp_path):
    answers = tmp_path / "cache"
    (answers / "bb-0123456789abcdef").mkdir(parents=True)
    (answers / "bb-0123456789abcdef" / "masklets-00.json").write_text("")
    places = {"teacher's answers": answers, "compiled programs": tmp_path / "none"}
    config = with_teachers_own(default_config())
    told = list(
        lines([SMALL, OTHER, BAD], config, lambda program: f"{program.length} frames", places)
    )
    assert told[0] == "a   96x160 (rows x columns)  60 frames: 6 warm-up, 54 segmented, 54 labelled"
    assert told[1].endswith("20 frames: 2 warm-up, 18 segmented, no labels")
    assert told[2].startswith("programs to compile (2 sizes, rows x columns;")
    assert told[3].endswith("warm-up padded to 6: 1 video, 6 frames")
    assert f"teacher's answers: 1 entry in {answers}" in told
    assert f"compiled programs: nothing yet in {tmp_path / 'none'}" in told
    assert "  1 of 2 videos have some, used if the prompts are the same" in told
    assert "  teacher.mask_threshold=2, tta.lr=0.0001 (as set, or its own)" in told
    assert "warning: a: a warning" in told
    assert not any("whole videos" in line for line in told)
    more = lines(
        [SMALL, OTHER, BAD], config, lambda program: f"{program.length} frames", places, {"tracks"}
    )
    whole = "  it tracks through whole videos (80 frames in all), not the warm-up only"
    assert whole in list(more)
    assert "cannot be done: c: c.mp4: no such video file" in told
    assert told[-1] == "2 videos would be done, 1 cannot; nothing was started"
