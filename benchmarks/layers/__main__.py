"""`python -m benchmarks.layers [PART …]`."""

import sys

from benchmarks.layers import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
