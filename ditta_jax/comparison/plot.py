"""Accuracy against cost: one point a method, variant and warm-up, as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ditta_jax.comparison.tables import title_of
from ditta_jax.files import write_atomically

MISSING = "no plot: matplotlib is not installed; pip install 'ditta-jax[plots]'"


def write_plot(result: Mapping[str, Any], path: Path) -> bool:
    """Write mIoU against frames a second, and against seconds of preparation, as PNG.

    Returns:
        whether it was written: False where matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError:
        return False
    import io

    from matplotlib.figure import Figure

    costs = {
        "frames_per_second": "frames a second (→ cheaper)",
        "all_seconds": "seconds before the first frame, teacher included (← cheaper)",
    }
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(1, 2, sharey=True), costs.items(), strict=True):
        for (title, colour), points in points_of(result, key).items():
            x, y = zip(*points.values(), strict=True)
            axes.plot(
                x, y, "o-", color=f"C{colour % 10}", label=title.replace("$", r"\$"), linewidth=0.8
            )
            for percent, point in points.items():
                axes.annotate(f"{percent:g} %", point, (4, 4), textcoords="offset points", size=7)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mIoU, %")
    figure.axes[1].legend(fontsize=8)
    picture = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "ditta"}):
        figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    write_atomically(path, picture.getvalue())
    return True


def points_of(
    result: Mapping[str, Any], cost: str
) -> dict[tuple[str, int], dict[float, tuple[float, float]]]:
    """Per method and variant, by warm-up, its cost and mIoU in percent; known ones only.

    Args:
        result: of a comparison.
        cost: a key of its rows, or "all_seconds": preparation and teacher of a video together.
    """
    found: dict[str, dict[float, tuple[float, float]]] = {}
    for row in result["rows"]:
        score = row["scores"].get("mIoU", {}).get("mean")
        x = _seconds(row) if cost == "all_seconds" else row[cost]
        title = title_of(row).removesuffix(" *") + (
            f" ({row['variant']})" if row["variant"] else ""
        )
        own = found.setdefault(title, {})
        if score is not None and x is not None:
            own[row["percent"]] = (x, 100 * score)
    numbered = enumerate(found.items())
    return {(title, place): points for place, (title, points) in numbered if points}


def _seconds(row: Mapping[str, Any]) -> float | None:
    own, calls = row["preparation_seconds"], row["teacher_calls"]
    return None if own is None else own + (row["teacher_seconds"] / calls if calls else 0.0)
