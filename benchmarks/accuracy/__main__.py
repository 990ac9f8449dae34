"""`python -m benchmarks.accuracy [RECIPE …] [--graph] [--images N]`."""

import argparse
import sys

from benchmarks.accuracy import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("names", nargs="*", help="recipes; all by default")
    parser.add_argument("--images", type=int, help="only so many images, to see that it runs")
    parser.add_argument("--graph", action="store_true", help="through CUDA graphs instead of layer by layer")
    given = parser.parse_args()
    sys.exit(main(given.names, given.images, given.graph))
