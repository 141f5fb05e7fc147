"""The commands, listed and started: `ditta-jax COMMAND …` is `python -m ditta_jax.COMMAND …`.

ditta-jax          lists them, each with an example
ditta-jax env      versions and devices, for reports of faults
"""

import difflib
import runpy
import sys
from importlib import import_module, metadata

from ditta_jax.errors import UserError, run

# Name, what it does, an example. `env` is this file's own; the others are modules of the package.
COMMANDS = (
    (
        "adapt",
        "turn an image model into a video model on each video's first frames",
        "adapt --config demo --config.data.max_videos=1",
    ),
    ("report", "one page to look at, of one run or of several", "report runs/demo"),
    (
        "sweep",
        "adapt under many settings in one program",
        "sweep --config demo --grid tta.lr=1e-4,3e-4",
    ),
    (
        "compare",
        "methods, warm-ups and seeds in one table",
        "compare --config compare_demo --config.compare.seeds=0",
    ),
    (
        "convert",
        "SegFormer weights of other programs to a student, and back",
        "convert segformer_b5.pth checkpoints/b5 --classes classes.txt",
    ),
    ("pretrain", "train a student on labelled pictures", "pretrain --config pretrain_demo"),
    ("benchmark", "time this program beside PyTorch", "benchmark --rivals jax"),
    ("check", "whether this device computes what it should, and how fast", "check"),
    ("env", "versions and devices, for reports of faults", "env"),
)


def main(arguments: list[str] | None = None) -> None:
    """Start the command that the first word names; without one, list them."""
    words = sys.argv[1:] if arguments is None else arguments
    names = [name for name, _, _ in COMMANDS]
    if not words or words[0] in ("-h", "--help", "help"):
        print(listing())
    elif words[0] == "--version":
        print(f"ditta-jax {metadata.version('ditta-jax')}")
    elif words[0] == "env":
        run(print_environment)
    elif words[0] in names:
        sys.argv = [f"ditta-jax {words[0]}", *words[1:]]
        runpy.run_module(f"ditta_jax.{words[0]}", run_name="__main__", alter_sys=True)
    else:
        run(lambda: refuse(words[0], names))


def listing() -> str:
    """What a person sees who types nothing further."""
    lines = ["DiTTA in JAX: image segmentation models adapted to videos.", ""]
    for name, does, example in COMMANDS:
        lines += [f"  {name:<10} {does}", f"  {'':<10} ditta-jax {example}", ""]
    lines += [
        "ditta-jax COMMAND --help says more. python -m ditta_jax.COMMAND is the same.",
        "--config takes a file, or one that comes with the package: demo.",
    ]
    return "\n".join(lines)


def refuse(word: str, names: list[str]) -> None:
    """Say that there is no such command, and which one may have been meant."""
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    raise UserError(f"ditta-jax: no command {word!r}; {hint}")


def print_environment() -> None:
    """Versions of everything that takes part, and what it runs on."""
    print(f"ditta-jax  {_version('ditta-jax')}")
    print(f"python     {sys.version.split()[0]}, {sys.executable}")
    for line in _packages():
        print(line)
    try:
        environment = import_module("ditta_jax.runs.results").environment()
    except Exception as error:  # a broken installation is what this command is to show
        print(f"devices    none: {type(error).__name__}: {error}")
        return
    for key in ("platform", "devices", "cores", "commit"):
        print(f"{key:<10} {environment[key]}")


def _packages() -> list[str]:
    """One line per package that the distribution asks for, missing ones among them."""
    try:
        wanted = metadata.requires("ditta-jax") or []
    except metadata.PackageNotFoundError:
        return ["packages   unknown: ditta-jax runs from a folder and is not installed"]
    lines = []
    for requirement in wanted:
        name = requirement.partition(";")[0].split("[")[0].split(">")[0].split("=")[0].strip()
        if name != "ditta-jax" and "extra == 'dev'" not in requirement.replace('"', "'"):
            lines.append(f"           {name} {_version(name)}")
    return lines


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
