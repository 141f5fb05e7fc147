import pytest

from ditta_jax.configuration import check_value, checked, default_config, from_command_line
from ditta_jax.configuration.schema import SCHEMA, flat
from ditta_jax.errors import UserError

PLAIN = "from ditta_jax.configuration import default_config as get_config\n"
CHANGED = """
from ditta_jax.configuration import default_config
def get_config():
    config = default_config()
    {line}
    return config
"""


@pytest.fixture
def load(tmp_path):
    """Reads a configuration file of this text with these further words."""

    def load(text, *words):
        file = tmp_path / "settings.py"
        file.write_text(text)
        return from_command_line("ditta_jax.adapt", arguments=["--config", str(file), *words])[0]

    return load


@pytest.fixture
def refused(load):
    """The message of a configuration that is refused."""

    def refused(text, *words):
        with pytest.raises(UserError) as caught:
            load(text, *words)
        message = str(caught.value)
        assert len(message.splitlines()) == 1 and "Traceback" not in message
        return message

    return refused


def test_the_schema_is_accepted_and_locked(load):
    config = load(PLAIN)
    assert config.to_dict() == default_config().to_dict() and config.is_locked
    with pytest.raises(AttributeError):
        config.tta.nothing = 1


def test_overrides_keep_the_schemas_types(load):
    words = ["--config.tta.iters=3", "--config.tta.lr=1", "--config.classes=('road', 'sky')"]
    config = load(PLAIN, *words, "--config.report.predictions=false", "--config.name=x")
    assert config.tta.iters == 3 and config.name == "x" and config.report.predictions is False
    assert config.tta.lr == 1.0 and isinstance(config.tta.lr, float)
    assert config.classes == ("road", "sky")


def test_an_override_reaches_only_its_own_key(load):
    config, plain = load(PLAIN, "--config.tta.iters=3"), default_config()
    plain.tta.iters = 3
    assert config.to_dict() == plain.to_dict()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("config.tta.itrs = 3", "unknown setting 'tta.itrs'; did you mean 'tta.iters'?"),
        ("config.thing = 3", "unknown setting 'thing'"),
        ("config.tta.iters = '3'", "iters"),
        ("config.input.scale = ('a', 'b')", "'input.scale' must be tuple of int, not tuple of str"),
        ("config.palette = (1, 2, 3)", "'palette' must be tuple of tuple of int"),
        ("del config.tta", "setting 'tta' is missing"),
        ("del config.tta.lr", "setting 'tta.lr' is missing"),
        ("del config.tta; config.tta = 5", "'tta' is a section"),
        ("config.nowhere.x = 1", "nowhere"),
    ],
)
def test_a_file_that_does_not_fit_the_schema_is_refused(refused, line, words):
    assert words in refused(CHANGED.format(line=line))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def get_config(:", "SyntaxError"),
        ("import no_such_module", "no_such_module"),
        ("def get_config(): return nothing_here", "NameError: name 'nothing_here'"),
        ("def get_config(): raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("def get_config(): raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("def get_config(): int('x')", "invalid literal for int() with base 10: 'x'"),
    ],
)
def test_a_file_that_fails_is_named_by_what_it_says_last(refused, text, words):
    message = refused(text)
    assert words in message and "line 1, in" not in message


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("--config.tta.iters=x", "'x'"),
        ("--config.tta.iters=1.5", "1.5"),
        ("--config.tta.itrs=1", "unknown setting 'tta.itrs'; did you mean 'tta.iters'?"),
        ("--config.itters=1", "did you mean 'tta.iters'?"),
        ("--config.TTA.Iters=1", "did you mean 'tta.iters'?"),
        ("--config.nothing.x=1", "unknown setting 'nothing.x'; known here: auxadapt, classes, "),
        ("--config.tta=1", "'tta' is a section; its settings: tta.iters, tta.lr"),
        ("--config.tta.lr", "the value is missing; write --config.tta.lr=VALUE"),
        ("--config.report.predictions=maybe", "must be true or false, not 'maybe'"),
        ("--config.input.scale=('a', 'b')", "tuple of int"),
        ("--config.input.scale=853,wide", "must be a whole number, not 'wide'"),
        ("--config.palette=red", "must be like ((0, 0, 0),), not 'red'"),
        ("--unknown=1", "do not know what to do with '--unknown=1'"),
        ("--Config=x.py", "did you mean --config?"),
        ("-config=x.py", "did you mean --config?"),
        ("other.py", "did you mean --config other.py?"),
        ("--tta.lr=1e-3", "settings are changed by --config.tta.lr=VALUE"),
        ("--config=other.py", "--config is given twice"),
        ("extra", "do not know what to do with 'extra'"),
    ],
)
def test_a_wrong_word_on_the_command_line_is_refused(refused, word, words):
    message = refused(PLAIN, word)
    assert words in message


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--config", "nowhere/x.py"]])
def test_a_missing_file_is_one_line(arguments):
    with pytest.raises(UserError) as caught:
        from_command_line("ditta_jax.adapt", arguments=arguments)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and "Traceback" not in message
    assert "--config" in message or "nowhere/x.py" in message


