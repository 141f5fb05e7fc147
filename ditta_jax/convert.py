"""Weights in and out: `python -m ditta_jax.convert SRC DST`.

In, to a checkpoint of this package (`student.checkpoint` of a configuration):
    python -m ditta_jax.convert segformer_b5.pth checkpoints/b5        # DiTTA, CFFM, mmsegmentation
    python -m ditta_jax.convert segformer-b0-folder checkpoints/b0     # Hugging Face SegFormer
Out, to the released layout:
    python -m ditta_jax.convert checkpoints/adapted adapted.pth --to released

`.pth` files are read and written in a process that has torch; `.safetensors` and `.npz` need none.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ditta_jax.errors import UserError, run
from ditta_jax.runs.palette import distinct_colors
from ditta_jax.students import checkpoint
from ditta_jax.students.checkpoint import StudentCard
from ditta_jax.students.layouts import (
    huggingface_layout,
    released_layout,
    weight_files,
    weight_layout,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert in the direction that `--to` says and print what was done.

    Raises:
        UserError: a file is missing or broken, or keys do not fit; all of them are named.
    """
    options = _parser().parse_args(arguments)
    if options.to == "released":
        _convert_out(options)
    else:
        _convert_in(options)


def _convert_in(options: argparse.Namespace) -> None:
    checkpoint.refuse_destination(options.destination, [options.source])
    read = read_huggingface if _layout(options) == "huggingface" else read_released
    loaded, card = read(options.source, options.seed, options.ignore, options.heads)
    classes = _classes(options.classes, card)
    checkpoint.save(options.destination, loaded.student, card._replace(classes=classes))
    _say(options, loaded, card)


def _convert_out(options: argparse.Namespace) -> None:
    _refuse_file(options.destination)
    student, card = checkpoint.load(options.source)
    arrays = weight_layout.dump(released_layout.RELEASED, student)
    weight_files.write(options.destination, arrays, card)
    print(f"{options.destination}: {len(arrays)} arrays in the released layout")


def _refuse_file(path: Path) -> None:
    """Refuse to replace a file that `--to released` did not write."""
    if path.is_symlink():
        raise UserError(f"{path}: is a link; name a file of its own")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file, such as {path / 'student.pth'}")
    if path.exists() and not _is_ours(path):
        raise UserError(f"{path}: exists, and this program did not write it; name another file")


def _is_ours(path: Path) -> bool:
    try:
        return bool(weight_files.read(path).student)
    except UserError:
        return False


def read_released(
    source: Path, seed: int = 0, ignore: Sequence[str] = (), heads: tuple[int, ...] | None = None
) -> tuple[weight_layout.Loaded, StudentCard]:
    """A student from a file in the released layout.

    Args:
        source: `.pth`, `.pt`, `.safetensors` or `.npz`.
        seed: of fresh weights for absent parts.
        ignore: regular expressions of keys to leave out.
        heads: attention heads per level where they are not 1, 2, 5, 8.

    Raises:
        UserError: the file cannot be read or does not fit.
    """
    file = weight_files.read(source)
    config = released_layout.student_config(file.arrays, str(source), heads, file.student)
    loaded = weight_layout.load(
        released_layout.RELEASED, config, file.arrays, str(source), seed, ignore
    )
    return loaded, _card(config, file.classes, file.palette, source)


def read_huggingface(
    source: Path, seed: int = 0, ignore: Sequence[str] = (), heads: tuple[int, ...] | None = None
) -> tuple[weight_layout.Loaded, StudentCard]:
    """A student from a Hugging Face SegFormer folder; arguments as `read_released`.

    Raises:
        UserError: a file is missing or does not fit; `heads` is given, which `config.json` says.
    """
    if heads:
        raise UserError(f"--heads is for the released layout; {source}/config.json says it")
    config, classes = huggingface_layout.read_config(source)
    file = weight_files.read(huggingface_layout.weight_file(source))
    loaded = weight_layout.load(
        huggingface_layout.HUGGINGFACE, config, file.arrays, str(source), seed, ignore
    )
    return loaded, _card(config, classes, (), source)


def _layout(options: argparse.Namespace) -> str:
    if options.layout != "auto":
        return options.layout
    if not options.source.exists():
        raise UserError(f"{options.source}: no such file or folder")
    return "huggingface" if options.source.is_dir() else "released"


def _card(config, classes, palette, source: Path) -> StudentCard:
    """Names and colours, made up where the source has none of the right number."""
    count = config.num_classes
    names = tuple(classes) if len(classes) == count else tuple(f"class {i}" for i in range(count))
    colors = tuple(palette) if len(palette) == count else distinct_colors(count)
    return StudentCard(config, names, colors, {"converted_from": source.name})


def _classes(option: str, card: StudentCard) -> tuple[str, ...]:
    """Names of `--classes`: comma-separated, or a text file with one name a line."""
    if not option:
        return card.classes
    path = Path(option)
    words = path.read_text().splitlines() if path.is_file() else option.split(",")
    names = tuple(word.strip() for word in words if word.strip())
    if len(names) != card.config.num_classes:
        raise UserError(
            f"--classes names {len(names)} classes, the weights have {card.config.num_classes}"
        )
    return names


def _say(options: argparse.Namespace, loaded: weight_layout.Loaded, card: StudentCard) -> None:
    c = card.config
    print(
        f"{options.destination}: student with channels {c.channels}, depths {c.depths}, "
        f"heads {c.heads}, {c.num_classes} classes, embedding {c.embed_dim}"
    )
    for group in loaded.fresh:
        print(
            f"  {group}: not in the source; fresh weights as torch draws them, seed {options.seed}"
        )
    for key, reason in loaded.unused.items():
        print(f"  not used: {key} ({reason})")


def _heads(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m ditta_jax.convert", description="Convert student weights in and out."
    )
    parser.add_argument("source", type=Path, help="weight file, Hugging Face folder or checkpoint")
    parser.add_argument("destination", type=Path, help="checkpoint folder, or file with --to")
    parser.add_argument("--to", choices=["checkpoint", "released"], default="checkpoint")
    parser.add_argument("--layout", choices=["auto", "released", "huggingface"], default="auto")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights for absent parts")
    parser.add_argument("--classes", default="", help="names a,b,c or a file with one a line")
    parser.add_argument("--heads", type=_heads, help="attention heads a,b,c,d; default 1,2,5,8")
    parser.add_argument(
        "--ignore", action="append", default=[], help="regular expression of keys to leave out"
    )
    return parser


if __name__ == "__main__":
    run(main)
