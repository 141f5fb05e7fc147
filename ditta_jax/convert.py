"""Weights in and out: `python -m ditta_jax.convert SRC DST`.

In, to a checkpoint of this package (`student.checkpoint` of a configuration):
    python -m ditta_jax.convert segformer_b5.pth checkpoints/b5        # DiTTA, CFFM, mmsegmentation
    python -m ditta_jax.convert segformer-b0-folder checkpoints/b0     # Hugging Face SegFormer
    python -m ditta_jax.convert espnetv2_s_2.0_city_1024x512.pth checkpoints/espnetv2 \
        --classes cityscapes                                           # EdgeNets' ESPNetv2
Out, of a checkpoint:
    python -m ditta_jax.convert checkpoints/adapted adapted.pth --to released
    python -m ditta_jax.convert checkpoints/adapted adapted-folder --to huggingface

Files of torch are read and written where torch is installed; `.safetensors` and `.npz` need none.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ditta_jax.data import class_tables
from ditta_jax.errors import UserError, run
from ditta_jax.files import refuse_foreign_file
from ditta_jax.runs.class_names import distinct_names, read_class_names
from ditta_jax.runs.palette import distinct_colors
from ditta_jax.students import checkpoint, destination
from ditta_jax.students.card import StudentCard
from ditta_jax.students.layouts import foreign, huggingface_folder, weight_files, weight_layout
from ditta_jax.students.layouts.huggingface_layout import HUGGINGFACE, LAYER_NORM_EPS
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.segformer.config import SegFormerConfig


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert in the direction that `--to` says and print what was done.

    Raises:
        UserError: a file is missing or broken, or keys do not fit; all of them are named.
    """
    options = _parser().parse_args(arguments)
    directions: dict[str, Callable] = {
        "checkpoint": _convert_in,
        "released": _to_released,
        "huggingface": _to_huggingface,
    }
    directions[options.to](options)


def _convert_in(options: argparse.Namespace) -> None:
    checkpoint.refuse_destination(options.destination, [options.source])
    found = foreign.read(
        options.source, options.layout, options.seed, options.ignore, options.heads, options.part
    )
    card = card_of(found, options.source, *_stated_classes(options.classes))
    checkpoint.save(options.destination, found.loaded.student, card)
    _say(options, found, card)


def _to_released(options: argparse.Namespace) -> None:
    refuse_foreign_file(options.destination, _is_ours)
    student, card = checkpoint.load(options.source)
    _sizes(options, card)
    arrays = weight_layout.dump(RELEASED, student)
    weight_files.write(options.destination, arrays, card)
    print(f"{options.destination}: {len(arrays)} arrays in the released layout")


def _to_huggingface(options: argparse.Namespace) -> None:
    place = options.destination
    names = {huggingface_folder.CONFIG, huggingface_folder.PREPROCESSOR, huggingface_folder.WEIGHTS}
    earlier = names if _is_ours(place / huggingface_folder.WEIGHTS) else set()
    destination.refuse_foreign(place, earlier, [options.source])
    student, card = checkpoint.load(options.source)
    eps = _sizes(options, card).block_norm_eps
    arrays = weight_layout.dump(HUGGINGFACE, student)
    with destination.replacing(place) as fresh:
        huggingface_folder.write(fresh, arrays, card)
    print(f"{place}: {len(arrays)} arrays as a Hugging Face SegFormer")
    if eps != LAYER_NORM_EPS:
        print(
            f"  transformers computes every LayerNorm with eps {LAYER_NORM_EPS:g}, this student "
            f"with {eps:g} in its blocks: results differ a little there"
        )


def _sizes(options: argparse.Namespace, card: StudentCard) -> SegFormerConfig:
    """The sizes of a SegFormer, whose weights other layouts have keys for."""
    if type(card.config) is not SegFormerConfig:
        raise UserError(
            f"{options.source}: --to {options.to} is for SegFormers; this student has another "
            "decoder, which that layout has no keys for"
        )
    return card.config


