import sys
import types

import numpy as np
import pytest

import cnn
from cnn.xp import Later, array_module, float_dtype, found, get_array_module, put, to_cpu, to_gpu


def test_an_array_tells_its_module(xp):
    assert get_array_module(xp.zeros(2)) is xp


def test_numbers_and_lists_belong_to_numpy():
    assert get_array_module(1.5) is np
    assert get_array_module([1]) is np


def test_to_cpu_gives_a_numpy_array_of_the_same_values(xp):
    x = to_cpu(xp.arange(3))
    assert type(x) is np.ndarray
    assert x.tolist() == [0, 1, 2]


@pytest.mark.gpu
def test_to_gpu_and_back_changes_nothing():
    x = np.arange(4, dtype=np.float32)
    there = to_gpu(x)
    assert get_array_module(there).__name__ == "cupy"
    np.testing.assert_array_equal(to_cpu(there), x)


def test_mode_names_the_module(xp, mode):
    assert array_module(mode) is xp


def test_an_unknown_mode_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"mode is 'tpu'; expected 'cpu' .* or 'gpu'"):
        array_module("tpu")


def test_gpu_without_cupy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"needs CuPy.*ipython-gpuprof\[cuda12\].*\[cuda13\]"):
        array_module("gpu")


def test_gpu_without_a_device_says_so(monkeypatch):
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.ndarray = type("ndarray", (), {})
    cupy.cuda = types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(RuntimeError, match=r"needs an NVIDIA GPU.*CuPy 14.2.0 is installed and finds none"):
        array_module("gpu")


@pytest.mark.parametrize("dtype", ["float64", "d", "<f8", np.float64, np.dtype("float64"), float])
def test_a_float_type_goes_by_all_its_names(dtype):
    assert float_dtype(dtype) == np.float64


@pytest.mark.parametrize(
    "dtype", ["int32", "float16", ">f4", "\ud800", None, np.float64(2), (None, None), {"a": "b"}, 8]
)
def test_only_the_two_float_types_are_taken(dtype):
    with pytest.raises(ValueError, match=r"dtype is .*; expected 'float32' or 'float64'"):
        float_dtype(dtype)


def test_the_front_door_is_sorted_and_complete():
    assert list(cnn.__all__) == sorted(cnn.__all__)
    assert all(hasattr(cnn, name) for name in cnn.__all__)


def test_importing_cnn_loads_nothing_heavy():
    import subprocess

    heavy = ["matplotlib", "pandas", "pooch", "tqdm", "cupy", "IPython", "gpuprof"]
    code = f"import sys, cnn; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_scalar_asked_for_is_read_later(xp):
    later = Later((xp.arange(4, dtype="float32") / 2).sum())
    if later.event is not None:
        later.event.synchronize()
    assert later.ready()
    assert later.value() == 3.0


@pytest.mark.gpu
def test_asking_for_a_scalar_does_not_wait_for_the_device():
    import cupy

    Later(cupy.ones(()))  # the first pinned memory, the first kernel
    nap = cupy.RawKernel(
        'extern "C" __global__ void nap() { for (int i = 0; i < 300; i++) __nanosleep(1000000); }', "nap"
    )
    scalar = cupy.ones(()) * 2
    nap((1,), (1,), ())
    later = Later(scalar)
    assert not later.ready()
    cupy.cuda.Device().synchronize()
    assert later.ready()
    assert later.value() == 2.0


@pytest.mark.parametrize("dtype", ["float16", "foo", None, 3])
def test_another_dtype_is_answered_with_the_two(dtype):
    with pytest.raises(ValueError, match=f"dtype is {dtype!r}; expected 'float32' or 'float64'"):
        float_dtype(dtype)


def test_an_array_is_found_where_it_is_and_put_where_the_mode_says(xp, mode):
    x = xp.arange(3, dtype="float32")
    assert found(x) is x
    assert put(x, mode, "float32") is x
    assert get_array_module(found([1, 2])) is np
    assert get_array_module(put(found([1, 2]), mode)) is xp