def test_further_options_may_be_given_several_times(tmp_path):
    file = tmp_path / "settings.py"
    file.write_text(PLAIN)
    words = ["--config", str(file), "--set=a", "--set=b"]
    _, options = from_command_line("x", {"set": "help", "other": "help"}, words)
    assert options == {"set": ["a", "b"], "other": []}


def test_a_switch_is_given_or_not(tmp_path):
    file = tmp_path / "settings.py"
    file.write_text(PLAIN)
    words = ["--dry-run", f"--config={file}"]
    _, given = from_command_line("x", {"set": "help"}, words, {"dry-run": "help", "quiet": "help"})
    assert given == {"set": [], "dry-run": True, "quiet": False}


def test_the_first_files_of_a_configuration_are_not_left_behind(load, tmp_path):
    load(PLAIN)
    load(CHANGED.format(line="config.tta.iters = 3"))
    assert [file.name for file in tmp_path.iterdir()] == ["settings.py"]


def test_text_after_the_file_is_get_configs_argument(tmp_path):
    file = tmp_path / "settings.py"
    file.write_text(CHANGED.replace("()", "(name)", 1).format(line="config.name = name"))
    config, _ = from_command_line("x", arguments=["--config", f"{file}:mine"])
    assert config.name == "mine"


@pytest.mark.robustness(
    "Settings and command line",
    "tuples and numbers as people write them",
    "read as meant: brackets and quotes or none, 853x480, 4e3",
)
@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--config.classes=road,car"], "classes", ("road", "car")),
        (["--config.classes=road, traffic light"], "classes", ("road", "traffic light")),
        (["--config.classes=(road,car)"], "classes", ("road", "car")),
        (["--config.classes=['road', 'car']"], "classes", ("road", "car")),
        (["--config.classes='road','car'"], "classes", ("road", "car")),
        (["--config.classes", "road,car"], "classes", ("road", "car")),
        (["--config.classes="], "classes", ()),
        (["--config.data.ignore=255"], "data.ignore", (255,)),
        (["--config.data.ignore=255,"], "data.ignore", (255,)),
        (["--config.data.ignore=0, 255"], "data.ignore", (0, 255)),
        (["--config.data.ignore=()"], "data.ignore", ()),
        (["--config.input.scale=853,480"], "input.scale", (853, 480)),
        (["--config.input.scale=853x480"], "input.scale", (853, 480)),
        (["--config.input.scale=[853, 480]"], "input.scale", (853, 480)),
        (["--config.input.scale=853 480"], "input.scale", (853, 480)),
        (["--config.metrics.windows=8"], "metrics.windows", (8,)),
        (["--config.palette=(1,2,3),(4,5,6)"], "palette", ((1, 2, 3), (4, 5, 6))),
        (["--config.palette=[[1,2,3],[4,5,6]]"], "palette", ((1, 2, 3), (4, 5, 6))),
        (["--config.train.steps=4e3"], "train.steps", 4000),
        (["--config.tta.lr=1"], "tta.lr", 1.0),
        (["--config.tta.lr", "3e-4"], "tta.lr", 3e-4),
        (["--config.teacher.mask_threshold", "-2"], "teacher.mask_threshold", -2.0),
        (["--config.report.predictions"], "report.predictions", True),
        (["--config.report.predictions=No"], "report.predictions", False),
        (["--config.report.tensorboard", "on"], "report.tensorboard", True),
        (["--config.data.path=a,b (c).mp4"], "data.path", "a,b (c).mp4"),
        (["--config.data.path=123"], "data.path", "123"),
        (["--config.name=a=b"], "name", "a=b"),
    ],
)
def test_values_are_read_as_people_write_them(load, words, key, value):
    section, _, last = key.rpartition(".")
    config = load(PLAIN, *words)
    found = (config[section] if section else config)[last]
    assert found == value and type(found) is type(value)


