"""The settings of a run: one schema, strict files, `--config.key=value` on the command line.

`default_config()` is the schema. A configuration file defines `get_config()`, which starts from
it and changes values; a key that the schema lacks or a value of another type is refused.
"""

import importlib.util
import sys
from pathlib import Path

from ml_collections import ConfigDict

from ditta_jax.errors import UserError


def default_config() -> ConfigDict:
    """Every setting with its default; the paper's values wherever the paper has one."""
    config = ConfigDict()
    config.name = "unnamed"  # results go to <output>/<name>
    config.output = "runs"
    config.seed = 0
    config.classes = ("",)  # names, in label order; a checkpoint's own when left empty
    config.palette = ((0, 0, 0),)  # RGB per class; made up when left empty
    config.data = _data()
    config.input = _section(scale=(853, 480), divisor=32)  # longer and shorter side at most
    config.student = _section(checkpoint="embedded")  # an Orbax folder, or the demo student
    config.warmup = _section(percent=10.0)  # W2F: 10, 25 or 50; 100 adapts on and scores all
    config.teacher = _teacher()
    config.vote = _section(area_power=0.3, frequency_power=0.8)  # lambda of Eq. 4
    config.tta = _adaptation()
    config.encoder = _section(stochastic_depth=0.0)  # 0.1: recomputed each step, as released
    config.loss = _section(on="probabilities", temperature=1.0)  # or "logits"
    config.fusion = _section(threshold=0.8)  # tau of Eq. 3
    config.precision = _section(compute="float32", matmul="highest")
    config.metrics = _section(windows=(8, 16))
    config.report = _section(overlays=4, predictions=True, tensorboard=False)
    config.train = _training()
    return config


def _section(**values) -> ConfigDict:
    return ConfigDict(values)


def _data() -> ConfigDict:
    return _section(
        kind="tfds",  # "tfds", "folder" (frames, or origin/ and mask/), "file" (a video)
        builder="procedural_drive",
        split="video",
        data_dir="",  # where TFDS keeps its data; empty: the user's cache folder
        path="",
        convention="plain",  # "vspw": 0 and 255 are ignored, the others shifted by one
        ignore=(255,),
        max_videos=0,  # 0: all
        max_frames=0,
        fps=0.0,  # sub-sampling of video files; 0: every frame
    )


def _teacher() -> ConfigDict:
    return _section(
        config="embedded",  # or a SAM2 YAML: configs/sam2.1/sam2.1_hiera_l.yaml
        checkpoint="",  # a file, or sha256:<hex> where the weights are on another machine
        device="auto",
        dtype="float32",  # "bfloat16" as released
        threshold_first=0.8,  # peak reliability for a prompt on frame 0, and later
        threshold_later=0.8,
        max_objects=100,
        cache="",  # folder of requests and masklets; empty: <output>/teacher_cache
        python="",  # interpreter of the teacher process; empty: this one
        run=True,  # False: never start the teacher, say what is missing
        threads=0,
    )


def _adaptation() -> ConfigDict:
    return _section(
        iters=5,
        lr=1e-3,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        weight_decay=1e-2,
        momentum=0.99,
        dropout=0.1,
        train="decoder",  # "decoder" (with the add-on), "classifier", "addon"
        max_frame_bucket=0,  # 0: buckets 1 2 4 6 8 12 16 …; n: pad every warm-up to n frames
    )


def _training() -> ConfigDict:
    return _section(
        channels=(32, 64, 160, 256),
        depths=(2, 2, 2, 2),
        heads=(1, 2, 5, 8),
        reductions=(8, 4, 2, 1),
        embed_dim=256,
        split="stills",
        paths=("",),  # labelled folders of stills, where data.kind is "folder"
        validation_split="stills_val",
        crop=(192, 320),
        batch_size=8,
        steps=4000,
        warmup_steps=200,
        lr=1e-3,
        weight_decay=1e-2,
        stochastic_depth=0.1,
        dropout=0.1,
        initial_checkpoint="",
        checkpoint_every=500,
        log_every=20,
        minutes=0.0,  # > 0: the schedule ends after so many minutes of training
    )


