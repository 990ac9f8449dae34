"""`python -m benchmarks [NAME ...]`: run all benchmarks, or those named; some take parts."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = (
    "timing",
    "ab",
    "hostile",
    "coverage",
    "overhead",
    "pooling",
    "accuracy",
    "layers",
    "epoch",
    "layerwise",
    "ladder",
    "race",
)
PARTED = ("layers", "epoch", "race")  # what follows them are their parts


def main(names: list[str]) -> int:
    """Run them one after another; 2 for a name that is none."""
    if names and names[0] in PARTED and len(names) > 1:
        return int(import_module(f"benchmarks.{names[0]}").main(names[1:]))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        print(f"== {name}")
        import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
