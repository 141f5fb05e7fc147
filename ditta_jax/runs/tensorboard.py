"""Optional scalars for TensorBoard: the losses of each video's steps."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ditta_jax.errors import UserError


def write_losses(folder: Path, video: str, rows: Iterable[Mapping[str, float | None]]) -> None:
    """Write one curve per loss term of a video's adaptation, one point per step.

    Args:
        folder: TensorBoard's log folder; the video's curves get a folder of their own in it.
        video: a name without slashes.
        rows: as in `RunFolder.append_losses`; missing terms (None, NaN) leave a gap.

    Raises:
        UserError: tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UserError(
            "report.tensorboard needs the package tensorboardX: pip install tensorboardX, "
            "or set report.tensorboard to False"
        ) from error
    with SummaryWriter(str(folder / video)) as writer:
        for step, row in enumerate(rows):
            for term, value in row.items():
                if term not in ("pass", "frame") and value is not None and value == value:
                    writer.add_scalar(f"loss/{term}", float(value), step)
