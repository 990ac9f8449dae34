"""A profile being taken: hooks on, the log open, passes in turns; afterwards a `Profile`."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from types import CodeType, TracebackType
from typing import Any

from gpuprof.arrays import own_bytes
from gpuprof.ceilings import ceilings
from gpuprof.device import machine
from gpuprof.hooks.assigned import assigned, result_in
from gpuprof.hooks.functions import name_of, split, timed_target
from gpuprof.hooks.helpers import with_helpers
from gpuprof.hooks.lines import LineHook, code_of, resolve
from gpuprof.hooks.methods import PHASES, Sizes, TimedMethod, find_layers, timed
from gpuprof.hooks.source import Source
from gpuprof.judge.hot import hot_lines
from gpuprof.judge.layercost import ArrayBytes, layer_cost
from gpuprof.latest import keep
from gpuprof.record.calls import LINE, Scope
from gpuprof.record.clocks import Clock, clock_for
from gpuprof.record.inspect import Inspection, Inspector
from gpuprof.record.launches import kernels_of
from gpuprof.record.log import CallLog
from gpuprof.record.schedule import KERNELS, Block, Mode, Schedule
from gpuprof.record.tape import RAISED, RETURNED
from gpuprof.record.waits import summary
from gpuprof.results.lines import LineProfile
from gpuprof.results.linetimes import Followed
from gpuprof.results.profile import Profile
from gpuprof.results.seen import Seen, Work

_TYPES = {"float16": "float16", "bfloat16": "bfloat16", "float32": "float32", "float64": "float64"}

_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

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
    ) -> None:
        others, self._targets = split(models)
        self._layers = find_layers(*others) if others or not self._targets else []
        owners = [target.owner for target in self._targets if target.owner is not None]
        objects = [*(layer for _, layer in self._layers), *owners, *others]
        clock = clock or clock_for(objects, names, guess=True)
        self._namespace = namespace
        wanted = [self._resolved(each) for each in lines]
        self._inspection = Inspection(_packages(objects), hot)
        schedule = Schedule(device=clock.on_device, kernels=kernels, lines=bool(wanted), hot=hot, blocks=blocks)
        watchers: dict[Mode, Callable[[], Any]] = {Mode.LINES: self._line_hook}
        if hasattr(clock, "library"):  # a fake device has no CUPTI and no pools
            watchers[Mode.INSPECT] = lambda: Inspector(self._inspection, len(self._log.taken))
        self._log = CallLog(clock, schedule, watchers)
        self._lines = self._to_follow(wanted)
        self._stack = ExitStack()
        self._methods: list[TimedMethod] = []
        self._profile: Profile | None = None

    def switch(self, mode: Mode) -> None:
        """Measure the next steps so, and all after them; waits for the device. Between calls of the layers alone."""
        self._log.switch(mode)

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
        with ExitStack() as stack:
            self._methods = stack.enter_context(timed(self._layers, self._log))
            self._methods += [
                stack.enter_context(timed_target(target, self._log, self._namespace)) for target in self._targets
            ]
            self._log.__enter__()
            self._stack = stack.pop_all()
        _open.append(self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.remove(self._log)
        self._stack.close()
        self._log.__exit__(kind, error, trace)
        self._profile = Profile(
            log=self._log.calls,
            clock=self._log.clock.name,
            about=machine(),
            ended_by=f"{type(error).__name__}: {error}".rstrip(": ") if error else "",
            seen=self._seen(),
            followed=tuple(
                Followed(each.name, each.source, each.results, dict(each.runs), each.part_of)
                for each in self._lines.values()
            ),
        )
        keep(self._profile)

    def _seen(self) -> Seen:
        """What the other passes saw."""
        log, inspection = self._log, self._inspection
        kernels = kernels_of(log.taken, log.calls)
        work = {log.scopes[method.scope]: _work(method) for method in self._methods if method.sizes}
        hot = hot_lines(kernels, inspection.launches)
        return Seen(
            kernels=kernels,
            no_records=log.no_records,
            no_waits=inspection.why,
            waits=tuple(summary(inspection.waits)),
            inspected=_steps(log, Mode.INSPECT),
            memory=inspection.columns(),
            hot=hot,
            hot_steps=_steps(log, Mode.RECORDS | Mode.INSPECT),
            work=work,
            ceilings=self._ceilings(work) if len(kernels) else None,
            parameters=sum(_parameters(layer) for _, layer in self._layers),
        )

    def _ceilings(self, work: dict[Scope, Work]) -> Any:
        """What this device does at best, for the types the layers compute in."""
        found = None
        for dtype in dict.fromkeys(each.dtype for each in work.values() if each.dtype):
            with suppress(Exception):  # a device without room, or that has failed: a profile without a roof
                found = ceilings(dtype) or found
        return found

    def _resolved(
        self, wanted: str | Callable[..., Any] | tuple[str, Callable[..., Any]]
    ) -> tuple[str, Callable[..., Any]]:
        if isinstance(wanted, tuple):
            return wanted
        if callable(wanted):
            owner, name = getattr(wanted, "__self__", None), getattr(wanted, "__name__", "")
            path = next((path for path, layer in self._layers if layer is owner), "")
            return f"{path}.{name}" if path else getattr(wanted, "__qualname__", repr(wanted)), wanted
        layers = [*self._layers, *((t.path, t.owner) for t in self._targets if t.owner is not None)]
        functions = {target.path: target.function for target in self._targets if target.owner is None}
        name, function = resolve(wanted, layers, {**functions, **(self._namespace or {})})
        return name, function

    def _to_follow(self, wanted: Iterable[tuple[str, Callable[..., Any]]]) -> dict[CodeType, _Followed]:
        """The functions wanted and their helpers, by their code: a layer's only while that layer's method runs."""
        found: dict[CodeType, _Followed] = {}
        for name, function in wanted:
            owner = getattr(function, "__self__", None)
            paths = [path for path, layer in self._layers if layer is owner]
            method = getattr(function, "__name__", "")
            phases = (method,) if method in PHASES else PHASES
            within = frozenset(self._log.scope(path, phase) for path in paths for phase in phases) or None
            for called, helper in with_helpers(name, function):
                part_of = name if called != name else ""
                found.setdefault(code_of(helper), _Followed(called, helper, within, part_of))
        return found

    def _line_hook(self) -> _Lines:
        return _Lines(self._log, self._lines)


def line_time(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], repeat: int, clock: Clock | None = None
) -> LineProfile:
    """`gpuprof.linetime`."""
    if repeat < 1:
        raise ValueError(f"repeat must be 1 or more; got {repeat}")
    if code_of(function).co_flags & _LAZY:
        raise TypeError(
            f"{getattr(function, '__qualname__', function)!s} is a coroutine or a generator: a call returns before its "
            "work is begun; give the function that does the work"
        )
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__qualname__", repr(function))
    if owner is not None:
        name = f"{name_of(owner)}.{getattr(function, '__name__', '')}"
    given = _Given(lambda: function(*args, **kwargs))
    clock = clock or clock_for([*args, *kwargs.values(), *([] if owner is None else [owner])], guess=True)
    kinds = [KERNELS | Mode.LINES, Mode.EVENTS | Mode.LINES, Mode.EVENTS | Mode.LINES | Mode.INSPECT]
    given.forward()
    with LayerTime((given,), clock, lines=[(name, function)], blocks=()) as run:
        for kind in kinds if clock.on_device else kinds[1:2]:
            run.switch(kind)
            for _ in range(repeat):
                given.forward()
    lines = run.profile.lines[name]
    keep(lines)
    return lines


class _Given:
    """A call that is to be made again and again, as a layer."""

    name = "(the call)"

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def forward(self) -> Any:
        """Make it."""
        return self._call()


class _Lines:
    """Follows the statements of some functions through a block of steps, and what they assign."""

    def __init__(self, log: CallLog, lines: dict[CodeType, _Followed]) -> None:
        self._log = log
        self._lines = lines
        self._hook = LineHook(list(lines), self._begin, self._end, self._starts)
        self._hook.__enter__()

    def stop(self) -> None:
        """Follow no more."""
        self._hook.__exit__(None, None, None)

    def finish(self) -> None:
        """There is nothing on the device to come off."""

    def _starts(self, code: CodeType, resumed: bool) -> bool:
        """Whether to follow a run of the function: not where the same code is at work for another layer."""
        followed = self._lines[code]
        if followed.within is not None and not self._log.inside(followed.within):
            return False
        followed.runs[int(self._log.mode)] += not resumed
        return True

    def _begin(self, code: CodeType, line: int) -> tuple[int, CodeType, int]:
        return self._log.enter(self._log.scope(f"{self._lines[code].name}:{line}", LINE)), code, line

    def _end(self, token: tuple[int, CodeType, int], raised: bool) -> None:
        call, code, line = token
        self._log.leave(call, RAISED if raised else RETURNED)
        followed = self._lines[code]
        if line in followed.targets and line not in followed.results and not raised:
            followed.results[line] = result_in(code, followed.targets[line])


class _Followed:
    """A function whose statements are followed, within calls of some scopes alone or (None) wherever it runs."""

    def __init__(
        self, name: str, function: Callable[..., Any], within: frozenset[int] | None, part_of: str = ""
    ) -> None:
        self.name, self.within, self.part_of = name, within, part_of
        self.source = Source.of(function)
        self.targets = assigned(code_of(function))
        self.results: dict[int, str] = {}
        self.runs: Counter[int] = Counter()


def _work(method: TimedMethod) -> Work:
    """What one call of it has to do, by the first one's shapes."""
    sizes: Sizes = method.sizes  # type: ignore[assignment] # asked only of those that have it
    arrays = ArrayBytes(sizes.given, sizes.made, own_bytes(method.layer) if method.layer is not None else None)
    cost = layer_cost(method.layer, method.phase, sizes.shape, arrays)
    dtype = sizes.dtype or str(getattr(getattr(method.layer, "W", None), "dtype", ""))
    return Work(cost, _TYPES.get(dtype.removeprefix("torch."), ""), sizes.elements)


def _parameters(layer: object) -> int:
    """How many arrays a layer learns: those with a gradient of the same shape beside them."""
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
