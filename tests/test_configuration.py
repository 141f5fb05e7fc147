import pytest
from ml_collections import ConfigDict

from ditta_jax.configuration import check, default_config, from_command_line
from ditta_jax.errors import UserError

# ml_collections loads configuration files in a way that Python is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

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
        ("config.tta.itrs = 3", "unknown setting 'tta.itrs'; known here: beta1"),
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
        ("--config.tta.itrs=1", "unknown setting 'itrs'"),
        ("--config.nothing.x=1", "unknown setting 'nothing'"),
        ("--config.input.scale=('a', 'b')", "tuple of int"),
        ("--unknown=1", "unknown"),
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


def test_sections_are_checked_at_every_depth():
    schema = ConfigDict({"a": {"b": {"c": 1}}})
    check(ConfigDict({"a": {"b": {"c": 2}}}), schema, "x")
    with pytest.raises(UserError, match=r"x: 'a\.b\.c' must be int, not bool \(True\)"):
        check(ConfigDict({"a": {"b": {"c": True}}}), schema, "x")


def test_help_names_the_options_and_every_setting(capsys):
    with pytest.raises(SystemExit) as end:
        from_command_line("ditta_jax.sweep", {"grid": "KEY=VALUE"}, ["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "--grid KEY=VALUE" in text and "Adapt every video under many settings" in text
    assert "  tta.lr = 0.001\n" in text and "  student.checkpoint" in text
