"""Any object with layers, or with a layer's methods: found by their names, wrapped on the instance."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple, Self, TypeVar

from gpuprof.hooks.modules import is_module, modules_in, of_torch
from gpuprof.hooks.source import is_lazy
from gpuprof.record.calls import in_a_line
from gpuprof.record.log import CallLog
from gpuprof.record.taped import Says, TapedCall, Train, Way, shape_in

PHASES = ("forward", "backward", "update")
OUTSIDE_PATH = "(outside)"
"""A path no layer gets: the table's row for what lies outside the layers."""
_TRAIN = ("train", "training")


class NoLayersError(ValueError):
    """Nothing that could be timed was found in what was given."""


def find_layers(*models: object) -> list[tuple[str, Any]]:
    """The layers of `models` with their paths, each layer once, in their order.

    A layer is an object with a `forward`, `backward` or `update` method. A model is an object with `layers`, or a
    list, tuple or dict of layers; a layer may have `layers` of its own, whose paths begin with its own. A layer's
    name is its `name`, else its key, else its class and position; a path that is taken gets a number. The modules in
    a PyTorch module have the paths of its `named_modules()`, after its own name where there are several such models.

    Raises NoLayersError, a ValueError, where there are none; TypeError for a layer that cannot be wrapped.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    alone = len({id(model) for model in models if is_module(model)}) == 1
    for model in models:
        if not any(True for _ in _parts(model, set(), found, alone)):
            raise NoLayersError(_nothing_in(model))
        for path, layer in _parts(model, seen, found, alone):
            _refuse_unwrappable(path, layer)
            found[free_path(path, found)] = layer
    return list(found.items())


@contextmanager
def timed(layers: Iterable[tuple[str, Any]], log: CallLog) -> Iterator[list[TimedMethod]]:
    """Log each call of the layers' phases; on leaving, every instance has the attributes it had before.

    PyTorch's modules are left to `gpuprof.hooks.torchmodules`.
    """
    with ExitStack() as stack:
        yield [
            stack.enter_context(wrapped(layer, phase, log.scope(path, phase), log))
            for path, layer in layers
            for phase in phases_of(layer)
            if not is_module(layer)
        ]


@contextmanager
def wrapped(layer: Any, phase: str, scope: int, log: CallLog) -> Iterator[TimedMethod]:
    """Log each call of one method of one object."""
    with put(TimedMethod(layer, phase, scope, log)) as wrapper:
        yield wrapper


@contextmanager
def put(wrapper: Timed) -> Iterator[Timed]:
    """Have it stand on its object in place of its method."""
    attributes, phase = vars(wrapper.layer), wrapper.phase
    attributes[phase] = wrapper
    try:
        yield wrapper
    finally:
        wrapper.end()
        own = own_of(wrapper)
        if attributes.get(phase) is not wrapper:
            pass  # somebody put something over it; taking that off is theirs
        elif own is None:
            del attributes[phase]
        else:
            attributes[phase] = own


def own_of(wrapper: TimedMethod) -> Any:
    """What stood in its place before, or beneath that where profiles overlapped and that one's has ended; or None."""
    own = wrapper.own
    while isinstance(own, TimedMethod) and own.ended:
        own = own.own
    return own


class Sizes(NamedTuple):
    """What the first call of a method was given and gave; None for what is no array."""

    shape: tuple[int, ...] | None
    dtype: str
    """Of the argument; "" without any."""
    given: int | None
    """Bytes of the argument."""
    made: int | None
    """Bytes of the value."""
    elements: int
    """Of the value; 0 where it is no array."""


