"""A profile being taken: hooks on, the log open, passes in turns; afterwards a `Profile`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import FunctionType, TracebackType
from typing import Any

import numpy as np

from gpuprof.arrays import own_bytes
from gpuprof.ceilings import ceilings
from gpuprof.device import machine
from gpuprof.graphing import graphs_of
from gpuprof.hooks.functions import split, timed_target
from gpuprof.hooks.given import FirstCalls
from gpuprof.hooks.methods import Sizes, TimedMethod, find_layers, timed
from gpuprof.hooks.modules import is_module, learned, on_host
from gpuprof.hooks.replays import ReplayWatch
from gpuprof.hooks.source import code_of
from gpuprof.hooks.torchmodules import ModuleCalls
from gpuprof.judge.folding import folded
from gpuprof.judge.hot import hot_lines
from gpuprof.judge.layercost import ArrayBytes, layer_cost
from gpuprof.latest import keep
from gpuprof.linewatch import Function, LineWatch, named, to_follow
from gpuprof.progressline import ProgressLine
from gpuprof.record.calls import Calls, Scope
from gpuprof.record.clocks import Clock, clock_for
from gpuprof.record.inspect import Inspection, Inspector
from gpuprof.record.interrupts import undisturbed
from gpuprof.record.launches import Kernels, kernels_of
from gpuprof.record.log import CallLog
from gpuprof.record.ranges import Ranges
from gpuprof.record.schedule import Block, Mode, Plan, Schedule
from gpuprof.record.waits import summary
from gpuprof.results.graphs import Graphs
from gpuprof.results.linetimes import Followed
from gpuprof.results.profile import Profile
from gpuprof.results.seen import Seen, Work

_PLAIN = 6  # plain steps for a marked one, where a boundary costs more than a layer's: in PyTorch's backward
_TYPES = frozenset({"float16", "bfloat16", "float32", "float64"})

_open: list[CallLog] = []


def innermost() -> CallLog | None:
    """The log of the profile being taken, the one begun last; None where none is."""
    return _open[-1] if _open else None


class LayerTime:
    """`with layertime(model) as run:` profiles the layers' calls inside; afterwards `run.profile` has them."""

    def __init__(
        self,
        models: tuple[object, ...],
        clock: Clock | None = None,
        names: Iterable[object] = (),
        *,
        kernels: bool | None = None,
        lines: Iterable[str | Callable[..., Any] | tuple[str, Callable[..., Any]]] = (),
        hot: bool = False,
        namespace: dict[str, Any] | None = None,
        blocks: Iterable[Block] | None = None,
        graph: bool = False,
        schedule: Iterable[int] | None = None,
        progress: ProgressLine | None = None,
        nvtx: bool = False,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self._about = about  # the machine, where that was asked already
        others, self._targets = split(models)
        self._models = others
        self._layers = find_layers(*others) if others or not self._targets else []
        owners = [target.owner for target in self._targets if target.owner is not None]
        objects = [*(layer for _, layer in self._layers), *owners, *others]
        clock = clock or clock_for(objects, names, guess=not on_host(layer for _, layer in self._layers))
        self._namespace = namespace
        wanted = [named(each, self._layers, self._targets, namespace or {}) for each in lines]
        self._inspection = Inspection(_packages(objects), hot)
        self._plan = None if schedule is None else Plan.of(schedule)
        passes = Schedule(
            device=clock.on_device,
            kernels=kernels,
            lines=bool(wanted),
            hot=hot,
            blocks=blocks,
            plan=self._plan,
            plain=_PLAIN if any(is_module(layer) for _, layer in self._layers) else 1,
        )
        watchers: dict[Mode, Callable[[], Any]] = {Mode.LINES: lambda: LineWatch(self._log, self._lines)}
        if hasattr(clock, "library"):  # a fake device has no CUPTI and no pools
            watchers[Mode.INSPECT] = lambda: Inspector(self._inspection, len(self._log.taken))
        self._log = CallLog(clock, passes, watchers, folded)
        self._progress = progress
        self._log.ranges = Ranges() if nvtx else None
        self._log.graphs = self._replays = ReplayWatch(self._log, self._layers)
        self._lines = to_follow(wanted, self._layers, self._targets, self._log)
        self._stack, self._later = ExitStack(), ExitStack()
        self._methods: list[TimedMethod] = []
        self._modules = ModuleCalls(self._layers, self._log)
        self._first = FirstCalls() if graph else None
        asked = (kernels or hot) and not clock.on_device
        self._why_none = "--kernels and --hot ask a GPU, and no array on one was found" if asked else ""
        self._profile: Profile | None = None

    def switch(self, mode: Mode) -> None:
        """Measure the next steps so, and all after them; waits for the device. Between calls of the layers alone."""
        self._log.switch(mode)

    def to_front(self) -> None:
        """Of several profiles being taken, let the regions of the code to come be this one's."""
        _open.remove(self._log)
        _open.append(self._log)

    def now(self) -> int:
        """The host's time, ns, on the axis of the profile's calls."""
        return self._log.clock.host()

    @property
    def layers(self) -> tuple[tuple[str, object], ...]:
        """The layers that are profiled, with their paths."""
        return tuple(self._layers)

    @property
    def clock(self) -> Clock:
        """Where its times come from."""
        return self._log.clock

    @property
    def ended(self) -> bool:
        """Whether there is a profile: the `with` has been entered and left."""
        return self._profile is not None

    @property
    def profile(self) -> Profile:
        """What was measured. Raises RuntimeError before the `with` has ended."""
        if self._profile is None:
            raise RuntimeError("the profile is made when the `with` ends; ask for it after that")
        return self._profile

    def __enter__(self) -> LayerTime:
        with ExitStack() as later, ExitStack() as stack:
            if self._progress:
                self._log.telling = stack.enter_context(self._progress).tell
            self._methods = stack.enter_context(timed(self._layers, self._log))
            self._methods += stack.enter_context(self._modules.logged()).methods
            self._methods += [
                stack.enter_context(timed_target(target, self._log, self._namespace, later)) for target in self._targets
            ]
            if self._first:
                self._first.watch(self._methods)
            self._log.__enter__()
            self._stack, self._later = stack.pop_all(), later.pop_all()
        _open.append(self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with undisturbed():  # who is in a hurry presses Ctrl-C twice
                _open.remove(self._log)
                if self._log.ranges:
                    self._log.ranges.on = False
                with self._later:  # what takes long has no part in the time of the cell
                    self._stack.close()
                    self._log.__exit__(kind, error, trace)
                self._profile = self._made(f"{type(error).__name__}: {error}".rstrip(": ") if error else "")
            if self._first:
                self._profile = self._with_graphs(self._profile, self._first)
        finally:
            if self._profile is not None:
                keep(self._profile)

    def _with_graphs(self, profile: Profile, first: FirstCalls) -> Profile:
        seen, clock = profile.seen, self._log.clock
        if len(seen.replays):
            return replace(profile, seen=replace(seen, graphs=Graphs(why="steps ran as captured graphs already")))
        graphs = graphs_of(profile.log, clock, self._methods, first, seen.kernels, profile.ended_by)
        return replace(profile, seen=replace(seen, graphs=graphs))

    def _made(self, ended_by: str) -> Profile:
        """The profile of what the log holds."""
        cut = np.array([call for each in self._lines for call in each.left_out], dtype=np.int64)
        calls, moved = self._log.calls.leaving_out(np.isin(self._log.calls["call"], cut))
        return Profile(
            log=calls,
            clock=self._log.clock.name,
            about=dict(machine() if self._about is None else self._about),
            ended_by=ended_by,
            seen=self._seen(kernels_of(self._log.taken, self._log.calls).moved(moved)),
            followed=tuple(_followed(each, calls, self._namespace or {}) for each in self._lines),
        )

    def _seen(self, kernels: Kernels) -> Seen:
        """What the other passes saw."""
        log, inspection = self._log, self._inspection
        work = {log.scopes[method.scope]: _work(method) for method in self._methods if method.sizes}
        hot = hot_lines(kernels, inspection.launches)
        return Seen(
            kernels=kernels,
            no_records=log.no_records or self._why_none,
            no_waits=inspection.why,
            waits=tuple(summary(inspection.waits)),
            inspected=_steps(log, Mode.INSPECT),
            memory=inspection.columns(),
            hot=hot,
            hot_steps=_steps(log, Mode.RECORDS | Mode.INSPECT),
            work=work,
            ceilings=self._ceilings(work) if len(kernels) else None,
            parameters=sum(_parameters(layer) for _, layer in self._layers),
            modules=tuple(path for path, layer in self._layers if is_module(layer)),
            untold=self._modules.untold(),
            replays=self._replays.replays,
            replaced=self._replaced(),
            schedule=tuple(self._plan or ()),
            all_kept=log.long_run.why,
        )

    def _replaced(self) -> tuple[str, ...]:
        """The paths where another layer stands now than at the beginning."""
        try:
            now = dict(find_layers(*self._models)) if self._models else {}
        except (TypeError, ValueError):  # no layers are left, or some that could not be profiled
            now = {}
        return tuple(path for path, layer in self._layers if now.get(path) is not layer)

    def _ceilings(self, work: dict[Scope, Work]) -> Any:
        """What this device does at best, for the types the layers compute in."""
        found = None
        for dtype in dict.fromkeys(each.dtype for each in work.values() if each.dtype):
            with suppress(Exception):  # a device without room, or that has failed: a profile without a roof
                found = ceilings(dtype) or found
        return found


def _followed(function: Function, calls: Calls, namespace: dict[str, Any]) -> Followed:
    """What is kept of a function whose lines were followed."""
    now, begun = namespace.get(function.name), calls.positions(np.array(sorted(function.begun), dtype=np.int64))
    return Followed(
        name=function.name,
        source=function.source,
        results=function.results,
        runs=Counter(calls["mode"][begun[begun >= 0]].tolist()),
        part_of=function.caller.name if function.caller else "",
        cut=function.cut,
        unit=function.unit,
        anew=isinstance(now, FunctionType) and code_of(now) is not function.code,
    )


def _work(method: TimedMethod) -> Work:
    """What one call of it has to do, by the first one's shapes."""
    sizes: Sizes = method.sizes  # type: ignore[assignment] # asked only of those that have it
    arrays = ArrayBytes(sizes.given, sizes.made, own_bytes(method.layer) if method.layer is not None else None)
    cost = layer_cost(method.layer, method.phase, sizes.shape, arrays)
    dtype = sizes.dtype or str(getattr(getattr(method.layer, "W", None), "dtype", ""))
    dtype = dtype.removeprefix("torch.")
    return Work(cost, dtype if dtype in _TYPES else "", sizes.elements)


def _parameters(layer: object) -> int:
    """How many arrays a layer learns: those with a gradient of the same shape beside them; a module's parameters."""
    if is_module(layer):
        return learned(layer)
    held = getattr(layer, "__dict__", {})
    pairs = [(array, held.get(f"d{name}")) for name, array in held.items()]
    return sum(getattr(array, "shape", None) == getattr(gradient, "shape", ()) for array, gradient in pairs)


def _packages(objects: Iterable[object]) -> frozenset[str]:
    """The top-level packages of the objects' classes: where one would mend what they do."""
    libraries = {"builtins", "cupy", "numpy", "torch"}
    return frozenset(type(each).__module__.partition(".")[0] for each in objects) - libraries


def _steps(log: CallLog, kind: Mode) -> int:
    """How many steps there were of the modes that have all of `kind`."""
    return sum(number for mode, number in log.begun.items() if mode & kind == kind)
