"""`python -m benchmarks.accuracy [RECIPE | held-out …] [--images N]`."""

import argparse
import sys

from benchmarks.accuracy import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("names", nargs="*", help="recipes, or held-out; all by default")
    parser.add_argument("--images", type=int, help="only so many images, to see that it runs")
    given = parser.parse_args()
    sys.exit(main(given.names, given.images))
