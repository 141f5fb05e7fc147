"""Compare methods under several warm-ups and seeds, in one table.

    python -m ditta_jax.compare --config FILE

Every method of the configuration, every length of the warm-up (compare.percents) and every seed
(compare.seeds), and so for every variant (compare.ablations). Each cell is a run of
`ditta_jax.adapt` in <output>/<name>/cells; its methods share stage A, the teacher's masks and the
encoder's features, and all cells share stage A and the teacher's cache. An interrupted comparison
goes on with the next video of the cell where it was.

Results, in <output>/<name>: compare.md, compare.json and, where matplotlib is installed,
compare.png (accuracy against cost).

Example: python -m ditta_jax.compare --config configs/compare_demo.py --config.compare.seeds=0
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from ditta_jax.configuration import from_command_line
from ditta_jax.errors import UserError, WriteError, run

if TYPE_CHECKING:  # the settings are read before these, and what they import, are loaded
    from ditta_jax.comparison.cells import Cell
    from ditta_jax.comparison.rows import Done

SWITCHES = {
    "dry-run": "list the cells; start nothing",
    "quiet": "no progress: only errors and the results",
}


def main() -> int:
    """Read the settings and compare; the exit status is 1 where a cell or a video failed."""
    config, given = from_command_line("ditta_jax.compare", switches=SWITCHES)

    from ditta_jax.algorithm import precision
    from ditta_jax.comparison.cells import cells_of
    from ditta_jax.runs import devices, progress, settings

    settings.check(config)
    cells = cells_of(config)
    if given["dry-run"]:
        for place, cell in enumerate(cells, start=1):
            print(f"{place:>3}  {cell.title}")
        return 0
    devices.prepare(compute=config.precision.compute, matmul=config.precision.matmul)
    with precision.policy(**config.precision), progress.quietly(given["quiet"]):
        result = compare_methods(config, cells)
    return 1 if result["failed"] or any(row["failed"] for row in result["rows"]) else 0


def compare_methods(config: ConfigDict, cells: "Sequence[Cell]") -> dict[str, Any]:
    """Run all cells and set their results side by side; returns the content of compare.json.

    Raises:
        UserError: no cell could be done.
    """
    from ditta_jax.comparison.cells import folder_of
    from ditta_jax.comparison.plot import MISSING, write_plot
    from ditta_jax.comparison.rows import rows_of
    from ditta_jax.comparison.tables import markdown, print_table
    from ditta_jax.files import json_with, refuse_foreign_file, write_atomically
    from ditta_jax.runs import results
    from ditta_jax.runs.foreign_folder import refuse_foreign
    from ditta_jax.runs.lock import FolderLock

    folder = folder_of(config)
    refuse_foreign(folder)
    is_ours = json_with("rows", "failed", "config")
    refuse_foreign_file(folder / "compare.json", is_ours)
    for name in ("compare.md", "compare.png"):
        refuse_foreign_file(folder / name, lambda _: is_ours(folder / "compare.json"))
    with FolderLock(folder):
        done, failed = run_cells(config, cells)
        if not done:
            first, message = next(iter(failed.items()))
            raise UserError(f"no cell could be done; {first}: {message}")
        result = results.without_nan(
            {
                "name": config.name,
                "seed": config.seed,
                **config.compare.to_dict(),
                "rows": rows_of(config, done),
                "failed": failed,
                "environment": results.environment(),
                "config": config.to_dict(),
            }
        )
        content = json.dumps(result, indent=1) + "\n"
        write_atomically(folder / "compare.json", content.encode())
        write_atomically(folder / "compare.md", markdown(result).encode())
        plotted = write_plot(result, folder / "compare.png")
    print_table(result)
    print(f"results in {folder}: compare.md, compare.json{', compare.png' if plotted else ''}")
    if not plotted:
        print(MISSING)
    return result


def run_cells(config: ConfigDict, cells: "Sequence[Cell]") -> tuple[list["Done"], dict[str, str]]:
    """Run every cell, or take what an earlier comparison has of it.

    Returns:
        the cells that are done, and by their titles, messages of those that are not.
    """
    from ditta_jax.comparison.rows import done_cell
    from ditta_jax.runs.all_videos import adapt_videos
    from ditta_jax.runs.notices import notices
    from ditta_jax.runs.progress import RunProgress
    from ditta_jax.runs.shared_labels import SharedLabels

    with RunProgress(len(cells)) as progress:
        for line in notices(config):
            progress.say(line)
    done, failed = [], {}
    shared = SharedLabels(config.parallel.keep_gb * 1e9)
    for place, cell in enumerate(cells, start=1):
        with RunProgress(len(cells)) as progress:
            progress.say(f"cell {place} of {len(cells)}: {cell.title}")
        try:
            done.append(done_cell(cell, adapt_videos(cell.config, shared=shared)))
        except WriteError:
            raise
        except UserError as error:  # no video of the cell could be done
            failed[cell.title] = str(error)
    return done, failed


if __name__ == "__main__":
    run(main)
