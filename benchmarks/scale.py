"""How many photographs an hour, a core, a GPU and a dollar restore, from measured seconds.

    python -m benchmarks.scale [--seconds 7.5 --size 2000 1500 --cores 2] [--price 0.04]
                               [--gpu-seconds S --gpu-price P]

The seconds come from benchmarks.restoring_speed. Time is linear in pixels, but for photographs of
less than half a megapixel, which are not cut into tiles and take less.
"""

from __future__ import annotations

import argparse

SIZES = ((768, 512), (2000, 1500), (4000, 3000))
HOUR = 3600
MANY, MACHINES = 1_000_000, 100


def row(size: tuple[int, int], seconds: float, units: int, price: float) -> str:
    """One line: ``units`` cores or GPUs, each for ``price`` an hour, take so many seconds."""
    width, height = size
    per_hour = HOUR / (seconds * units)
    hours = MANY / per_hour / MACHINES
    name = f"{width} x {height} ({round(width * height / 1e6, 1):g} megapixels)"
    long = f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
    cells = (name, f"{seconds:.3g}", f"{per_hour:,.0f}", f"{per_hour / price:,.0f}")
    return f"| {' | '.join(cells)} | {long} hours |"


def table(
    seconds: float, size: tuple[int, int], units: int, price: float, unit: str = "core"
) -> list[str]:
    """The lines of a table for all sizes, from the seconds for one."""
    on = f"{units} {unit}s" if units > 1 else f"a {unit}"
    heads = (
        "photograph",
        f"seconds on {on}",
        f"per hour and {unit}",
        f"per dollar at {price:g} an hour and {unit}",
        f"a million on {MACHINES} {unit}s",
    )
    pixels = size[0] * size[1]
    rows = [row(one, seconds * one[0] * one[1] / pixels, units, price) for one in SIZES]
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=7.5)
    parser.add_argument(
        "--size", type=int, nargs=2, default=(2000, 1500), metavar=("WIDTH", "HEIGHT")
    )
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--price", type=float, default=0.04, help="dollars for an hour of a core")
    parser.add_argument("--gpu-seconds", type=float, help="for the same photograph")
    parser.add_argument("--gpu-price", type=float, default=3.0, help="dollars for an hour of it")
    given = parser.parse_args()
    print("\n".join(table(given.seconds, tuple(given.size), given.cores, given.price)))
    if given.gpu_seconds:
        print("\n".join(table(given.gpu_seconds, tuple(given.size), 1, given.gpu_price, "GPU")))


if __name__ == "__main__":
    main()