@pytest.mark.robustness(
    "Settings and command line", "a setting given twice, with two values", "refused"
)
def test_a_setting_given_twice_is_refused(refused, load, said):
    message = said(refused(PLAIN, "--config.tta.lr=1e-3", "--config.tta.lr=3e-4"))
    assert "--config.tta.lr is given twice, as 0.001 and as 0.0003" in message
    assert load(PLAIN, "--config.tta.lr=1e-3", "--config.tta.lr=0.001").tta.lr == 1e-3


@pytest.mark.robustness(
    "Settings and command line",
    "a `--config` that is no Python file with get_config()",
    "refused by what it is",
)
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("settings.yaml", "tta:\n  lr: 1e-3\n", "is YAML"),
        ("settings.YML", "tta:\n", "is YAML"),
        ("settings.json", "{}", "is JSON"),
        ("settings.toml", "", "is TOML"),
        ("settings.py", "", "is empty"),
        ("settings.py", "\n \n", "is empty"),
        ("settings.py", "x = 1", "defines no get_config()"),
        ("settings.py", "get_config = 3", "defines no get_config()"),
        ("settings.py", "def get_config(): return {}", "returns dict, expected a ConfigDict"),
        ("settings.py", "def get_config(): pass", "returns NoneType"),
        ("settings.py", "def get_config(x): pass", "TypeError"),
        ("settings.py", "raise SystemExit(0)", "ends the program by itself"),
        ("settings.py", "\0\0", "null bytes"),
        ("video.mp4", "\0\1\2", "does not load"),
    ],
)
def test_what_is_no_configuration_is_named(tmp_path, said, name, content, words):
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(UserError) as caught:
        from_command_line("ditta_jax.adapt", arguments=["--config", str(file)])
    message = said(str(caught.value))
    assert words in message and str(file) in message and len(message.splitlines()) == 1


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(UserError, match="is a folder; a configuration is a Python file"):
        from_command_line("ditta_jax.adapt", arguments=["--config", str(tmp_path)])


@pytest.mark.parametrize("coding", ["utf-8-sig", "latin-1"])
def test_a_configuration_may_be_in_another_encoding(tmp_path, coding):
    text = CHANGED.format(line="config.classes = ('Straße', 'Auto')")
    file = tmp_path / "settings.py"
    file.write_bytes(f"# -*- coding: {coding} -*-\n{text}".encode(coding))
    config, _ = from_command_line("x", arguments=["--config", str(file)])
    assert config.classes == ("Straße", "Auto")


# ---------------------------------------------------------------------------- ranges


