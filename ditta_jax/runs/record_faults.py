"""Why the record of a finished video is not to be used, in words."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ditta_jax.files import fault_of_files, unseal
from ditta_jax.runs import record_key

MasksNow = Callable[[str], str | None]  # an entry of the cache → digest of its masks, if any


def fault_of_record(
    folder: Path,
    record: Path,
    parts: Mapping[str, Any],
    masks_now: MasksNow,
    save: bool,
    report: Mapping[str, Any],
) -> str | None:
    """Why a record is not to be used; None if it is, empty if there is none.

    Args:
        folder: that the files which the record vouches for lie in.
        record: its file.
        parts: what the video's result follows from now, plain.
        masks_now: the teacher's masks as they are.
        save: whether adapted students are wanted.
        report: which other files are.
    """
    try:
        content = unseal(record.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"its record {record} cannot be read ({error.strerror})"
    except ValueError as error:
        return f"its record {record} is damaged ({error})"
    if "parts" not in content:
        return f"its record {record} is of an older version of this program"
    if told := record_key.differences(content["parts"], parts):
        return told
    masks = content["masks"]
    if "entry" in masks:  # of a version that asked for one entry a video
        masks = {masks["entry"]: masks["digest"]}
    if any(masks_now(name) not in (None, digest) for name, digest in masks.items()):
        return "the teacher's masks changed"
    if save and not content.get("asked", {}).get("tta.save"):
        return "it kept no adapted students (tta.save)"
    return _fault_of_outputs(folder, content["files"], report)


def _fault_of_outputs(
    folder: Path, files: Mapping[str, str], report: Mapping[str, Any]
) -> str | None:
    """What is wrong with the files that a record vouches for, as far as they are wanted."""
    unwanted = {"tensorboard"}
    unwanted |= set() if report.get("predictions", True) else {"predictions"}
    unwanted |= set() if report.get("overlays", 1) else {"overlays"}
    wanted = {name: d for name, d in files.items() if name.partition("/")[0] not in unwanted}
    if fault := fault_of_files(folder, wanted):
        return fault
    if "predictions" not in unwanted and not any(n.startswith("predictions/") for n in wanted):
        return "it kept no predictions (report.predictions)"
    return None