def load(path: str | Path) -> ConfigDict:
    """The configuration that `get_config()` of a Python file returns, checked and locked.

    Raises:
        UserError: the file is missing or broken, has an unknown key or a value of a wrong type.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such configuration file; configs/demo.py is one to start from")
    spec = importlib.util.spec_from_file_location("ditta_config", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: not a Python file with a get_config() function")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config()
    except (AttributeError, KeyError, TypeError, ValueError, SyntaxError, ImportError) as error:
        raise UserError(f"{path}: {_first_line(error)}") from error
    check(config, default_config(), where=str(path))
    return config.lock()


def check(config: ConfigDict, schema: ConfigDict, where: str, prefix: str = "") -> None:
    """Raise `UserError` for a key the schema lacks, a missing key or a value of another type."""
    for key in config:
        name = prefix + key
        if key not in schema:
            raise UserError(f"{where}: unknown setting '{name}'; known here: {_known(schema)}")
        value, like = config[key], schema[key]
        if isinstance(like, ConfigDict):
            if not isinstance(value, ConfigDict):
                raise UserError(f"{where}: '{name}' is a section, not {value!r}")
            check(value, like, where, name + ".")
        elif type(value) is not type(like):
            raise UserError(
                f"{where}: '{name}' must be {type(like).__name__}, not {type(value).__name__} "
                f"({value!r})"
            )
    for key in schema:
        if key not in config:
            raise UserError(f"{where}: setting '{prefix + key}' is missing")


def override(config: ConfigDict, assignments: list[str]) -> ConfigDict:
    """Apply `key=value` settings such as `tta.lr=3e-4`; values are read as Python literals.

    Raises:
        UserError: an unknown key, or a value that is not of the setting's type.
    """
    config = config.copy_and_resolve_references()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--config.{name}: write --config.{name}=VALUE")
        section, known = config, config
        *parents, key = name.split(".")
        for parent in parents:
            known = section
            section = section.get(parent) if parent in section else None
            if not isinstance(section, ConfigDict):
                raise UserError(f"unknown setting '{name}'; known here: {_known(known)}")
        if key not in section:
            raise UserError(f"unknown setting '{name}'; known here: {_known(section)}")
        if isinstance(section[key], ConfigDict):
            raise UserError(f"'{name}' is a section; set one of its keys: {_known(section[key])}")
        section[key] = parse_value(name, text, section[key])
    return config.lock()


def parse_value(name: str, text: str, like):
    """Read the text of one setting as a value of the type that the setting has.

    Raises:
        UserError: the text is not of that type.
    """
    import ast

    if isinstance(like, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(like, float) and type(value) is int:
        value = float(value)
    if isinstance(like, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(value) is not type(like):
        raise UserError(f"'{name}' must be {type(like).__name__}, not {text!r}")
    return value


def from_command_line(program: str, extra: dict[str, str] | None = None):
    """Configuration and options of `python -m PROGRAM --config FILE [--config.key=value …]`.

    Args:
        program: the module's name, for the usage line.
        extra: further options with their help text; each takes any number of values.

    Returns:
        the locked configuration, and a dict of the extra options (lists of text).
    """
    import argparse

    parser = argparse.ArgumentParser(prog=f"python -m {program}", allow_abbrev=False)
    parser.add_argument("--config", required=True, help="Python file with get_config()")
    for option, text in (extra or {}).items():
        parser.add_argument(f"--{option}", nargs="+", default=[], help=text)
    arguments = []
    assignments: list[str] = []
    rest = iter(sys.argv[1:])
    for word in rest:
        if word.startswith("--config."):
            assignment = word.removeprefix("--config.")
            if "=" not in assignment:
                assignment += "=" + next(rest, "")
            assignments.append(assignment)
        else:
            arguments.append(word)
    options = parser.parse_args(arguments)
    config = override(load(options.config), assignments)
    return config, {name: getattr(options, name) for name in extra or {}}


def _known(schema: ConfigDict) -> str:
    return ", ".join(sorted(schema))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
