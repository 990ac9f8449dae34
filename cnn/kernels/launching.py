"""`Launch`, one kernel with its arguments, and the text that its module is compiled from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeAlias


class Launch(NamedTuple):
    """A kernel, how many blocks of how many threads, and what it is given: arrays and NumPy's scalars."""

    kernel: str
    grid: int
    block: int
    shared: int  # bytes
    args: tuple[Any, ...]
    early: bool = False  # whether it may begin while the launch before it ends: it calls `follow`, as common.cu says


Runner: TypeAlias = Callable[[Launch], None]


class Does(NamedTuple):
    """What a kernel does: these phases of these layers, of no layer where it only keeps a graph going.

    As few layers as there are whose work it does, in the order of the net; a phase is "forward", "backward", "update".
    """

    layers: tuple[Any, ...]
    phases: tuple[str, ...]


def does(phases: str, *layers: Any) -> Does:
    """`phases` in one text; of the layers those that are there."""
    return Does(tuple(layer for layer in layers if layer is not None), tuple(phases.split()))


class Device(Protocol):
    """What runs kernels: a GPU, or in tests the emulator."""

    xp: ModuleType
    shared_limit: int  # bytes of shared memory that one block may have
    multiprocessors: int

    def compiled(self, text: str) -> Runner:
        """What launches the kernels of `text`."""
        ...

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """The launches that `work` does, as one call that does them again; they are not done now."""
        ...

    def working(self) -> AbstractContextManager[None]:
        """Within it, arrays and launches are on a stream of their own; at the end all is done."""
        ...

    def keep_up(self, ahead: int) -> None:
        """Wait until no more than `ahead` of the calls so far still have work to do."""
        ...


def source(names: Sequence[str], constants: Mapping[str, int]) -> str:
    """The text of these .cu files, with what all kernels share and `constants` above it."""
    numbers = "".join(f"constexpr int {key} = {value};\n" for key, value in constants.items())
    shared, *texts = ((Path(__file__).parent / f"{name}.cu").read_text(encoding="utf-8") for name in ("common", *names))
    return "".join((shared, numbers, *texts))


def kernel_names(text: str) -> list[str]:
    """The kernels that `text` defines."""
    return re.findall(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\s*\(", text)
