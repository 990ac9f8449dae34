"""NVRTC through ctypes: CUDA sources to machine code on a machine without a GPU, with what each kernel takes."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Taken(NamedTuple):
    """What a thread of a kernel takes, as ptxas reports it."""

    registers: int
    spilled: int  # bytes stored because registers ran out
    stack: int  # bytes


@cache
def library() -> Any:
    """The NVRTC of the wheel nvidia-cuda-nvrtc, or None where it is not installed."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        for file in sorted(Path(folder).glob("*/lib/libnvrtc.so.*"), reverse=True):
            return ctypes.CDLL(str(file))
    return None


def compiled(text: str, arch: str) -> dict[str, Taken]:
    """By kernel of `text`, what it takes on `arch`, such as "sm_90"; AssertionError with the log of a failure."""
    nvrtc, program = library(), ctypes.c_void_p()
    options = [f"-arch={arch}", "--std=c++17", "--ptxas-options=-v", "-ftz=true"]
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None) == 0
    try:
        given = (ctypes.c_char_p * len(options))(*(each.encode() for each in options))
        failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        assert not failed, log.value.decode()
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return report(log.value.decode())


def report(log: str) -> dict[str, Taken]:
    """What the log of ptxas says of each kernel."""
    found = {}
    for part in log.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", part)
        stack, stores = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", part).groups()  # type: ignore[union-attr]
        registers = re.search(r"Used (\d+) registers", part)
        assert name
        assert registers
        found[name[1]] = Taken(int(registers[1]), int(stores), int(stack))
    return found