NAN, INF = float("nan"), float("inf")
LEARNING_RATE = (-1e-3, NAN, INF, -INF, 1e9)
SHARE = (-0.1, 1.1, NAN, INF)
BELOW_ONE = (-0.1, 1.0, 2.0, NAN)
COUNT = (0, -1, 10**12)
LEVELS = ((), (1, 2, 3), (1, 2, 3, 0), (1, 2, 3, -4), (1, 2, 3, 10**9), (1, 2, 3, 4, 5))
PATH = ("a\nb", "a\0b")
OUT_OF_RANGE = {
    "name": (
        "",
        " ",
        "../up",
        "a/b",
        "..",
        ".",
        "/abs",
        "-rf",
        ".hidden",
        "a\\b",
        "x" * 300,
        "a\0b",
    ),
    "output": ("", "a\0b"),
    "seed": (-1, 2**32, 10**30),
    "classes": (("a", "a"), ("a", ""), ("a", "b\n"), tuple(map(str, range(256)))),
    "palette": (((1, 2),), ((1, 2, 3, 4),), ((0, 0, 256),), ((0, 0, -1),), ((0, 0, 0),) * 256),
    "data.kind": ("", "video", "TFDS"),
    "data.builder": ("",),
    "data.split": ("",),
    "data.data_dir": PATH,
    "data.path": PATH,
    "data.convention": ("", "ade"),
    "data.ignore": ((-1,), (65536,), (255, 255)),
    "data.manual_dir": ("a\nb",),
    "data.class_map": ("a\nb",),
    "data.mask_reading": ("", "rgb"),
    "data.ignore_colours": (((0, 0),), ((0, 0, 256),)),
    "data.frame_names": (("*_*",), ("a\nb",)),
    "data.mask_names": (("*_*",), ("a\nb",)),
    "data.damaged": ("", "skip"),
    "data.list": ("a\nb",),
    "data.max_videos": (-1, 10**12),
    "data.max_frames": (-1, 10**12),
    "data.fps": (-1.0, NAN, INF, 1e6),
    "input.scale": ((), (853,), (853, 0), (-853, 480), (853, 480, 3), (10**6, 480)),
    "input.divisor": (0, -32, 10**6),
    "student.checkpoint": ("", "a\0b"),
    "student.supervised": PATH,
    "warmup.percent": (0.0, -1.0, 101.0, NAN, INF),
    "teacher.config": ("",),
    "teacher.checkpoint": PATH,
    "teacher.device": ("", "cuda:x", "GPU 0", "--help", "cuda:0,", ",cpu"),
    "teacher.dtype": ("", "float16", "bf16"),
    "teacher.mask_threshold": (NAN, INF, -INF, 1e9),
    "teacher.threshold_first": SHARE,
    "teacher.threshold_later": SHARE,
    "teacher.max_objects": COUNT,
    "teacher.cache": PATH,
    "teacher.python": PATH,
    "teacher.threads": (-1, 10**6),
    "teacher.target": ("Class", "a b.C", "--help", "a..B", "a.B;c"),
    "teacher.workers": (0, -1, 10**6),
    "teacher.patience": (-1.0, NAN, INF),
    "vote.area_power": (-0.1, NAN, INF, 1e9),
    "vote.frequency_power": (-0.1, NAN, INF, 1e9),
    "tta.iters": COUNT,
    "tta.lr": LEARNING_RATE,
    "tent.lr": LEARNING_RATE,
    "tent.optimiser": ("", "adamw"),
    "tent.norms": ("layer",),
    "ditta_cuts.distance": SHARE,
    "auxadapt.lr": LEARNING_RATE,
    "auxadapt.optimiser": ("", "adamw"),
    "cotta.lr": LEARNING_RATE,
    "cotta.params": ("", "encoder"),
    "cotta.momentum": SHARE,
    "cotta.restore": SHARE,
    "cotta.threshold": SHARE,
    "cotta.scales": ((), (0.0,), (1.0, 9.0), (NAN,), tuple(33 * [1.0])),
    "tta.beta1": BELOW_ONE,
    "tta.beta2": BELOW_ONE,
    "tta.eps": (0.0, -1e-8, NAN, 1e-50, 10.0),
    "tta.weight_decay": (-1e-2, NAN, INF, 1e9),
    "tta.momentum": SHARE,
    "tta.dropout": BELOW_ONE,
    "tta.train": ("", "everything"),
    "tta.least_frames": (-1, 10**9),
    "encoder.stochastic_depth": BELOW_ONE,
    "loss.on": ("", "softmax"),
    "loss.temperature": (0.0, -1.0, NAN, INF),
    "fusion.threshold": SHARE,
    "precision.compute": ("", "float16", "half"),
    "precision.matmul": ("", "low"),
    "parallel.videos": COUNT,
    "metrics.windows": ((), (0,), (1,), (-8,), (8, 8), (10**9,)),
    "report.overlays": (-1, 10**9),
    "report.page": (-1, 10**9),
    "report.experiment": ("voc",),
    "methods": ((), ("",), ("ditta", "ditta")),
    "protocol": ("", "forever"),
    "parallel.keep_gb": (-1.0, NAN, INF),
    "parallel.memory_gb": (-1.0, NAN, INF),
    "parallel.coordinator": ("somewhere", "10.0.0.1", "a b:80", "a\0b:80"),
    "parallel.processes": COUNT,
    "parallel.process": (-1, 10**6),
    "report.reference": PATH,
    "profile.folder": PATH,
    "profile.videos": (("a\nb",),),
    "parallel.ahead": (-1, 10**6),
    "parallel.memory_fraction": BELOW_ONE,
    "parallel.executor": ("", "dask"),
    "parallel.ray_address": ("a\0b", "ray head:6379"),
    "parallel.workers": (-1, 10**6),
    "loss.terms": ((), ("",), ("plain", "plain"), ("distill",)),
    "fusion.radius": (-2, 10**6),
    "compare.percents": ((), (0.0,), (-5.0,), (100.5,), (10.0, 10.0), (NAN,)),
    "compare.seeds": ((), (-1,), (0, 0), (2**32,)),
    "compare.ablations": (("a: tta.lr=1", "a: tta.lr=1"), ("a\0b",)),
    "compare.resamples": (0, 99, 10**9),
    "compare.confidence": (0.0, 1.0, NAN, INF),
    "train.family": ("",),
    "train.channels": LEVELS,
    "train.depths": LEVELS,
    "train.heads": LEVELS,
    "train.reductions": LEVELS,
    "train.embed_dim": COUNT,
    "train.radius": (-1, 10**6),
    "train.split": ("",),
    "train.paths": (PATH,),
    "train.validation_split": PATH,
    "train.crop": ((), (192,), (0, 320), (192, -1), (192, 10**6)),
    "train.batch_size": COUNT,
    "train.steps": COUNT,
    "train.warmup_steps": (-1, 10**12),
    "train.lr": LEARNING_RATE,
    "train.weight_decay": (-1e-2, NAN, INF),
    "train.stochastic_depth": BELOW_ONE,
    "train.dropout": BELOW_ONE,
    "train.initial_checkpoint": PATH,
    "train.checkpoint_every": COUNT,
    "train.log_every": COUNT,
}


