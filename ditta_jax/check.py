"""Does this machine's device compute what it should?

    python -m ditta_jax.check                       # in full float32
    python -m ditta_jax.check --compute bfloat16 --matmul default
    JAX_PLATFORMS=cpu python -m ditta_jax.check     # another device than the first

Compilers of accelerators have computed wrongly without a word. A small student takes stage A, a
step of stage C on each of two frames, and stage D on the first device, twice. Labels, losses and
gradients are compared with stored numbers, and one by one with those of this machine's CPU. Prints
devices, versions and flags, then a verdict; ends with 1 where something is off.
"""

import argparse
import sys
from collections.abc import Sequence

from ditta_jax.errors import run


def main() -> int:
    """Compute, compare, print."""
    options = parse(sys.argv[1:])
    from ditta_jax.runs import devices

    devices.trust_products()
    import jax

    device = jax.local_devices()[0]
    for name, value in devices.identity(device).items():
        print(f"{name:16} {value or '-'}")
    print(f"{'devices':16} {', '.join(str(d) for d in jax.devices())}")
    print(f"{'precision':16} compute {options.compute}, matmul {options.matmul}\n")
    verdicts = _verdicts(device, options)
    for line, is_right in verdicts:
        print(f"{'ok ' if is_right else 'OFF'}  {line}")
    right = all(is_right for _, is_right in verdicts)
    print("\nThis device computes what it should." if right else "\nThis device computes WRONGLY.")
    return 0 if right else 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m ditta_jax.check",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--compute", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--matmul", choices=("default", "high", "highest"), default="highest")
    return parser.parse_args(arguments)


def _verdicts(device, options: argparse.Namespace) -> list[tuple[str, bool]]:
    """One line a comparison, and whether it holds."""
    import jax
    import numpy as np

    from ditta_jax.runs import device_check

    allowed = device_check.tolerance(options.compute, options.matmul)
    with jax.default_matmul_precision(options.matmul):
        found, again = (
            device_check.compute_parts(device, compute=options.compute) for _ in range(2)
        )
    verdicts = []
    for part, own in found.items():
        off = device_check.faults(part, own, allowed)
        verdicts.append((f"{part}, stored numbers: {'; '.join(off[:3]) or 'equal'}", not off))
    with jax.default_matmul_precision("highest"):
        right = device_check.compute_parts(jax.local_devices(backend="cpu")[0])
    for part, own in found.items():
        off = device_check.differences(own, right[part], allowed)
        verdicts.append((f"{part}, this machine's CPU: {'; '.join(off[:3]) or 'equal'}", not off))
    for part, own in found.items():
        changed = [
            name for name, x in own.items() if not np.array_equal(x, again[part][name], True)
        ]
        words = f"{', '.join(changed[:3])} differ" if changed else "the same bytes"
        verdicts.append((f"{part}, computed again: {words}", not changed))
    return verdicts


if __name__ == "__main__":
    run(main)
