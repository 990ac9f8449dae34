"""`LayerList`: layers in order, each fitting the one before, each with a name of its own."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import numpy as np

from cnn.kinds import made
from cnn.layers import Layer
from cnn.xp import Shape, float_dtype

# The list that each layer was last put into: a layer is in one at a time, since the list names it.
_HOMES: WeakKeyDictionary[Layer, ReferenceType[LayerList]] = WeakKeyDictionary()


class LayerList:
    """A list of layers that also finds them by name and makes them from a code.

    Names are kept right after every change: the kind and a running number ("Conv1"), or the
    `label` a person gave. Each layer has to take what the one before it gives: one that is added and
    does not is refused, two that no longer fit after another change are warned of.

    Args:
        I_shape: the shape of one input of the first layer.
        mode, dtype: where parameters go, "cpu" or "gpu", and their type.
        rng: draws the first weights.
    """

    def __init__(self, I_shape: Shape, mode: str, dtype: Any, rng: np.random.Generator) -> None:
        self.layers: list[Layer] = []
        self.I_shape = tuple(I_shape)
        self.mode = mode
        self.dtype = float_dtype(dtype)
        self.rng = rng

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __reversed__(self) -> Iterator[Layer]:
        return reversed(self.layers)

    def __getitem__(self, key: int | slice | str) -> Any:
        return self.layers[self._place(key)]

    def __contains__(self, key: object) -> bool:
        return any(each is key or each.name == key for each in self.layers)

    def __setitem__(self, key: int | slice | str, value: Any) -> None:
        changed = list(self.layers)
        changed[self._place(key)] = value
        self._become(changed)

    def __delitem__(self, key: int | slice | str) -> None:
        changed = list(self.layers)
        del changed[self._place(key)]
        self._become(changed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}[{', '.join(layer.name for layer in self.layers)}]"

    def append(
        self, layer: Layer | None = None, *, name: str | None = None, label: str | None = None, **keywords: Any
    ) -> None:
        """Add a layer at the end: one that exists, or a new one of the kind `name` with `keywords`.

        Args:
            layer: an existing layer, of no other model; then nothing else is given.
            name: the kind: "c" or "conv", "p" or "pool", "avg" or "average", "m" or "middle" (the default),
                "o" or "output", "d" or "dropout", "b" or "norm", "f" or "flatten", "a" or "activation".
            label: a name instead of a running one.
            keywords: the layer's; `prev` and `I_shape` follow from the layer before unless given.

        Raises:
            TypeError: a keyword that the layer does not have, or one beside an existing layer.
            ValueError: an unknown kind, a label in use, a layer of another model, or a shape that does not
                fit the layer before.
        """
        self.insert(len(self), layer, name=name, label=label, **keywords)

    def insert(
        self,
        key: int | str,
        layer: Layer | None = None,
        *,
        name: str | None = None,
        label: str | None = None,
        **keywords: Any,
    ) -> None:
        """Put a layer before the one at `key` (a number or a name); the rest as in `append`."""
        place = self._place(key)
        before = self.layers[:place]
        if layer is None:
            comes, _ = self._shape_after(before)
            own = {"mode": self.mode, "dtype": self.dtype, "seed": self.rng}
            layer = made("m" if name is None else name, label, before, comes, own, keywords)
        else:
            given = {"name": name, "label": label}
            _check_alone(layer, [*keywords, *(key for key, value in given.items() if value is not None)])
        self.check_fit(before, layer)
        self._become([*before, layer, *self.layers[place:]])

    def extend(self, layers: Iterable[Layer]) -> None:
        """Add existing layers; of those of another model, copies: lm.extend(copy.deepcopy(other[1:3]))."""
        if not isinstance(layers, Iterable):
            raise TypeError(f"expected layers to add, such as copy.deepcopy(other[1:3]); got {layers!r}")
        changed = list(self.layers)
        for layer in list(layers):
            _check_alone(layer)
            self.check_fit(changed, layer)
            changed.append(layer)
        self._become(changed)

    def pop(self, key: int | str = -1) -> Layer:
        """Take out the layer at `key` (a number or a name), the last by default, and return it."""
        layer: Layer = self[key]
        del self[key]
        return layer

    def clear(self) -> None:
        """Take out all layers."""
        del self[:]

    def remove(self, layer: Layer | str) -> None:
        """Take out a layer, or the layer of that name."""
        del self[self.index(layer)]

    def index(self, layer: Layer | str) -> int:
        """The place of a layer, or of the layer of that name.

        Raises:
            KeyError: no such name; the text lists those there are.
            ValueError: no such layer.
        """
        for i, each in enumerate(self.layers):
            if each is layer or each.name == layer:
                return i
        names = ", ".join(each.name for each in self.layers) or "none: the model has no layers"
        if isinstance(layer, str):
            raise KeyError(f"no layer is called {layer!r}; there are {names}")
        raise ValueError(f"{layer!r} is not in this model; there are {names}")

    def check_fit(self, before: list[Layer], layer: Layer) -> None:
        """Raise ValueError unless `layer` takes what comes out of the layers `before` it."""
        sentence = self._misfit(before, layer)
        if sentence:
            raise ValueError(sentence)

    def misfits(self) -> list[str]:
        """A sentence for each layer that does not take what comes out of the one before it."""
        return list(self._misfits(self.layers).values())

    def _misfits(self, layers: list[Layer]) -> dict[tuple[int, int], str]:
        """The sentences, each under the two layers that it is about."""
        found = {}
        for i, layer in enumerate(layers):
            sentence = self._misfit(layers[:i], layer)
            if sentence:
                found[id(layers[i - 1]) if i else 0, id(layer)] = sentence
        return found

    def _misfit(self, before: list[Layer], layer: Layer) -> str:
        """What is wrong between a layer and those before it, and what to do; nothing if they fit."""
        comes, source = self._shape_after(before)
        if layer.I_shape == comes or (layer.flattens and layer.prev == math.prod(comes)):
            return ""
        what = f"{layer.name} expects inputs of shape {layer.I_shape}, but {source} gives {comes}"
        if layer.I_shape == (1, *comes):
            return f"{what}: give images an axis for their channel, as x[:, None] does"
        own = f"prev={math.prod(comes)}" if layer.flattens else f"I_shape={comes}"
        return f"{what}: give it {own}, leave that out, or change what comes before"

    def _shape_after(self, before: list[Layer]) -> tuple[Shape, str]:
        return (before[-1].O_shape, before[-1].name) if before else (self.I_shape, "the data")

    def _place(self, key: int | slice | str) -> Any:
        return self.index(key) if isinstance(key, str) else key

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what a copy or a pickle brings; its layers are this model's."""
        vars(self).update(state)
        for layer in self.layers:
            _HOMES[layer] = ref(self)

    def _become(self, layers: list[Any]) -> None:
        """Take over a changed list, unless something in it is wrong; then nothing changes.

        Layers that no longer fit each other are warned of: what goes between them may come next.
        """
        known = self._misfits(self.layers)
        for layer in layers:
            self._check_layer(layer)
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("the same layer is in the model twice; make another one, or copy.deepcopy it")
        names = _names(layers)
        for layer, name in zip(layers, names, strict=True):
            layer.name = name
            _HOMES[layer] = ref(self)
        self.layers[:] = layers
        for pair, sentence in self._misfits(layers).items():
            if pair not in known:
                warnings.warn(sentence, stacklevel=3)

    def _check_layer(self, layer: Any) -> None:
        _check_alone(layer)
        home = _HOMES.get(layer, lambda: None)()
        if home is not None and home is not self and any(each is layer for each in home.layers):
            raise ValueError(
                f"{layer.name} is in another model, which names it, too: take copy.deepcopy of the layer, or remove "
                "it there first"
            )
        if (layer.mode, layer.dtype) != (self.mode, self.dtype):
            raise ValueError(
                f"{layer.name} was made for mode={layer.mode!r}, dtype={str(layer.dtype)!r}; this model has "
                f"mode={self.mode!r}, dtype={str(self.dtype)!r}: make the layer with these"
            )


def _check_alone(layer: Any, given: list[str] | None = None) -> None:
    """Raise TypeError unless `layer` is one, with no keywords `given` beside it."""
    if isinstance(layer, str):
        raise TypeError(f"a new layer's kind goes by keyword: write name={layer!r} instead of {layer!r}")
    if not isinstance(layer, Layer):
        raise TypeError(f'expected a layer, such as Conv2d(...) or a code in name="c"; got {layer!r}')
    if given:
        raise TypeError(f"a layer that exists takes no keywords; got {given}")


def _names(layers: list[Layer]) -> list[str]:
    """A name for each: its label, or its kind with a running number that no label has taken."""
    labels = [layer.label for layer in layers if layer.label is not None]
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice or "" in labels:
        raise ValueError(f"the name {(twice or [''])[0]!r} is taken or empty; each layer needs one of its own")
    numbers: Counter[str] = Counter()
    names = []
    for layer in layers:
        name = layer.label
        while name is None:
            numbers[layer.role] += 1
            running = f"{layer.role}{numbers[layer.role]}"
            name = None if running in labels else running
        names.append(name)
    return names