def with_value(key, value):
    """The default configuration, past the types that ConfigDict itself keeps."""
    config = default_config()
    section, _, last = key.rpartition(".")
    with config.ignore_type():
        (config[section] if section else config)[last] = value
    return config


def test_every_setting_that_is_not_yes_or_no_has_values_out_of_its_range():
    assert set(OUT_OF_RANGE) == {k for k, own in flat() if not isinstance(own.default, bool)}


@pytest.mark.parametrize("key", OUT_OF_RANGE)
def test_values_out_of_range_are_refused_in_one_line(key):
    for value in OUT_OF_RANGE[key]:
        with pytest.raises(UserError) as caught:
            checked(with_value(key, value), "settings.py")
        message = str(caught.value)
        assert message.startswith(f"settings.py: '{key}' must be "), message
        assert len(message.splitlines()) == 1 and len(message) < 400


@pytest.mark.robustness(
    "Settings and command line", "a value out of its setting's range, or NaN", "refused at load"
)
def test_a_range_holds_on_the_command_line_too(refused, said):
    message = said(refused(PLAIN, "--config.tta.lr=nan"))
    assert "'tta.lr' must be in 0.0 … 1.0, not nan: it is not a finite number" in message
    assert "'seed' must be in 0 … 4294967295" in refused(PLAIN, "--config.seed=-1")


