"""`Emulated`: stands where a GPU would, for kernels and arrays on the CPU."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cnn.kernels.launching import Launch, Runner, kernel_names

FOLDER = Path(__file__).parent
COMPILER = shutil.which("g++")


class Emulated:
    """Runs threads in the order of their numbers; `order` 1: threads backwards, 2: blocks backwards, 3: both."""

    xp = np
    multiprocessors = 4

    def __init__(self, folder: Path, order: int = 0, shared_limit: int = 99 * 1024) -> None:
        self.folder, self.order, self.shared_limit = folder, order, shared_limit
        self.recording: list[Callable[[], None]] | None = None
        self.launched: list[str] = []

    def compiled(self, text: str) -> Runner:
        library = built(text, self.folder)

        def run(launch: Launch) -> None:
            if self.recording is not None:
                self.recording.append(lambda: self._run(library, launch))
            else:
                self._run(library, launch)

        return run

    def _run(self, library: ctypes.CDLL, launch: Launch) -> None:
        self.launched.append(launch.kernel)
        holders = [_holder(arg) for arg in launch.args]
        pointers = (ctypes.c_void_p * len(holders))(*(ctypes.addressof(each) for each in holders))
        function = getattr(library, f"launch_{launch.kernel}")
        function.argtypes = [ctypes.c_uint] * 3 + [ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
        together = int("persistent" in launch.kernel)
        function(launch.grid, 1, launch.block, launch.shared, self.order, together, pointers)

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recording = steps = []
        try:
            work()
        finally:
            self.recording = None

        def replay() -> None:
            for step in steps:
                step()

        return replay

    @contextmanager
    def working(self) -> Iterator[None]:
        yield

    def keep_up(self, ahead: int) -> None:
        pass


def _holder(arg: Any) -> Any:
    if isinstance(arg, np.ndarray):
        assert arg.flags.c_contiguous
        return ctypes.c_void_p(arg.ctypes.data)
    kinds = {"int32": ctypes.c_int32, "float32": ctypes.c_float, "uint32": ctypes.c_uint32}
    return kinds[arg.dtype.name](arg.item())


def built(text: str, folder: Path) -> ctypes.CDLL:
    """`text` as a library whose launch_NAME(...) run its kernels."""
    names = kernel_names(text)
    assert names, "no kernels in the text"
    whole = '#include "emulator.h"\n' + text + "".join(f"KERNEL({name})\n" for name in names)
    base = folder / hashlib.sha256((whole + (FOLDER / "emulator.h").read_text()).encode()).hexdigest()[:16]
    library = base.with_suffix(".so")
    if not library.exists():
        base.with_suffix(".cpp").write_text(whole)
        command = [str(COMPILER), "-std=c++17", "-O1", "-shared", "-fPIC", "-w", f"-I{FOLDER}", "-o", str(library)]
        answer = subprocess.run([*command, str(base.with_suffix(".cpp"))], capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr[:4000]
    return ctypes.CDLL(str(library))
