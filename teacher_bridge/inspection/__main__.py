"""Look at a teacher's masks, or measure them.

    python -m teacher_bridge inspect ENTRY     a contact sheet and a video of the masks
    python -m teacher_bridge quality ENTRY --truth FOLDER     IoU over time, worth as labels

ENTRY is a folder of the cache.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ditta_jax import errors
from ditta_jax.errors import UserError
from ditta_jax.files import (
    check_writable,
    json_with,
    parse_json,
    read_regular,
    refuse_foreign_file,
    write_atomically,
)
from ditta_jax.labels import IGNORE
from ditta_jax.teacher.ground_truth import ground_truth_masklets
from ditta_jax.teacher.mask_images import files_of_frames, read_ids
from teacher_bridge.inspection import pictures, quality
from teacher_bridge.inspection.answers import Answer, read_answer

COMMANDS = ("inspect", "quality")
_SHEET, _VIDEO = "sheet.png", "masks.mp4"
_MOST_BYTES = 1 << 24  # of a file with votes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; UserError if the entry or what is compared with it is not usable."""
    options = _parse(arguments)
    answer = read_answer(Path(options.entry), options.teacher)
    if options.command == "inspect":
        inspect(answer, options)
    else:
        measure(answer, options)
    return 0


def inspect(answer: Answer, options: argparse.Namespace) -> None:
    """Write the contact sheet and the video."""
    out = Path(options.out or f"inspect-{answer.entry.folder.name}")
    if out.exists() and not (out.is_dir() and {p.name for p in out.iterdir()} <= {_SHEET, _VIDEO}):
        raise UserError(f"--out: {out}: holds other files than {_SHEET} and {_VIDEO}")
    check_writable(out)
    votes = _votes(Path(options.votes)) if options.votes else None
    names = pictures.names_of(answer, votes, _classes(options.classes))
    sheet = pictures.contact_sheet(answer, names, options.columns, options.frames)
    pictures.write_sheet(out / _SHEET, sheet)
    print(f"{answer.teacher}: {len(answer.masklets.objects)} objects; {out / _SHEET}")
    if options.video:
        drawn = (pictures.drawn(answer, t, names) for t in range(len(answer.masklets.frames)))
        pictures.write_video(out / _VIDEO, drawn, options.fps)
        print(out / _VIDEO)


def measure(answer: Answer, options: argparse.Namespace) -> None:
    """Print, and write with --out, how good the masks are."""
    if options.out:
        refuse_foreign_file(Path(options.out), json_with("entry", "teacher", "objects"))
    truth = _truth(Path(options.truth), answer)
    regions, ignored = truth, [0]
    clicks = [c for t in range(len(truth)) for c in answer.prompts(t)]
    labels = None
    if options.truth_is == "classes":
        plain = [np.where(frame > IGNORE, IGNORE, frame).astype(np.uint8) for frame in truth]
        regions = _region_ids(plain, answer)
        classes = {c["object_id"]: c["class_id"] for c in clicks}
        labels = quality.label_quality(answer.masklets, plain, [IGNORE], classes)
    starts = {c["object_id"]: c["frame"] for c in clicks}
    objects = quality.object_quality(answer.masklets, regions, ignored, starts)
    over_time = quality.iou_over_time(objects)
    report = {
        "entry": answer.entry.folder.name,
        "teacher": answer.teacher,
        "iou by frames since the prompt": [
            {"frames": age, "iou": round(iou, 4), "objects": n}
            for age, (iou, n) in over_time.items()
        ],
        "objects": [
            {
                "id": one.object_id,
                "start": one.start,
                "in truth": one.value,
                "iou": round(float(np.mean([*one.iou.values()])), 4) if one.iou else None,
            }
            for one in objects
        ],
        "labels": None if labels is None else labels._asdict(),
    }
    _print(report)
    if options.out:
        write_atomically(Path(options.out), (json.dumps(report, indent=2) + "\n").encode())
        print(options.out)


def _print(report: dict) -> None:
    print(f"{report['teacher']}: {len(report['objects'])} objects with masks")
    print("frames since the prompt   mean IoU   objects")
    for row in report["iou by frames since the prompt"]:
        print(f"{row['frames']:>23d} {row['iou']:>10.3f} {row['objects']:>9d}")
    lost = [one["id"] for one in report["objects"] if one["in truth"] is None]
    if lost:
        print(f"prompted on no region of the truth: objects {', '.join(map(str, lost))}")
    if report["labels"] is not None:
        labels = report["labels"]
        print(f"inside masks: {labels['pixels']} labelled pixels")
        if labels["purity"] is not None:
            best = f"{labels['purity']:.3f}"
            print(f"  of their object's most frequent class, the best vote: {best}")
        if labels["as_prompted"] is not None:
            print(f"  of the class the object was prompted for: {labels['as_prompted']:.3f}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m teacher_bridge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    look, number = (commands.add_parser(name) for name in COMMANDS)
    for command in (look, number):
        command.add_argument("entry", help="a folder of the cache")
        command.add_argument("--teacher", default="", help="first digits of its key, if several")
    look.add_argument("--out", default="", help="folder (default: inspect-ENTRY, here)")
    look.add_argument("--classes", default="", help="text file, one class name a line")
    look.add_argument("--votes", default="", help="JSON file: object id to the class it took")
    look.add_argument("--frames", type=_count, default=12, help="on the sheet, at most")
    look.add_argument("--columns", type=_count, default=3, help="of the sheet")
    look.add_argument("--fps", type=_count, default=10, help="of the video")
    look.add_argument("--no-video", dest="video", action="store_false")
    number.add_argument("--truth", required=True, help="folder of the video's true masks")
    number.add_argument(
        "--truth-is",
        choices=("objects", "classes"),
        default="objects",
        help="what their values are: objects (0: none) or classes (255: ignored)",
    )
    number.add_argument("--out", default="", help="JSON file of all figures")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to 1000, not {text!r}")
    return int(text)


def _truth(folder: Path, answer: Answer) -> list[np.ndarray]:
    request = answer.entry.request
    files = files_of_frames(folder, request.frames)
    missing = [name for name, file in zip(request.frames, files, strict=True) if file is None]
    if missing:
        raise UserError(f"--truth: {folder / missing[0]}.png: no such mask of a frame")
    return [read_ids(file, request.size) for file in files if file is not None]


def _region_ids(labels: list[np.ndarray], answer: Answer) -> list[np.ndarray]:
    """Connected regions of one class as objects, followed from frame to frame."""
    regions = ground_truth_masklets(labels, answer.entry.request)
    maps = []
    for t in range(len(labels)):
        ids = np.zeros(regions.size, np.int64)
        for object_id, mask in zip(*regions.decode(t), strict=True):
            ids[mask] = object_id
        maps.append(ids)
    return maps


def _votes(path: Path) -> dict[int, int]:
    try:
        content = parse_json(read_regular(path, _MOST_BYTES))
        if not all(type(class_id) is int for class_id in content.values()):
            raise ValueError
        return {int(object_id): class_id for object_id, class_id in content.items()}
    except OSError as error:
        raise UserError(f"--votes: {path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, AttributeError):
        raise UserError(f'--votes: {path}: expected JSON such as {{"1": 3, "2": 0}}') from None


def _classes(path: str) -> list[str]:
    if not path:
        return []
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError("it is too large for a list of names")
        return text.split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"--classes: {path}: cannot be read as text ({error})") from None


if __name__ == "__main__":
    errors.run(main)
