"""Frames with a teacher's masks, ids and prompts drawn on them: a contact sheet and a video."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from ditta_jax.errors import UserError
from ditta_jax.files import write_atomically
from teacher_bridge.flow.teacher import read_frame
from teacher_bridge.inspection.answers import Answer

_GOLDEN = 0.618034  # of a turn: neighbouring ids get far colours
_OPACITY = 0.45
_TILE = 480  # pixels, width of one frame on the sheet
_MARGIN, _FONT = 4, cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)

Picture = UInt8[np.ndarray, "H W 3"]


def colour(object_id: int) -> tuple[int, int, int]:
    """Return the RGB of an object, the same in every picture."""
    r, g, b = colorsys.hsv_to_rgb(object_id * _GOLDEN % 1.0, 0.8, 1.0)
    return round(255 * r), round(255 * g), round(255 * b)


def drawn(answer: Answer, t: int, names: Mapping[int, str]) -> Picture:
    """Return frame t with its masks, their names, and a cross at each prompt."""
    picture = read_frame(answer.entry, t).copy()
    ids, masks = answer.masklets.decode(t)
    for object_id, mask in zip(ids.tolist(), masks, strict=True):
        tint = np.array(colour(object_id))
        picture[mask] = (1 - _OPACITY) * picture[mask] + _OPACITY * tint
    for object_id, mask in zip(ids.tolist(), masks, strict=True):
        if mask.any():
            outlines, _ = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(picture, outlines, -1, colour(object_id), 1)
            _write(picture, names.get(object_id, str(object_id)), _inside(mask))
    for click in answer.prompts(t):
        at = (int(click["x"]), int(click["y"]))
        cv2.drawMarker(picture, at, _BLACK, cv2.MARKER_TILTED_CROSS, 13, 3)
        cv2.drawMarker(picture, at, colour(click["object_id"]), cv2.MARKER_TILTED_CROSS, 11, 1)
    return picture


def contact_sheet(answer: Answer, names: Mapping[int, str], columns: int, most: int) -> Picture:
    """Return evenly chosen frames side by side: all, or `most` of them, prompted ones first."""
    T = len(answer.masklets.frames)
    chosen = sorted(set(np.linspace(0, T - 1, min(T, most)).round().astype(int).tolist()))
    height, width = answer.masklets.size
    scale = min(1.0, _TILE / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    tiles = []
    for t in chosen:
        tile = cv2.resize(drawn(answer, t, names), size, interpolation=cv2.INTER_AREA)
        _write(tile, f"{t}: {answer.entry.request.frames[t]}", (_MARGIN, size[1] - _MARGIN))
        tiles.append(np.pad(tile, [(0, _MARGIN), (0, _MARGIN), (0, 0)]))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)


def write_sheet(path: Path, sheet: Picture) -> None:
    """Write a picture as PNG."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))
    if not done:
        raise UserError(f"{path}: the picture of {sheet.shape} cannot be written as PNG")
    write_atomically(path, data.tobytes())


def write_video(path: Path, pictures: Iterator[Picture], frames_per_second: int) -> None:
    """Write pictures as H.264; UserError where PyAV is missing."""
    try:
        import av
    except ImportError:
        raise UserError(
            "the video needs the package 'av' (pip install av), or --no-video"
        ) from None
    partial = path.with_name(f".{path.name}.partial.mp4")
    try:
        with av.open(str(partial), "w") as container:
            stream = None
            for picture in pictures:
                even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
                if stream is None:
                    stream = container.add_stream("libx264", rate=frames_per_second)
                    stream.height, stream.width = even.shape[:2]
                    stream.pix_fmt = "yuv420p"
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
                container.mux(stream.encode(frame))
            if stream is not None:
                container.mux(stream.encode())
        partial.replace(path)
    except (OSError, av.FFmpegError) as error:
        raise UserError(f"{path}: cannot be written ({error})") from None
    finally:
        partial.unlink(missing_ok=True)


def names_of(
    answer: Answer, votes: Mapping[int, int] | None, classes: Sequence[str]
) -> dict[int, str]:
    """Return what is written at each object: its id, and the class it took or was prompted for.

    Args:
        answer: masks and prompts.
        votes: class of each object, where the vote is known.
        classes: names, where they are known.
    """
    clicks = (c for t in range(len(answer.masklets.frames)) for c in answer.prompts(t))
    of_object = {c["object_id"]: c["class_id"] for c in clicks} if votes is None else votes
    names = {}
    for object_id in answer.masklets.objects:
        class_id = of_object.get(object_id)
        known = class_id is not None and 0 <= class_id < len(classes)
        of_class = classes[class_id] if known and class_id is not None else class_id
        names[object_id] = f"{object_id}" if of_class is None else f"{object_id} {of_class}"
    return names


def _inside(mask: np.ndarray) -> tuple[int, int]:
    """The innermost pixel of a mask, (x, y): also of a ring it is not in the hole."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return max(int(x) - 1, 0), max(int(y) - 1, 0)


def _write(picture: Picture, text: str, at: tuple[int, int]) -> None:
    plain = text.encode("ascii", "replace").decode()  # the font has no others
    for ink, thickness in ((_BLACK, 3), (_WHITE, 1)):
        cv2.putText(picture, plain, at, _FONT, 0.4, ink, thickness, cv2.LINE_AA)