@pytest.mark.parametrize("key", [key for key, _ in flat()])
def test_values_of_other_types_are_refused(key):
    like = dict(flat())[key].default
    others = (object(), {"a": 1}, b"x", 1j, "3" if not isinstance(like, str) else 3)
    others += () if dict(flat())[key].of_teacher else (None,)
    # ConfigDict itself takes True for 1.0
    others += (1,) if isinstance(like, bool) else () if isinstance(like, float) else (True,)
    for value in (*others, ("a", 1)):
        with pytest.raises(UserError, match=f"'{key}' must be "):
            checked(with_value(key, value), "settings.py")


def test_what_loses_nothing_is_accepted():
    import numpy as np

    config = with_value("tta.lr", 1)
    with config.ignore_type():
        config.tta.iters = np.int64(3)
        config.tta.eps = np.float32(0.5)
        config.input.scale = [320, np.int32(192)]
        config.palette = [[1, 2, 3], (4, 5, 6)]
        config.classes = ["a", "b"]
    plain = checked(config)
    assert (plain.tta.lr, plain.tta.iters, plain.tta.eps) == (1.0, 3, 0.5)
    assert type(plain.tta.lr) is float and type(plain.tta.iters) is int
    assert plain.input.scale == (320, 192) and plain.palette == ((1, 2, 3), (4, 5, 6))
    assert plain.classes == ("a", "b") and isinstance(plain.classes, tuple)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ("a", "b"), "palette": ((1, 2, 3),) * 3}, "'palette' has 3 colours for 2"),
        ({"train.channels": (32, 64, 160, 255)}, "'train.heads' .* must divide"),
        (
            {"train.steps": 100},
            "'train.warmup_steps' must be below 'train.steps' \\(100\\), not 200",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, words):
    config = default_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=words):
        checked(config)


def test_the_defaults_of_the_schema_are_in_their_ranges():
    assert checked(default_config()).to_dict() == default_config().to_dict()
    assert set(SCHEMA) == set(default_config())


def test_help_names_the_options_and_every_setting(capsys):
    with pytest.raises(SystemExit) as end:
        from_command_line("ditta_jax.sweep", {"grid": "KEY=VALUE"}, ["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "--grid KEY=VALUE" in text and "Adapt every video under many settings" in text
    assert "  tta.lr = 0.001\n" in text and "  student.checkpoint" in text
    said = " ".join(text.split())
    for key, own in flat():
        assert f"{key} = {own.default!r} {own.meaning}; {own.range.words}" in said
    assert "(embedded: 1e-4); in 0.0 … 1.0 (paper: 1e-3)" in said


@pytest.mark.parametrize("key", ["parallel.coordinator", "parallel.ray_address"])
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("host:70000", "there is no such port"),
        ("host:0", "there is no such port"),
        (":8476", "it is something else"),
        ("host", "it is something else"),
        ("a b:8476", "it is something else"),
    ],
)
def test_an_address_has_a_host_and_a_port(key, address, words):
    with pytest.raises(UserError, match=words):
        check_value(key, address, "--config")
    assert check_value(key, "[::1]:8476", "--config") == "[::1]:8476"
