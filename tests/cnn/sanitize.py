"""`python -m tests.cnn.sanitize [TOOL …]`: each kernel once under compute-sanitizer's tools, a line a tool.

It needs a GPU, and compute-sanitizer from the CUDA toolkit. Before the tools, memcheck is shown a kernel that writes
behind its array: a tool that does not find that one has looked at nothing.
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
    for make, of, cases in ((net, Shallow, CASES[1:3]), (deep_net, Deep, (DEEP_CASES[1], DEEP_CASES[4]))):
        for case in cases:
            lm = prepared(make(case, "gpu"))
            fused_step(of(lm.layers, case[-2], device), lm, np.arange(case[-1]), device.xp)
            lm.training(1, n_batch=case[-2], show_error=False, graph=False)  # those of single layers
            lm.forward(lm.x_train, train=True)
            lm.backward(lm.y_train)  # with the gradient by the images
    lm = prepared(net(CASES[2], "gpu"))
    cut = {"TILE": 4, "SPLIT": 2, "BACK_TILE": 4, "BACK_SPLIT": 2, "EIGHTS": 2}
    fused_step(Shallow(lm.layers, CASES[2][-2], device, **cut), lm, np.arange(CASES[2][-1]), device.xp)


def wrong() -> None:
    """A kernel that writes behind its array, and behind all that CuPy has asked the driver for."""
    import cupy

    array = cupy.cuda.runtime.malloc(256)
    code = 'extern "C" __global__ void wrong_write(float* out) { out[(1 << 22) + threadIdx.x] = 1; }'
    cupy.RawKernel(code, "wrong_write")((1,), (32,), (array,))
    cupy.cuda.Device().synchronize()


def checked(tool: str, function: str) -> tuple[int, list[str]]:
    """The exit status of `function` under a tool, and what the tool says."""
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
    python = [sys.executable, "-c", f"from tests.cnn.sanitize import {function}; {function}()"]
    answer = subprocess.run([*command, *python], capture_output=True, text=True, check=False)
    return answer.returncode, [line for line in answer.stdout.splitlines() if line.strip(" =")]


def main(tools: list[str]) -> int:
    """Run them; 1 where one found something, or memcheck not what is wrong."""
    status, lines = checked("memcheck", "wrong")
    failed = not any("Invalid __global__ write" in line for line in lines)
    print(f"a wrong kernel: {'NOT found' if failed else 'found'} (exit {status})", flush=True)
    for tool in tools or TOOLS:
        status, lines = checked(tool, "once")
        told = [line for line in lines if "SUMMARY" in line]
        print(f"{tool}: {'clean' if not status else f'exit {status}'}: {told}", flush=True)
        if status or not told:
            failed = True
            print("\n".join(lines[:40]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