def _is_ours(path: Path) -> bool:
    """Whether `--to` wrote this file of weights."""
    try:
        return bool(weight_files.read(path).student)
    except UserError:
        return False


def _stated_classes(option: str) -> tuple[Sequence[str], Sequence[tuple[int, int, int]]]:
    """Names and known colours of `--classes`, which may be those of a data set."""
    if option in class_tables.data_sets():
        return class_tables.class_names(option), class_tables.class_palette(option)
    return read_class_names(option, "--classes"), ()


def card_of(
    found: foreign.Foreign,
    source: Path,
    names: Sequence[str] = (),
    colours: Sequence[tuple[int, int, int]] = (),
) -> StudentCard:
    """The card of a student that came in.

    Args:
        found: the student.
        source: where it came from.
        names: of the classes, in the place of its own.
        colours: likewise.

    Raises:
        UserError: another number of names than classes.
    """
    config = found.loaded.student.config
    count = config.num_classes
    if names and len(names) != count:
        raise UserError(f"--classes names {len(names)} classes, the weights have {count}")
    own = found.classes if len(found.classes) == count else [f"class {i}" for i in range(count)]
    known = tuple(colours) or found.palette
    palette = known if len(known) == count else distinct_colors(count)
    return StudentCard(
        config, tuple(names) or distinct_names(own), palette, {"converted_from": source.name}
    )


def _say(options: argparse.Namespace, found: foreign.Foreign, card: StudentCard) -> None:
    loaded = found.loaded
    c = loaded.student.config
    sizes = [
        f"{own} {getattr(c, own)}" for own in ("channels", "depths", "heads") if hasattr(c, own)
    ]
    print(
        f"{options.destination}: student with {', '.join(sizes)}, {c.num_classes} classes, "
        f"embedding {c.embed_dim}, from the {found.layout} layout"
    )
    if not options.classes and len(found.classes) != c.num_classes:
        print("  the source names no classes; name them with --classes a,b,c or --classes FILE")
    for group in loaded.fresh:
        print(
            f"  {group}: not in the source; fresh weights as torch draws them, seed {options.seed}"
        )
    for key, reason in _grouped(loaded.unused).items():
        print(f"  not used: {key} ({reason})")


def _grouped(unused: dict[str, str], most: int = 3) -> dict[str, str]:
    """Keys that were left out; where many begin or end alike, only how many."""

    def groups(key: str, reason: str) -> dict[str, tuple[str, str]]:
        first, last = key.partition(".")[0], key.rpartition(".")[2]
        return {f"{first}.…": (first, reason), f"….{last}": (last, reason)}

    alike = [pair for key, reason in unused.items() for pair in groups(key, reason).items()]
    count = Counter(alike)
    shown = {}
    for key, reason in unused.items():
        name, group = max(groups(key, reason).items(), key=lambda pair: count[pair])
        number = count[name, group]
        shown[f"{name} ({number} keys)" if number > most else key] = reason
    return shown


def _heads(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1,2,5,8") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m ditta_jax.convert", description="Convert student weights in and out."
    )
    parser.add_argument("source", type=Path, help="weight file, Hugging Face folder or checkpoint")
    parser.add_argument("destination", type=Path, help="checkpoint folder, or file with --to")
    parser.add_argument(
        "--to", choices=["checkpoint", "released", "huggingface"], default="checkpoint"
    )
    parser.add_argument("--layout", choices=["auto", *foreign.LAYOUTS], default="auto")
    parser.add_argument("--seed", type=int, default=0, help="of fresh weights for absent parts")
    parser.add_argument(
        "--classes",
        default="",
        help="names a,b,c, a file with one a line, or cityscapes, vspw, camvid, ade20k",
    )
    parser.add_argument("--heads", type=_heads, help="attention heads a,b,c,d; default 1,2,5,8")
    parser.add_argument(
        "--ignore", action="append", default=[], help="regular expression of keys to leave out"
    )
    parser.add_argument(
        "--part", default="", help="which of a file's sets of weights, e.g. state_dict_ema"
    )
    return parser


if __name__ == "__main__":
    run(main)
