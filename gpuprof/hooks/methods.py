"""Any object with layers, or with a layer's methods: found by their names, wrapped on the instance."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from gpuprof.record.log import NO, RAISED, UNSAID, YES, CallLog

PHASES = ("forward", "backward", "update")
_TRAIN = ("train", "training")


class NoLayersError(ValueError):
    """Nothing that could be timed was found in what was given."""


def find_layers(*models: object) -> list[tuple[str, Any]]:
    """The layers of `models` with their paths, each layer once, in their order.

    A layer is an object with a `forward`, `backward` or `update` method. A model is an object with `layers`, or a
    list, tuple or dict of layers; a layer may have `layers` of its own, whose paths begin with its own. A layer's
    name is its `name`, else its key, else its class and position. With several models, a path that two layers
    would share gets the model's position before it.
    """
    found: list[tuple[str, Any]] = []
    for number, model in enumerate(models):
        _refuse_torch(model)
        layers = list(_walk(model, "", set()))
        if not layers:
            raise NoLayersError(_nothing_in(model))
        taken = {path for path, _ in found}
        clash = any(path in taken for path, _ in layers)
        known = {id(layer) for _, layer in found}
        found += [(f"{number}/{path}" if clash else path, layer) for path, layer in layers if id(layer) not in known]
    return found


@contextmanager
def timed(layers: Iterable[tuple[str, Any]], log: CallLog) -> Iterator[None]:
    """Log each call of the layers' phases; on leaving, every instance has the attributes it had before."""
    with ExitStack() as stack:
        for path, layer in layers:
            for phase in PHASES:
                if callable(getattr(layer, phase, None)):
                    stack.enter_context(_wrapped(layer, phase, log.scope(path, phase), log))
        yield


@contextmanager
def _wrapped(layer: Any, phase: str, scope: int, log: CallLog) -> Iterator[None]:
    attributes = _attributes(layer)
    before = attributes.get(phase, attributes)  # the dict itself stands for: there was none
    wrapper = _timed_call(getattr(layer, phase), scope, log, takes_train=phase == "forward")
    attributes[phase] = wrapper
    try:
        yield
    finally:
        if attributes.get(phase) is not wrapper:
            pass  # somebody put something over it; taking that off is theirs
        elif before is attributes:
            del attributes[phase]
        else:
            attributes[phase] = before


def _timed_call(method: Callable[..., Any], scope: int, log: CallLog, takes_train: bool) -> Callable[..., Any]:
    enter, leave = log.enter, log.leave
    train_of = _train_reader(method) if takes_train else None

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        train = train_of(args, kwargs) if train_of else UNSAID
        number = enter(scope, train, getattr(args[0], "shape", None) if args else None)
        try:
            result = method(*args, **kwargs)
        except BaseException:
            leave(number, RAISED)
            raise
        leave(number)
        return result

    return call


def _train_reader(method: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], int] | None:
    """What reads `train=` from a call's arguments; None where the method takes no such argument."""
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return None
    named = [(position, name) for position, name in enumerate(parameters) if name in _TRAIN]
    if not named:
        return None
    position, name = named[0]
    default = parameters[name].default

    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        value = kwargs[name] if name in kwargs else args[position] if len(args) > position else default
        return YES if value is True else NO if value is False else UNSAID

    return read


def _walk(model: Any, prefix: str, above: set[int]) -> Iterator[tuple[str, Any]]:
    """Depth first; `above` holds what is being walked, so that a cycle ends."""
    above = above | {id(model)}
    seen: set[int] = set()
    named: dict[str, int] = {}
    for key, layer in _members(model):
        if id(layer) in seen | above:
            continue
        seen.add(id(layer))
        name = _name(layer, key)
        named[name] = named.get(name, 0) + 1
        path = prefix + (name if named[name] == 1 else f"{name}#{named[name]}")
        if _is_layer(layer):
            yield path, layer
        yield from _walk(layer, f"{path}/", above)
    if not prefix and not seen and _is_layer(model):
        yield _name(model, type(model).__name__), model


def _members(model: Any) -> list[tuple[str, Any]]:
    """A model's layers with their keys: those of its `layers`, or its own items."""
    layers = model if isinstance(model, (list, tuple, dict)) else getattr(model, "layers", None)
    if isinstance(layers, dict):
        return [(str(key), layer) for key, layer in layers.items()]
    if layers is None or isinstance(layers, str) or not isinstance(layers, Iterable):
        return []
    return [(f"{type(layer).__name__}{i}", layer) for i, layer in enumerate(layers)]


def _is_layer(candidate: Any) -> bool:
    return not isinstance(candidate, type) and any(callable(getattr(candidate, phase, None)) for phase in PHASES)


def _name(layer: Any, key: str) -> str:
    name = getattr(layer, "name", None)
    return name if isinstance(name, str) and name else key


def _attributes(layer: Any) -> dict[str, Any]:
    try:
        attributes: dict[str, Any] = vars(layer)
        return attributes
    except TypeError:
        raise TypeError(
            f"{type(layer).__name__} objects have no __dict__ (it defines __slots__), so a method of one instance "
            "cannot be wrapped; give the class a __dict__ slot"
        ) from None


def _refuse_torch(model: object) -> None:
    if any(base.__module__.partition(".")[0] == "torch" for base in type(model).__mro__):
        raise NotImplementedError(
            f"{type(model).__name__} is a PyTorch module: its backward runs inside autograd, which this version does "
            "not hook; %gpu_timeit times PyTorch expressions"
        )


def _nothing_in(model: object) -> str:
    wanted = "expected an object with `layers`, a list or dict of layers, or an object with forward, backward or update"
    if _members(model):
        return f"{type(model).__name__} has layers, but none of them has a forward, backward or update method; {wanted}"
    if hasattr(model, "layers") or isinstance(model, (list, tuple, dict)):
        return f"this {type(model).__name__} has no layers yet; append some, then profile it"
    return f"{wanted}; got {type(model).__name__}: {str(model)[:60]}"
