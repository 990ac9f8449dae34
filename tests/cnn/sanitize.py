"""`python -m tests.cnn.sanitize [TOOL …]`: each kernel once under compute-sanitizer's tools, a line a tool.

It needs a GPU, and compute-sanitizer from the CUDA toolkit. `once` is what runs under it: a step of small nets.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from cnn.kernels.deep import Deep
from cnn.kernels.shallow import Shallow
from tests.cnn.kernel_nets import CASES, DEEP_CASES, deep_net, fused_step, net, prepared

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")


def once() -> None:
    """Each kernel on small shapes."""
    from cnn.kernels.gpu import Gpu

    device = Gpu()
    for make, of, cases in ((net, Shallow, CASES[1:3]), (deep_net, Deep, DEEP_CASES[:2])):
        for case in cases:
            lm = prepared(make(case, "gpu"))
            fused_step(of(lm.layers, case[-2], device), lm, np.arange(case[-1]), device.xp)


def main(tools: list[str]) -> int:
    """Run them; 1 where one found something."""
    failed = 0
    for tool in tools or TOOLS:
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", "--kernel-regex", "kns=_"]
        python = [sys.executable, "-c", "from tests.cnn.sanitize import once; once()"]
        answer = subprocess.run([*command, *python], capture_output=True, text=True, check=False)
        lines = [line for line in (answer.stdout + answer.stderr).splitlines() if line.strip(" =")]
        print(f"{tool}: {'clean' if not answer.returncode else f'exit {answer.returncode}'}: {lines[-1:]}", flush=True)
        if answer.returncode:
            failed = 1
            print("\n".join(lines[:40]))
    return failed


if __name__ == "__main__":
    once() if sys.argv[1:] == ["once"] else sys.exit(main(sys.argv[1:]))
