"""Copies of layers that share nothing with them, and layers that are not copied because a copy would."""

from __future__ import annotations

import functools
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from gpuprof.passes.apart import NotCopyableError, copied, device_bytes, held, reachable


class Layer:
    """Whatever it is given."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def copy_of(**attributes: Any) -> Any:
    made, refused = copied({"A": Layer(**attributes)})
    assert refused == {}
    return made["A"]


def why(**attributes: Any) -> str:
    made, refused = copied({"A": Layer(**attributes)})
    assert made == {}
    return refused["A"]


def test_a_copys_arrays_are_its_own() -> None:
    layer = Layer(W=np.ones(3), kept={"m": [np.zeros(2)]})
    made, _ = copied({"A": layer})
    made["A"].W[:] = 7
    made["A"].kept["m"][0][:] = 7
    assert layer.W.tolist() == [1, 1, 1]
    assert layer.kept["m"][0].tolist() == [0, 0]


def test_what_layers_share_their_copies_share() -> None:
    W, common = np.ones(3), Layer()
    made, _ = copied({"A": Layer(W=W, common=common), "B": Layer(W=W, common=common)})
    assert made["A"].W is made["B"].W
    assert made["A"].W is not W
    assert made["A"].common is made["B"].common


def test_a_copy_lies_in_memory_as_the_array_does() -> None:
    made = copy_of(F=np.ones((3, 4), order="F"), P=np.ones((2, 3, 4)).transpose(2, 0, 1))
    assert made.F.flags.f_contiguous
    assert made.P.strides == np.ones((2, 3, 4)).transpose(2, 0, 1).strides


def test_views_of_one_array_are_views_of_one_copy() -> None:
    flat = np.arange(12.0)
    made, _ = copied({"A": Layer(W=flat[:8].reshape(2, 4), flat=flat), "B": Layer(b=flat[8:][::-1])})
    made["A"].flat[:] = -1
    assert (made["A"].W == -1).all()
    assert (made["B"].b == -1).all()
    assert flat.tolist() == list(range(12))


def test_a_batch_of_all_the_data_does_not_take_the_data_along() -> None:
    data = np.arange(1000.0)
    batch = copy_of(x=data[10:18]).x
    assert batch.tolist() == data[10:18].tolist()
    assert batch.base is None


def test_objects_in_arrays_are_copied() -> None:
    inner = np.empty(1, dtype=object)
    inner[0] = [1]
    copy_of(objects=inner).objects[0].append(2)
    assert inner[0] == [1]


def test_locks_and_generators_of_random_numbers_are_new_ones() -> None:
    rng, lock = np.random.default_rng(0), threading.Lock()
    lock.acquire()
    made = copy_of(rng=rng, lock=lock, again=threading.RLock())
    assert not made.lock.locked()
    assert made.rng.random() == np.random.default_rng(0).random()
    assert rng.random() == np.random.default_rng(0).random()


def test_a_bound_method_is_the_copys() -> None:
    class Own(Layer):
        def go(self) -> Own:
            return self

    layer = Own()
    layer.run = layer.go  # type: ignore[attr-defined]
    made = copied({"A": layer})[0]["A"]
    assert made.run() is made


def test_functions_that_keep_nothing_are_shared() -> None:
    scale, double = 3, functools.partial(max, 2)

    def times(x: int, by: tuple[int, ...] = (1,)) -> int:
        return x * scale * by[0] + sum_of(x)

    def sum_of(x: int) -> int:
        return x

    made = copy_of(fn=times, partial=double, built=np.tanh, other=len)
    assert made.fn is times
    assert made.partial(1) == 2


def test_a_closure_that_reaches_something_that_changes_is_refused() -> None:
    layer = Layer()
    assert "keeps layer: a copy would share it" in why(fn=lambda: layer)
    counts: list[int] = []
    assert "keeps counts" in why(hooks=[lambda: counts.append(1)])
    outer = [lambda: counts]
    inner = outer[0]
    assert "keeps inner" in why(fn=lambda: inner())

    def default(x: Any = counts) -> Any:
        return x

    def keyword(*, cache: Any = counts) -> Any:
        return cache

    assert "keeps the default []" in why(fn=default)
    assert "keeps cache" in why(fn=keyword)


def test_a_closure_not_yet_filled_is_none() -> None:
    def make() -> Any:
        def go() -> Any:
            return later

        if False:
            later = []
        return go

    assert copy_of(fn=make()).fn


def test_a_bound_builtin_reaches_its_object() -> None:
    kept: list[int] = []
    assert why(add=kept.append) == "it holds append of a list, which a copy shares"


def test_a_weak_reference_reaches_the_original() -> None:
    class Parent:
        pass

    parent = Parent()
    for reference in (weakref.ref(parent), weakref.proxy(parent)):
        assert why(parent=reference).startswith("it holds a weak reference")


def test_what_cleans_up_when_it_goes_is_refused() -> None:
    class Handle:
        def __del__(self) -> None:
            pass

    assert why(event=Handle()).startswith("it holds a Handle, which cleans up when it goes")


def test_what_deepcopy_cannot_copy_is_said_and_the_others_are_copied() -> None:
    made, refused = copied({"A": Layer(W=np.ones(2)), "B": Layer(kept=memoryview(b"")), "C": Layer(b=np.ones(2))})
    assert set(made) == {"A", "C"}
    assert refused["B"].startswith("it cannot be copied: TypeError: cannot pickle")
    assert made["A"].W.tolist() == [1, 1]


def test_a_copy_that_fails_halfway_leaves_nothing_half_made_to_the_others() -> None:
    class Stubborn:
        def __deepcopy__(self, memo: Any) -> Any:
            raise RuntimeError("no")

    common = Layer(stubborn=Stubborn())
    made, refused = copied({"A": Layer(common=common), "B": Layer(common=common), "C": Layer(n=1)})
    assert set(refused) == {"A", "B"}
    assert made["C"].n == 1


def test_too_many_objects_are_refused(monkeypatch) -> None:
    monkeypatch.setattr("gpuprof.passes.apart._MOST", 100)
    assert why(many=[[i] for i in range(200)]) == "it holds more than 100 objects"


class Event:
    """As CuPy's: a handle of CUDA's."""

    __module__ = "cupy.cuda.stream"


class RawKernel:
    __module__ = "cupy._core.raw"


class Generator:
    __module__ = "cupy.random._generator_api"


class Csr:
    __module__ = "cupyx.scipy.sparse._csr"


def test_cupys_handles_are_refused_its_kernels_shared_its_generators_copied() -> None:
    assert why(event=Event()) == "it holds a cupy.cuda.stream.Event, which cannot be copied safely"
    kernel, generator, sparse = RawKernel(), Generator(), Csr()
    made = copy_of(kernel=kernel, generator=generator, sparse=sparse)
    assert made.kernel is kernel
    assert made.generator is not generator
    assert made.sparse is not sparse


def test_all_that_is_held_is_found_but_no_class_and_no_module() -> None:
    W = np.ones(2)
    layer = Layer(deep=[{"a": (Layer(W=W),)}], kind=Layer, module=np)
    found = held(layer)
    assert any(thing is W for thing in found)
    assert not any(thing is Layer or thing is np for thing in found)
    assert len(reachable([layer, layer])) == len(found)


def test_only_arrays_on_a_gpu_take_its_memory() -> None:
    assert device_bytes([Layer(W=np.ones(8)), Layer(event=Event())]) == 0


def test_what_is_not_to_be_copied_says_so_when_asked() -> None:
    with pytest.raises(NotCopyableError, match="cannot be copied safely"):
        held(Layer(event=Event()))


@pytest.mark.gpu
def test_copies_on_the_gpu_lie_as_the_arrays_do_and_share_as_they_share() -> None:
    import cupy

    flat = cupy.arange(24, dtype="float32")
    layer = Layer(
        flat=flat,
        W=flat[:12].reshape(3, 4),
        F=cupy.asfortranarray(cupy.ones((5, 7))),
        kernel=cupy.ElementwiseKernel("T x", "T y", "y = x", "same"),
        rng=cupy.random.default_rng(0),
    )
    layer.rng.random(3)
    state = layer.rng.bit_generator._state.copy()
    made, refused = copied({"A": layer})
    assert refused == {}
    copy = made["A"]
    copy.flat[:] = -1
    copy.rng.random(1000)
    assert bool((copy.W == -1).all())
    assert copy.W.data.ptr == copy.flat.data.ptr
    assert flat.get().tolist() == list(range(24))
    assert copy.F.flags.f_contiguous
    assert copy.kernel is layer.kernel
    assert bool((layer.rng.bit_generator._state == state).all())
    assert device_bytes([layer]) >= flat.nbytes + layer.W.nbytes + layer.F.nbytes


@pytest.mark.gpu
def test_layers_that_hold_handles_of_cuda_are_not_copied() -> None:
    import cupy

    for handle in (cupy.cuda.Event(), cupy.cuda.Stream(), cupy.random.RandomState(0), cupy.zeros(1).data):
        assert "it holds a " in why(handle=handle)
