"""Settings of the section `data`: which videos, and what their masks mean."""

from __future__ import annotations

from ditta_jax.configuration.setting import FOLDER, Schema, Setting
from ditta_jax.ranges import COLOUR, Range, between, one_of, several, text


def _name_patterns() -> Range:
    """Patterns with one star each, or nothing."""
    return several(text("a pattern with one *, or empty", r"[^*]*\*?[^*]*"), "patterns", 0)


DATA: Schema = {
    "kind": Setting(
        "tfds",
        one_of("tfds", "folder", "file", "vspw", "cityscapes"),
        "tfds, folder (of frames with or without masks, of such folders, or of video files), "
        "file (a video), vspw or cityscapes (path is the data set's root)",
    ),
    "builder": Setting(
        "procedural_drive", text("a name", empty=False), "TFDS data set, where kind is tfds"
    ),
    "split": Setting("video", text("a name", empty=False), "of the data set"),
    "data_dir": Setting("", FOLDER, "where TFDS keeps its data; empty: the user's cache folder"),
    "manual_dir": Setting(
        "",
        FOLDER,
        "where a downloaded data set lies that builder vspw, cityscapes_sequence or camvid is "
        "made of; empty: what was built before",
    ),
    "path": Setting("", FOLDER, "of the folder or the video"),
    "convention": Setting(
        "plain",
        one_of("plain", "vspw", "cityscapes"),
        "of mask values; vspw: 0 and 255 are ignored, the others shifted by one; cityscapes: "
        "ids become the 19 train ids",
    ),
    "class_map": Setting(
        "",
        FOLDER,
        "scores the student's predictions as the data's classes: vspw_to_cityscapes, "
        "ade20k_to_vspw, cityscapes_to_camvid or a .csv file; empty: they are the same",
    ),
    "ignore": Setting(
        (255,),
        several(between(0, 65535), "different mask values in 0 … 65535", 0, distinct=True),
        "mask values that are not labels",
    ),
    "mask_reading": Setting(
        "auto",
        one_of("auto", "values", "colours"),
        "of masks that could be either: greys saved as RGB, palettes",
    ),
    "ignore_colours": Setting(
        ((0, 0, 0),),
        several(COLOUR, "RGB colours (0 … 255)", 0),
        "colours of masks in colour that are not labels, unless the palette has them",
    ),
    "frame_names": Setting(
        ("",),
        _name_patterns(),
        "further patterns, such as *_rgb, of what frames are called beside their masks",
    ),
    "mask_names": Setting(
        ("",), _name_patterns(), "further patterns, such as *_mask, of what masks are called"
    ),
    "damaged": Setting(
        "refuse",
        one_of("refuse", "keep"),
        "damaged frames and videos: stop, or use what is good of them, with a warning",
    ),
    "list": Setting("", FOLDER, "file with one video's name a line (val.txt); empty: all"),
    "max_videos": Setting(0, between(0, 10**9), "videos to take; 0: all"),
    "max_frames": Setting(0, between(0, 10**9), "frames to take of each video; 0: all"),
    "fps": Setting(
        0.0, between(0.0, 1000.0), "frames a second that are taken of video files; 0: every one"
    ),
}