class TimedMethod(TapedCall):
    """A layer's method that logs its calls: put on the instance, over the method of its class.

    A deep copy or a pickle of the layer gets the method itself: a copy is not what is being profiled. What else is
    asked of it (`__self__`, a function's own attributes) is the method's.
    """

    ended = False
    """Whether it is only a way to the method, for those who kept it beyond its profile."""

    layer: Any
    """Whose method it is; None for a plain function."""
    phase: str
    own: Any
    """What the instance itself had before, if anything."""
    sizes: Sizes | None
    """Of the first call's argument and value; None before it has returned."""

    @property
    def graphs(self) -> Any:
        """Who is told of a model's steps that run as captured graphs, its layers not being called; None for nobody."""
        return None if self.ended else self.log.graphs

    def __new__(
        cls,
        layer: Any,
        phase: str,
        scope: int,
        log: CallLog,
        function: Callable[..., Any] | None = None,
        train: Says | None = None,
        around: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    ) -> Self:
        """In place of a layer's method, or of a function, whose calls belong to `scope` of `log`.

        `train` says whether a call trains, by default an argument of that name; for `around` see `TapedCall`.
        """
        method = function or getattr(layer, phase)
        says = train or (_train_of(method) if phase == "forward" else None)
        self = super().__new__(cls, method, scope, log, says, _ranged(log, scope, around))
        own = function or vars(layer).get(phase)
        vars(self).update(layer=layer, phase=phase, own=own, sizes=None)
        functools.update_wrapper(self, method, updated=())
        vars(self)["_given"] = frozenset(vars(self))
        return self

    def __getattr__(self, name: str) -> Any:
        """What the method has, and this has not."""
        if name == "method":  # not made yet
            raise AttributeError(name)
        return getattr(self.method, name)

    def end(self) -> None:
        """Log no more, and hand a function what was set on it meanwhile."""
        self.log.taped.remove(self)
        self.set_way(Way())
        self.ended = True
        if self.layer is None:
            for name in vars(self).keys() - self._given - {"_given", "ended"}:
                setattr(own_of(self), name, vars(self)[name])

    def specially(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call through the log, if it has not ended; the method's value."""
        return self.method(*args, **kwargs) if self.ended else super().specially(args, kwargs)

    def first(self, args: tuple[Any, ...], result: object) -> None:
        """Note what its first call was given and gave; no array is kept: only numbers."""
        given = args[0] if args else None
        kind = str(getattr(given, "dtype", ""))
        self.sizes = Sizes(_whole(shape_in(args)), kind, _bytes(given), _bytes(result), _elements(result))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """What the instance had of its own; else the method of the layer's copy, where that is being copied."""
        if self.own is not None:
            return copy.deepcopy(self.own, memo)
        if id(self.layer) not in memo:
            return self.method  # somebody else's reference to it
        return getattr(memo[id(self.layer)], self.phase)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """As `__deepcopy__`, for pickle; a function goes by its name, as ever."""
        if self.layer is None and hasattr(self, "__qualname__"):  # a partial has none
            return str(self.__qualname__)
        if self.own is not None:
            return operator.getitem, ((self.own,), 0)
        return getattr, (self.layer, self.phase)


def _ranged(
    log: CallLog, scope: int, around: Callable[[Callable[..., Any]], Callable[..., Any]] | None
) -> Callable[[Callable[..., Any]], Callable[..., Any]] | None:
    """`around`, with a range of NVTX inside it where these are wanted."""
    if log.ranges is None:
        return around
    ranged = functools.partial(log.ranges.around, "/".join(log.scopes[scope]))
    return ranged if around is None else lambda taped: around(ranged(taped))


Timed = TypeVar("Timed", bound=TimedMethod)


def phases_of(layer: Any) -> list[str]:
    """The phases that are methods of a layer; of a PyTorch module it is the forward alone that is called."""
    return [phase for phase in (PHASES[:1] if is_module(layer) else PHASES) if callable(getattr(layer, phase, None))]


def _bytes(value: object) -> int | None:
    size = getattr(value, "nbytes", None)
    return size if isinstance(size, int) else None


def _elements(value: object) -> int:
    size: Any = getattr(value, "size", 0)
    try:
        return int(value.numel()) if callable(size) else int(size)  # type: ignore[attr-defined] # PyTorch's
    except Exception:  # an odd object's own trouble
        return 0


def _whole(shape: object) -> tuple[int, ...] | None:
    """A shape, where it is a tuple of whole numbers."""
    try:
        return tuple(map(operator.index, shape)) if isinstance(shape, tuple) else None
    except Exception:  # an odd object's own trouble
        return None


def _train_of(method: Callable[..., Any]) -> Train | None:
    """Where a call says `train=`; None for a method that takes no such argument."""
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return None
    found = (Train(name, at, each.default) for at, (name, each) in enumerate(parameters.items()) if name in _TRAIN)
    return next(found, None)


def _parts(model: Any, seen: set[int], taken: Container[str], alone: bool) -> Iterator[tuple[str, Any]]:
    """The layers in something that was given; a PyTorch module that is the only one does not name those inside."""
    if is_module(model):
        path = free_path(_name(model, type(model).__name__), taken)
        yield from modules_in(model, path, "" if alone else f"{path}.", seen)
    elif not of_torch(model):
        yield from _walk(model, "", seen, frozenset())


def _walk(model: Any, prefix: str, seen: set[int], above: frozenset[int]) -> Iterator[tuple[str, Any]]:
    """Depth first, each layer once; `above` holds what is being walked, so that a cycle ends."""
    members = _members(model)
    for key, layer in members:
        path = prefix + _name(layer, key)
        if is_module(layer):
            yield from modules_in(layer, path, f"{path}.", seen)
            continue
        if phases_of(layer) and id(layer) not in seen and not isinstance(layer, type):
            seen.add(id(layer))
            yield path, layer
        if id(layer) not in above:
            yield from _walk(layer, f"{path}/", seen, above | {id(model)})
    whole = getattr(model, "layers", None) is None  # a model without layers yet is no layer
    if not prefix and not members and whole and phases_of(model) and not isinstance(model, type):
        seen.add(id(model))
        yield _name(model, type(model).__name__), model


def free_path(path: str, taken: Container[str]) -> str:
    """`path`, or with the first number that is free: "A", "A#2", "A#3"."""
    candidates = itertools.chain([path], (f"{path}#{number}" for number in itertools.count(2)))
    return next(name for name in candidates if name not in taken and name != OUTSIDE_PATH)


def _members(model: Any) -> list[tuple[str, Any]]:
    """A model's layers with their keys: those of its `layers`, or its own items."""
    layers = model if isinstance(model, (list, tuple, dict)) else getattr(model, "layers", None)
    if isinstance(layers, dict):
        return [(str(key), layer) for key, layer in layers.items()]
    if layers is None or isinstance(layers, (str, Iterator)) or not isinstance(layers, Iterable):
        return []
    return [(f"{type(layer).__name__}{i}", layer) for i, layer in enumerate(layers)]


def _name(layer: Any, key: str) -> str:
    name = None
    with suppress(Exception):  # an odd object's own trouble
        name = layer.name
    return in_a_line(name if isinstance(name, str) and name else key) or type(layer).__name__


def _refuse_unwrappable(path: str, layer: Any) -> None:
    """TypeError for what could not be timed, or only wrongly."""
    kind = type(layer).__name__
    for phase in phases_of(layer):
        found = inspect.getattr_static(type(layer), phase, None)
        if inspect.isdatadescriptor(found):  # what an instance has of that name is never looked at
            what = "property" if isinstance(found, property) else f"descriptor ({type(found).__name__})"
            raise TypeError(f"{path}: {phase} is a {what} of {kind} and cannot be wrapped; make it a method")
        refuse_lazy(path, layer, phase)


def refuse_lazy(path: str, layer: Any, phase: str) -> None:
    """TypeError for a method that returns before its work is begun, or of an object that takes no attribute."""
    if is_lazy(getattr(layer, phase)):
        raise TypeError(
            f"{path}: {phase} of {type(layer).__name__} is a coroutine or a generator: a call returns before its work "
            "is begun; profile the methods that do the work"
        )
    if not isinstance(getattr(layer, "__dict__", None), dict):
        raise TypeError(
            f"{path}: a {type(layer).__name__} has no __dict__ (its class defines __slots__), so a method of one "
            "instance cannot be wrapped; give the class a __dict__ slot"
        )


def _nothing_in(model: object) -> str:
    wanted = "expected an object with `layers`, a list or dict of layers, or an object with forward, backward or update"
    if of_torch(model) and not is_module(model):
        return f"a PyTorch {type(model).__name__} has no layers: give the module; its optimizer is found by itself"
    if _members(model):
        return f"{type(model).__name__} has layers, but none of them has a forward, backward or update method; {wanted}"
    if hasattr(model, "layers") or isinstance(model, (list, tuple, dict)):
        return f"this {type(model).__name__} has no layers yet; append some, then profile it"
    return f"{wanted}; got {type(model).__name__}: {str(model)[:60]}"
