"""PyTorch's modules under measurement: their forwards on the instance, backwards by autograd's nodes, updates by hooks.

`forward` is replaced in the instance's `__dict__`, where `nn.Module.__call__` finds it. Of each call it is noted which
numbers the nodes have that are made inside: see `makers` and `backwards`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any, Self

from gpuprof.hooks.backwards import ENGINE, Backwards
from gpuprof.hooks.boundary import Boundaries
from gpuprof.hooks.methods import TimedMethod, own_of, put
from gpuprof.hooks.modules import attribute_of, device_of, devices_of, is_module, whole
from gpuprof.hooks.optimizers import Updates
from gpuprof.hooks.standin import StandIn
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED, RETURNED, UNSAID
from gpuprof.record.taped import shape_in

_STOPPED = "_StopRecomputationError"
"""What ends a checkpoint's second forward when all that is needed has been computed again."""


class TimedForward(TimedMethod):
    """A module's forward that logs its calls, and whose nodes in autograd's graph are known for its backward.

    A call while autograd runs is of phase "recompute": checkpoints, and functions whose backward calls modules. Code
    that torch.compile compiles or TorchScript traces has the forward itself.
    """

    again: int
    """The scope of such calls."""

    def __new__(cls, module: Any, path: str, calls: Backwards, placed: Any = None) -> Self:
        """In place of what is called when `module` is; its rows are those of `path`.

        `placed`: where the clock is told on which GPU each thread's marks are to be taken, if there are several.
        """
        torch: Any = sys.modules["torch"]
        log, attribute, its = calls.log, attribute_of(module), list[TimedForward]()
        method, backward = getattr(module, attribute), log.scope(path, "backward")
        number, compiling = torch.autograd._get_sequence_nr, torch.compiler.is_dynamo_compiling
        tracing = torch._C._get_tracing_state
        run, of_thread, mine, thread = torch._C._current_graph_task_id, calls.here, calls.here(), get_ident()

        def around(taped: Callable[..., Any]) -> Callable[..., Any]:
            def forward(*args: Any, **kwargs: Any) -> Any:
                if compiling():
                    return method(*args, **kwargs)
                makers = mine if get_ident() == thread else of_thread()
                since, whose, above = makers.since, makers.whose, makers.open
                if above is None:
                    if tracing() is not None:  # TorchScript would note the names of our variables
                        return method(*args, **kwargs)
                    makers.outermost(backward, module.training)
                maker = makers.open = (backward, above)
                since.append(number())
                whose.append(maker)
                try:
                    return taped(*args, **kwargs) if run() < 0 else its[0].recompute(args, kwargs)
                finally:
                    makers.open = above
                    since.append(number())
                    whose.append(above)

            return forward if placed is None else _placing(forward, placed, device_of(module), method)

        self = super().__new__(cls, module, attribute, log.scope(path, "forward"), log, None, _Said(calls), around)
        vars(self)["again"] = log.scope(path, "recompute")
        its.append(self)
        return self

    def recompute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call while autograd runs; the forward's value."""
        log = self.log
        if self.ended or log.leading < 0:  # the first call of all does not begin the steps
            return self.method(*args, **kwargs)
        call = log.enter(self.again, UNSAID, shape_in(args))
        try:
            result = self.method(*args, **kwargs)
        except BaseException as error:
            log.leave(call, RETURNED if type(error).__name__ == _STOPPED else RAISED)
            raise
        log.leave(call)
        return result


def _placing(
    forward: Callable[..., Any], placed: Any, own: int | None, method: Callable[..., Any]
) -> Callable[..., Any]:
    """`forward` with its marks on the module's own GPU, or without one on that of what it is given."""
    compiling = sys.modules["torch"].compiler.is_dynamo_compiling

    def there(*args: Any, **kwargs: Any) -> Any:
        if compiling():
            return method(*args, **kwargs)
        before = placed.device
        given = args[0] if own is None and args and getattr(args[0], "is_cuda", False) is True else None
        placed.device = own if own is not None else before if given is None else given.device.index
        try:
            return forward(*args, **kwargs)
        finally:
            placed.device = before

    return there


def _replicating(own: Callable[..., Any], followers: list[Backwards]) -> Callable[..., Any]:
    """In place of how DataParallel copies a module: a copy has the forward of its class, not that of the original."""

    def replicate(module: Any) -> Any:
        replica = own(module)
        held = vars(replica).get("forward")
        if isinstance(held, TimedForward):
            if (before := own_of(held)) is None:
                del vars(replica)["forward"]
            else:
                vars(replica)["forward"] = before
        for calls in followers:
            calls.give_up("nn.DataParallel calls copies of them on threads of its own")
        return replica

    return replicate


_REPLICATE: StandIn[Backwards] = StandIn("_replicate_for_data_parallel", _replicating)


class _Said:
    """Whether a call trains: as the outermost module around it has been set, by `train()` or `eval()`."""

    def __init__(self, calls: Backwards) -> None:
        self._mine, self._thread, self._of_thread = calls.here(), get_ident(), calls.here

    def said(self, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> int:
        """YES or NO."""
        return (self._mine if get_ident() == self._thread else self._of_thread()).said


class ModuleCalls:
    """The modules among some layers while their calls are logged."""

    def __init__(self, layers: Iterable[tuple[str, Any]], log: CallLog) -> None:
        self.methods: list[TimedMethod] = []
        layers = list(layers)
        self._modules = [(path, layer) for path, layer in layers if is_module(layer)]
        self._taken = [path for path, _ in layers]
        self._log = log
        self._backwards: Backwards | None = None

    @contextmanager
    def logged(self) -> Iterator[ModuleCalls]:
        """Log each call inside; on leaving, every module, PyTorch itself and all graphs are as they were."""
        if not self._modules:
            yield self
            return
        torch: Any = sys.modules["torch"]
        modules = [module for _, module in self._modules]
        devices = devices_of(modules)
        with ExitStack() as stack:
            boundaries = Boundaries(self._log)
            stack.callback(boundaries.end)
            calls = self._backwards = Backwards(self._log, boundaries, len(devices))
            stack.callback(calls.end)
            stack.enter_context(ENGINE.followed_by(calls, torch.autograd))
            stack.enter_context(_REPLICATE.followed_by(calls, torch.nn.Module))
            stack.enter_context(Updates(modules, self._log, boundaries.cross, self._taken).followed())
            placed = getattr(self._log.clock, "placed", None) if len(devices) > 1 else None
            for path, module in self._modules:
                self.methods.append(stack.enter_context(put(TimedForward(module, path, calls, placed))))
            yield self

    def untold(self) -> tuple[str, ...]:
        """What cannot be told apart, or was not followed, and why."""
        wholes = [(path, why) for path, module in self._modules if (why := whole(module))]
        found = [f"the modules inside of {path} (made one by {why})" for path, why in wholes]
        if self._backwards and self._backwards.why:
            found.append(f"backward of modules ({self._backwards.why})")
        return tuple(found)
