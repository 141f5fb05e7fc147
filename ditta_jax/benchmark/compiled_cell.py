"""One process of `--compile-for`: compiles one program of one student for one chip.

    python -m ditta_jax.benchmark.compiled_cell RESULT '{"chip": "v5e", ...}'

A process of its own: compilers hold on to memory, a failing one may end the process, and a chip's
environment counts only before JAX is imported.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

from ditta_jax.benchmark import chips, estimate
from ditta_jax.benchmark.workload import Size

# The named scopes that cycles are grouped by; the stages' take what is in none of the others.
SCOPES = (
    *("stage_a", "stage_c", "stage_d", "encoder", "fuse_levels", "batch_norm", "classifier"),
    *("projection", "query_and_key", "window_attention", "cross_entropy", "reliability"),
    *("prototypes", "upsampled_norm", "contrastive_loss", "optimiser", "labels", "fuse_branches"),
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is compiled.

    Attributes:
        chip: one of `chips.CHIPS`.
        compute: dtype of activations; float32 multiplies in full, bfloat16 as the chip does best.
        size: frames, classes, objects, student.
        program: which of `programs.PROGRAMS`.
    """

    chip: str
    compute: str
    size: Size
    program: str


@dataclasses.dataclass
class Compiled:
    """What the compiler says of a cell; bytes of the device's memory.

    Attributes:
        error: why it does not compile, in one line; empty if it does.
        seconds: to compile.
        arguments, outputs, temporaries, code: what it needs; donated arguments count once.
        feature_bytes: of the arguments, the warm-up's encoder features.
        cycles: per part of the method, of one run; empty where the compiler tells none.
        unknown_loops: loops that count as one turn, for want of a number.
        scatters: instructions that were made from a scatter.
        runs: steps or frames of one run.
        jax: version that compiled it.
    """

    error: str = ""
    seconds: float = 0.0
    arguments: int = 0
    outputs: int = 0
    temporaries: int = 0
    code: int = 0
    feature_bytes: int = 0
    cycles: dict[str, int] = dataclasses.field(default_factory=dict)
    unknown_loops: int = 0
    scatters: int = 0
    runs: int = 1
    jax: str = ""


def compile_cell(cell: Cell) -> Compiled:
    """Compile the cell's program; one that does not compile is a result too."""
    import jax

    from ditta_jax.benchmark import programs
    from ditta_jax.runs.devices import trust_products
    from ditta_jax.students.platform import compiling_for

    trust_products()  # as every run does
    chip = chips.CHIPS[cell.chip]
    matmul = "default" if cell.compute == "bfloat16" else "highest"
    jax.config.update("jax_enable_compilation_cache", False)  # the seconds are to be compiled ones
    with compiling_for(chip.platform), jax.default_matmul_precision(matmul):
        device = chips.device(chip)
        arguments = programs.shapes(cell.size, cell.compute)
        lowered = programs.lowered(cell.program, arguments, device)
        runs = {"adaptation": programs.PASSES * cell.size.frames, "stage A": cell.size.frames}
        result = Compiled(runs=runs.get(cell.program, programs.CHUNK), jax=jax.__version__)
        if cell.program == "adaptation":
            result.feature_bytes = arguments.feature_bytes
        _compile(lowered, result)
        return result


def _compile(lowered, result: Compiled) -> None:
    start = time.perf_counter()
    try:
        compiled = lowered.compile()
    except Exception as error:  # compilers fail in any way; the first line says how
        result.error = " ".join(str(error).split())[:300]
        return
    result.seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    result.arguments = memory.argument_size_in_bytes
    result.outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    result.temporaries = memory.temp_size_in_bytes
    result.code = memory.generated_code_size_in_bytes
    text = compiled.as_text()
    result.scatters = estimate.scatters(text)
    if "estimated_cycles" in text:
        found = estimate.estimate(estimate.read(text), SCOPES)
        result.cycles, result.unknown_loops = found.cycles, found.unknown_loops


def main() -> None:
    """Compile what the command line says and write the result."""
    given = json.loads(sys.argv[2])
    cell = Cell(**given | {"size": Size(**given["size"])})
    Path(sys.argv[1]).write_text(json.dumps(dataclasses.asdict(compile_cell(cell))))


if __name__ == "__main__":
    main()
