"""What is noted of one video for the page: small pictures of some frames, curves of all.

<run>/film/<video>.json, written when the video is done; see docs/formats.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from ditta_jax.files import seal, unseal, write_atomically
from ditta_jax.labels import IGNORE
from ditta_jax.runs.overlays import chosen_frames
from ditta_jax.runs.page import small_pictures
from ditta_jax.runs.page.frame_curves import FrameCurves
from ditta_jax.teacher.records import Masklets

VERSION = 1
WARM_UP_FRAMES = 6  # shown at most; their maps are three a frame


class Film:
    """Collects the pictures and curves of a video while it is segmented.

    Args:
        video: its name.
        size: (H, W) of its frames.
        classes: names, in label order.
        palette: RGB of each class.
        scored: first and one past the last frame that is segmented.
        pictures: how many of them are kept as pictures, at most.
    """

    def __init__(
        self,
        video: str,
        size: tuple[int, int],
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        scored: tuple[int, int],
        pictures: int,
    ) -> None:
        self._content: dict[str, Any] = {
            "version": VERSION,
            "video": video,
            "size": list(size),
            "picture_size": list(small_pictures.size_in_page(size)),
            "classes": list(classes),
            "palette": [[int(value) for value in colour] for colour in palette],
            "first": scored[0],
            "warm_up": [],
            "objects": [],
            "pictures": [],
        }
        self._shown = set(chosen_frames(*scored, pictures))
        self._curves = FrameCurves(len(classes))

    def warm_up(
        self,
        frame_of,
        labels: UInt8[np.ndarray, "T H W"],
        reliability: Float[np.ndarray, "T H W"],
        masklets: Masklets | None = None,
        object_class: Int[np.ndarray, "O"] | None = None,
    ) -> None:
        """Note what stages A and B found on the first frames.

        Args:
            frame_of: index of a frame → UInt8[H, W, 3].
            labels: the frozen student's.
            reliability: of these labels.
            masklets: the teacher's tracks, where there is a teacher.
            object_class: the class each object was voted; 255 where it has none.
        """
        for t in chosen_frames(0, len(labels), WARM_UP_FRAMES):
            shown = {
                "frame": t,
                "input": small_pictures.photograph(frame_of(t)),
                "frozen": small_pictures.map_of(labels[t]),
                "reliability": small_pictures.shares(reliability[t]),
            }
            if masklets is not None:
                shown["objects"] = small_pictures.map_of(_ids_on_top(masklets, t))
            self._content["warm_up"].append(shown)
        if masklets is not None:
            self._content["objects"] = _objects(masklets, object_class)

    def frame(
        self,
        index: int,
        frame: UInt8[np.ndarray, "H W 3"],
        labels: Mapping[str, UInt8[np.ndarray, "H W"]],
        truth: UInt8[np.ndarray, "H W"] | None,
    ) -> None:
        """Note one segmented frame: its labels by method, and its truth where there is one."""
        self._curves.update(labels, truth)
        if index not in self._shown:
            return
        shown: dict[str, Any] = {"frame": index, "input": small_pictures.photograph(frame)}
        if truth is not None:
            shown["truth"] = small_pictures.map_of(truth)
        shown["labels"] = {m: small_pictures.map_of(label) for m, label in labels.items()}
        self._content["pictures"].append(shown)

    def write(self, path: Path) -> None:
        """Write the film; nothing of it is on disk before."""
        write_atomically(path, seal(self._content | {"curves": self._curves.to_json()}))


def read(path: Path) -> dict[str, Any] | None:
    """The content of a film; None where there is none that can be used."""
    try:
        content = unseal(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if content.get("version") == VERSION else None


def _ids_on_top(masklets: Masklets, t: int) -> UInt8[np.ndarray, "H W"]:
    """The object of each pixel, 0 for none; of overlapping ones the later of the frame's list."""
    on_top = np.zeros(masklets.size, np.uint8)
    for object_id, mask in zip(*masklets.decode(t), strict=True):
        on_top[mask] = min(int(object_id), 255)
    return on_top


def _objects(masklets: Masklets, object_class) -> list[dict[str, Any]]:
    """Each object's class, and the click that it came from where a click is on record."""
    clicks = {}
    for click in masklets.provenance.get("prompts", ()):
        if isinstance(click, Mapping) and {"object_id", "frame", "y", "x"} <= set(click):
            clicks[click["object_id"]] = {
                key: click.get(key) for key in ("frame", "y", "x", "class_id", "reliability")
            }
    voted = {} if object_class is None else dict(enumerate(np.asarray(object_class).tolist(), 1))
    return [
        {
            "id": int(i),
            "class_id": None if voted.get(i, IGNORE) == IGNORE else int(voted[i]),
            "click": clicks.get(i),
        }
        for i in masklets.objects
    ]
