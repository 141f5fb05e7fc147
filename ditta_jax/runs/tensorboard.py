"""Optional scalars for TensorBoard: the losses of each video's steps."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ditta_jax.errors import UserError
from ditta_jax.files import writing


def write_losses(folder: Path, video: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one curve per loss term of a video's adaptation, one point per step.

    In place of those of an earlier attempt. The events are written here and not by
    `SummaryWriter`'s thread, which waits for ever once the disk is full.

    Args:
        folder: TensorBoard's log folder; the video's curves get a folder of their own in it.
        video: a name without slashes.
        rows: as in `RunFolder.write_losses`; missing terms (None, NaN) leave a gap.

    Raises:
        UserError: tensorboardX is not installed, or the file cannot be written.
    """
    try:
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2
    except ImportError as error:
        raise UserError(
            "report.tensorboard needs the package tensorboardX: pip install tensorboardX, "
            "or set report.tensorboard to False"
        ) from error
    place = folder / video
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        for earlier in place.glob("events.*"):
            earlier.unlink()
        writer = event_file_writer.EventsWriter(str(place / "events"))
        steps: Counter[str] = Counter()
        for row in rows:
            method = f"{row['method']}/" if "method" in row else ""
            for term, value in row.items():
                if term in ("method", "pass", "frame") or value is None or value != value:
                    continue
                point = summary.scalar(f"loss/{method}{term}", float(value))
                step = steps[method]
                event = event_pb2.Event(wall_time=time.time(), step=step, summary=point)
                writer.write_event(event)
            steps[method] += 1
        writer.close()
