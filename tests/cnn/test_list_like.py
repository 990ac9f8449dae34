"""A model's list of layers beside a Python list, after any changes: the same layers, names that are right."""

from collections import Counter

import numpy as np
from hypothesis import given, settings

from cnn import ActivationLayer, Dense, Dropout, Flatten, LayerManager
from tests.cnn.strategies import REPEATABLE, st

KINDS = {
    "Dropout": Dropout,
    "Flatten": Flatten,
    "Activation": ActivationLayer,
    "Middle": lambda shape: Dense(*shape, 4),
}
places = st.integers(-7, 7)
ends = st.one_of(st.none(), places)
kinds = st.sampled_from(sorted(KINDS))
labels = st.one_of(st.none(), st.none(), st.sampled_from(["in", "Dropout1", "Middle2", "last"]))
changes = st.one_of(
    st.tuples(st.just("append"), kinds, labels),
    st.tuples(st.just("insert"), places, kinds, labels),
    st.tuples(st.just("extend"), st.lists(kinds, max_size=3)),
    st.tuples(st.just("set"), places, kinds),
    st.tuples(st.just("set slice"), ends, ends, st.lists(kinds, max_size=3)),
    st.tuples(st.sampled_from(["del", "pop", "remove", "remove name"]), places),
    st.tuples(st.just("del slice"), ends, ends, st.sampled_from([None, 1, 2, -1])),
    st.tuples(st.just("reverse")),
    st.tuples(st.just("clear")),
)


def made(kind, label=None):
    layer = KINDS[kind]((4,))
    layer.label = label
    return layer


def changed(target, change):
    """Do `change` to a model or a list, which take the same calls but for a layer's name."""
    verb, *given = change
    if verb in ("append", "insert"):
        *place, kind, label = given
        getattr(target, verb)(*place, made(kind, label))
    elif verb == "extend":
        target.extend([made(kind) for kind in given[0]])
    elif verb == "set":
        target[given[0]] = made(given[1])
    elif verb == "set slice":
        target[slice(*given[:2])] = [made(kind) for kind in given[2]]
    elif verb == "del slice":
        del target[slice(*given)]
    elif verb == "del":
        del target[given[0]]
    elif verb == "reverse":
        target[:] = target[::-1]
    elif verb == "clear":
        target.clear()
    elif verb == "pop":
        target.pop(given[0])
    else:
        each = target[given[0]]
        target.remove(each.name if verb == "remove name" and isinstance(target, LayerManager) else each)


def named(layers):
    """The names that they ought to have: labels, and running numbers that no label has taken."""
    taken, counts, names = {layer.label for layer in layers}, Counter(), []
    for layer in layers:
        if layer.label is not None:
            names.append(layer.label)
            continue
        counts[layer.role] += 1
        while f"{layer.role}{counts[layer.role]}" in taken:
            counts[layer.role] += 1
        names.append(f"{layer.role}{counts[layer.role]}")
    return names


@settings(REPEATABLE, max_examples=100)
@given(st.lists(changes, max_size=12))
def test_after_any_changes_it_holds_what_a_list_holds_under_the_right_names(steps):
    lm, plain = LayerManager((np.ones((2, 4)),) * 2, (np.eye(2),) * 2), []
    for change in steps:
        before = list(plain)
        try:
            changed(plain, change)
        except IndexError:
            plain[:] = before
        twice = [label for label, count in Counter(each.label for each in plain).items() if label and count > 1]
        if twice:
            plain[:] = before
        try:
            changed(lm, change)
        except IndexError:
            assert len(plain) == len(before)
        except ValueError:
            assert twice
        assert [(type(a), a.label) for a in lm] == [(type(a), a.label) for a in plain]
        assert [layer.name for layer in lm] == named(list(lm))
        assert all(lm[name] is lm[i] and lm.index(name) == i for i, name in enumerate(named(list(lm))))
