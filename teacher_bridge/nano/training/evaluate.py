"""Measures a nano SAM 2 on held-out procedural clips, or on real DAVIS clips.

    python -m teacher_bridge.nano.training.evaluate --clips 50
    python -m teacher_bridge.nano.training.evaluate --clips 50 --streets
    python -m teacher_bridge.nano.training.evaluate --davis DAVIS_FOLDER

Held-out clips come from the generator of the training clips, from seeds that training never
uses. Every figure and region of at least 150 visible pixels in frame 0 gets one click there.
The predictor runs with its default post-processing.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and print the figures."""
    options = parse(arguments)
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when torch imports tqdm
    import torch

    from teacher_bridge.nano.build import build_nano_predictor
    from teacher_bridge.nano.training.scoring import print_davis, print_held_out

    torch.set_num_threads(options.threads)
    predictor = build_nano_predictor(options.checkpoint)
    if options.davis:
        print_davis(predictor, options.davis)
    else:
        print_held_out(predictor, options.clips, options.frames, options.click, options.streets)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the checked command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="default: the shipped weights")
    parser.add_argument("--clips", type=int, default=50, help="held-out clips (default 50)")
    parser.add_argument("--frames", type=int, default=17, help="frames of each (default 17)")
    places = ("centre", "deep", "anywhere")
    parser.add_argument("--click", choices=places, default="centre", help="where in the object")
    parser.add_argument("--streets", action="store_true", help="clips of the demo's streets")
    parser.add_argument("--davis", type=Path, help="folder with JPEGImages and Annotations")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    if options.clips < 1 or options.frames < 2 or options.threads < 1:
        parser.error("--clips and --threads must be positive, --frames at least 2")
    return options


if __name__ == "__main__":
    main()
