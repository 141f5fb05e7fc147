"""The settings of a run: one schema, strict files, `--config.key=value` on the command line.

`default_config()` is the schema. A configuration file defines `get_config()`, which starts from
it and changes values; a key that the schema lacks or a value of another type is refused.
"""

import importlib
import sys
from collections.abc import Iterator

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
    config.fusion = _fusion()
    config.precision = _section(compute="float32", matmul="highest")
    config.parallel = _section(videos=1)  # adapted side by side; their features are held at once
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
        mask_threshold=0.0,  # logit above which a pixel is in a mask; 0 is SAM2's
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


def _fusion() -> ConfigDict:
    return _section(
        threshold=0.8,  # tau of Eq. 3
        # "tiles" (XLA) or "pallas" (kernels for TPUs and GPUs). Tiles are the default because no
        # accelerator was available to measure the kernels on. To measure them:
        # python -m ditta_jax.benchmark --device gpu --rivals jax --attention pallas
        attention="tiles",
    )


def _training() -> ConfigDict:
    return _section(
        family="segformer",  # of students; the sizes below are those of a SegFormer
        channels=(32, 64, 160, 256),
        depths=(2, 2, 2, 2),
        heads=(1, 2, 5, 8),
        reductions=(8, 4, 2, 1),
        embed_dim=256,
        radius=5,  # of the fusion's window, on the decoder's grid
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
    )


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
        elif not _same_kind(value, like):
            raise UserError(
                f"{where}: '{name}' must be {_kind(like)}, not {_kind(value)} ({value!r})"
            )
    for key in schema:
        if key not in config:
            raise UserError(f"{where}: setting '{prefix + key}' is missing")


def from_command_line(
    program: str, options: dict[str, str] | None = None, arguments: list[str] | None = None
) -> tuple[ConfigDict, dict[str, list[str]]]:
    """Configuration and options of `python -m PROGRAM --config FILE [--config.key=value …]`.

    Args:
        program: the module's name, for messages.
        options: further options with their help text; each may be given several times.
        arguments: the words after the program's name; `sys.argv` by default.

    Returns:
        the checked, locked configuration, and the values of each further option.

    Raises:
        UserError: no or a broken file, an unknown key, a value of a wrong type.
        SystemExit: with --help, after it is printed.
    """
    from absl import flags
    from ml_collections import config_flags

    words = [program, *(sys.argv[1:] if arguments is None else arguments)]
    if {"-h", "--help"} & set(words):
        print(usage(program, options or {}))
        raise SystemExit(0)
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=words)
    for name, text in (options or {}).items():
        flags.DEFINE_multi_string(name, [], text, flag_values=values)
    try:
        rest = values(words)[1:]
        config = values.config
        if config is not None:
            check(config, default_config(), where="--config")  # also raises what loading raised
    except UserError:
        raise
    except (flags.Error, LookupError, AttributeError, TypeError, ValueError, OSError) as error:
        raise UserError(f"python -m {program}: {_one_line(error)}") from error
    except Exception as error:  # the file is a program and can fail in any way
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise UserError(f"--config: the file does not load: {reason}") from error
    if rest:
        raise UserError(f"python -m {program}: do not know what to do with {' '.join(rest)!r}")
    if config is None:
        raise UserError(f"python -m {program}: --config FILE is missing, e.g. configs/demo.py")
    return config.lock(), {name: getattr(values, name) for name in options or {}}


def usage(program: str, options: dict[str, str]) -> str:
    """What `--help` prints: the program's own words, its options, every setting's default."""
    lines = [(importlib.import_module(program).__doc__ or "").strip(), ""]
    lines += [f"  --{name} {text}" for name, text in options.items()]
    lines += ["", "Settings and their defaults; --config.KEY=VALUE changes one:", ""]
    lines += [f"  {key} = {value!r}" for key, value in _flat(default_config())]
    return "\n".join(lines)


def _flat(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _same_kind(value, like) -> bool:
    """Whether a value has the type of the schema's; members of tuples that of its first one."""
    if type(value) is not type(like):
        return False
    if isinstance(like, tuple):
        return all(_same_kind(member, like[0]) for member in value)
    return True


def _kind(value) -> str:
    if isinstance(value, tuple) and value:
        kinds = sorted({_kind(member) for member in value})
        return f"tuple of {' and '.join(kinds)}"
    return type(value).__name__


def _known(schema: ConfigDict) -> str:
    return ", ".join(sorted(schema))


def _one_line(error: Exception) -> str:
    """The error as one line: of a traceback within it, what it says last."""
    text = str(error)
    inner = error.args[0] if error.args and isinstance(error.args[0], KeyError) else error
    if isinstance(inner, KeyError) and inner.args:
        text = f"unknown setting {inner.args[0]}"
    elif isinstance(error, OSError):
        text = text.strip().splitlines()[-1]  # before it: every place that was searched
    before, traceback, lines = text.partition("Traceback (most recent call last):")
    if traceback:
        after = lines.rpartition("Traceback (most recent call last):")[2].splitlines()
        said = [line for line in after if line and not line.startswith(" ")]
        text = " ".join([before, *said])
    return " ".join(text.split())
