"""Capturing apart from the user's stream, pool and random numbers; and cuBLAS's products through CuPy."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpuprof.record import blas, driver, graphs
from gpuprof.record.capturer import CupyCapturer, capturer_for
from gpuprof.record.clocks import HostClock
from gpuprof.record.graphs import NotCapturableError
from gpuprof.testing import FakeClock

from .fakecupy import FakeCupy, Stream


@pytest.fixture
def cupy(monkeypatch) -> FakeCupy:
    """No CuPy but a fake one, no driver, and no cuBLAS."""
    fake = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(driver, "capturing", lambda stream: False)
    monkeypatch.setattr("gpuprof.record.capturer.launches_in", lambda graph: 3)
    monkeypatch.setattr(blas, "loaded", lambda: None)
    return fake


@pytest.fixture
def capturer(cupy) -> Iterator[CupyCapturer]:
    made = CupyCapturer(0)
    with made.apart():
        yield made


# Which one


def test_on_a_host_clock_there_is_nothing_to_capture() -> None:
    for clock in (HostClock(), FakeClock()):
        with pytest.raises(NotCapturableError, match="a graph is CUDA's: nothing to capture on a host clock"):
            capturer_for(clock)


def test_pytorch_is_refused_with_what_there_is_instead() -> None:
    clock = SimpleNamespace(on_device=True, library="torch", name="CUDA events")
    with pytest.raises(NotCapturableError, match="PyTorch is not captured layer by layer"):
        capturer_for(clock)


def test_a_fake_clock_has_its_own_or_none() -> None:
    clock: Any = FakeClock(device=True)
    with pytest.raises(NotCapturableError, match="nothing captures what fake CUDA events time"):
        capturer_for(clock)
    clock.capturer = lambda: "its own"
    assert capturer_for(clock) == "its own"


def test_cupys_clock_is_captured_by_cupy(cupy) -> None:
    assert isinstance(capturer_for(SimpleNamespace(on_device=True, library="cupy")), CupyCapturer)


# Apart


def test_memory_comes_from_a_pool_of_its_own_that_is_bounded_and_given_back(cupy) -> None:
    capturer = CupyCapturer(0)
    assert capturer.room() == 1000
    with capturer.apart():
        assert cupy.allocators == [cupy.pools[0].malloc]
        assert cupy.pools[0].limit == 900
    assert cupy.allocators == []
    assert cupy.pools[0].freed


def test_after_an_error_inside_everything_is_as_it_was(cupy) -> None:
    with pytest.raises(KeyboardInterrupt), CupyCapturer(0).apart():
        raise KeyboardInterrupt
    assert cupy.allocators == []
    assert cupy.pools[0].freed
    assert Stream.current is None


def test_the_librarys_random_states_are_the_users_again(cupy, monkeypatch) -> None:
    users = {0: "the user's"}
    module = SimpleNamespace(_random_states=users)
    monkeypatch.setitem(sys.modules, "cupy.random._generator", module)
    with CupyCapturer(0).apart():
        assert module._random_states == {}
        module._random_states[0] = "ours"
    assert module._random_states is users
    assert users == {0: "the user's"}


def test_work_is_queued_on_its_own_stream(capturer) -> None:
    streams = [capturer.run(lambda: Stream.current), capturer.put(np.ones(1)) is not None and Stream.current]
    assert streams[0] is not None
    assert streams[1] is None
    assert capturer.seconds(lambda: None) >= 0


# Capturing


def test_what_runs_is_captured(capturer) -> None:
    seen = []
    graph = capturer.capture(lambda: seen.append(Stream.current and Stream.current.capturing))
    assert (seen, graph.launches) == ([True], 3)


@pytest.mark.parametrize("spoiled", [False, True])
def test_an_error_ends_the_capture_and_is_the_reason_and_the_next_goes_on(capturer, spoiled) -> None:
    def fails() -> None:
        assert Stream.current
        Stream.current.spoiled = spoiled
        raise ValueError("copied to the host\nand more")

    with pytest.raises(NotCapturableError, match=r"^ValueError: copied to the host$"):
        capturer.capture(fails)
    stream = capturer.run(lambda: Stream.current)
    assert not stream.capturing
    stream.spoiled = False
    assert capturer.capture(lambda: None).launches == 3


def test_a_capture_that_cuda_has_spoiled_in_silence_fails_at_its_end(capturer) -> None:
    def spoils() -> None:
        assert Stream.current
        Stream.current.spoiled = True

    with pytest.raises(NotCapturableError, match="cudaErrorStreamCaptureInvalidated"):
        capturer.capture(spoils)


@pytest.mark.parametrize("answer", [True, RuntimeError("no driver")])
def test_a_stream_that_stays_captured_is_left_for_another(capturer, monkeypatch, answer) -> None:
    def capturing(stream: int) -> bool:
        if isinstance(answer, RuntimeError):
            raise answer
        return answer

    monkeypatch.setattr(driver, "capturing", capturing)
    before = capturer.run(lambda: Stream.current)
    with pytest.raises(NotCapturableError):
        capturer.capture(lambda: 1 / 0)
    assert capturer.run(lambda: Stream.current) is not before


def test_an_interrupt_in_a_capture_rises_and_ends_it(capturer) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capturer.capture(interrupted)
    assert not capturer.run(lambda: Stream.current).capturing


def test_graphs_are_replayed_in_turn_with_an_event_after_each(capturer) -> None:
    first, second = capturer.capture(lambda: None), capturer.capture(lambda: None)
    assert capturer.replay([first, second], 3) == [[2e-3] * 3] * 2
    stream = capturer.run(lambda: Stream.current)
    assert stream.done == ["launch", "event"] + ["launch", "event"] * 6


def test_an_error_says_its_kind_and_the_first_line_of_its_text() -> None:
    assert graphs.reason(ValueError("a\nb")) == "ValueError: a"
    assert graphs.reason(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_launches_are_the_nodes_that_work(monkeypatch) -> None:
    kinds = {1: 0, 2: 2, 3: 5, 4: 1, 5: 10}

    def call(name: str, *arguments: Any) -> None:
        if name == "cuGraphGetNodes":
            _, nodes, number = arguments
            if nodes is None:
                number._obj.value = len(kinds)
            else:
                nodes[:] = list(kinds)
        else:
            arguments[1]._obj.value = kinds[arguments[0].value]

    monkeypatch.setattr(driver, "call", call)
    assert graphs.launches_in(99) == 3


def test_without_a_driver_the_launches_are_not_known(monkeypatch) -> None:
    monkeypatch.setattr(driver, "library", lambda: None)
    assert graphs.launches_in(99) is None


# cuBLAS


class Library:
    """A cuBLAS that writes down what it is asked; `status` is what its products return."""

    def __init__(self, status: int = 0) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.status = status

    def __getattr__(self, name: str) -> Any:
        def function(*arguments: Any) -> int:
            self.asked.append((name, *(argument.value for argument in arguments)))
            return 0 if "Set" in name else self.status

        return function


GEMM = (11, 0, 1, 2, 3, 4, 500, 1000, 0, 8, 2000, 0, 9, 501, 3000, 0, 10, 68, 99)
BATCHED = (11, 0, 0, 2, 3, 4, 500, 1000, 0, 8, 64, 2000, 0, 9, 65, 501, 3000, 0, 10, 66, 5, 1, -1)


@pytest.fixture
def module() -> Any:
    """CuPy's module of cuBLAS, which refuses."""
    calls: list[Any] = []

    def refuse(*arguments: Any) -> None:
        calls.append(arguments)

    return SimpleNamespace(gemmEx=refuse, gemmStridedBatchedEx=refuse, calls=calls)


def test_products_go_to_cublas_itself_on_the_stream_with_a_workspace(module) -> None:
    library, counted = Library(), []
    own = module.gemmEx
    with blas.let_through(module, library, 77, (4096, 64), lambda: counted.append(1)):
        module.gemmEx(*GEMM)
    assert library.asked == [
        ("cublasSetStream_v2", 11, 77),
        ("cublasSetWorkspace_v2", 11, 4096, 64),
        ("cublasGemmEx", *GEMM),
        ("cublasSetStream_v2", 11, None),
    ]
    assert counted == [1]
    assert module.gemmEx is own
    assert module.calls == []


def test_what_older_callers_give_for_the_arithmetic_is_translated(module) -> None:
    library = Library()
    with blas.let_through(module, library, 77, (4096, 64), int):
        module.gemmStridedBatchedEx(*BATCHED)
    assert library.asked[2] == ("cublasGemmStridedBatchedEx", *BATCHED[:-2], 70, -1)


def test_a_product_that_fails_raises(module) -> None:
    with (
        pytest.raises(RuntimeError, match="cublasGemmEx: cuBLAS status 15"),
        blas.let_through(module, Library(15), 77, (4096, 64), int),
    ):
        module.gemmEx(*GEMM)


def test_products_of_other_threads_go_as_ever(module) -> None:
    library = Library()
    with blas.let_through(module, library, 77, (4096, 64), int):
        thread = threading.Thread(target=module.gemmEx, args=GEMM)
        thread.start()
        thread.join()
    assert module.calls == [GEMM]
    assert library.asked == []


def test_without_the_library_or_cupys_functions_nothing_changes(module) -> None:
    own = module.gemmEx
    for given, library in ((module, None), (None, Library()), (SimpleNamespace(gemmEx=own), Library())):
        with blas.let_through(given, library, 77, (4096, 64), int):
            assert given is None or given.gemmEx is own


def test_the_library_is_the_one_that_is_loaded_if_there_is_one(monkeypatch) -> None:
    maps = "7f0-7f1 r-xp 0 00:00 1 /opt/lib/libcublasLt.so.13\n"
    one, two = "7f2-7f3 r-xp 0 0:0 2 /opt/lib/libcublas.so.13\n", "7f4-7f5 r-xp 0 0:0 3 /usr/lib/libcublas.so.12.1\n"
    monkeypatch.setattr(ctypes, "CDLL", lambda path: path)
    for text, found in ((maps, None), (maps + one + one, "/opt/lib/libcublas.so.13"), (maps + one + two, None)):
        monkeypatch.setattr("pathlib.Path.read_text", lambda self, encoding, text=text: text)
        assert blas.loaded() == found


def test_where_there_is_no_such_file_no_library_is_found(monkeypatch) -> None:
    monkeypatch.setattr("pathlib.Path.read_text", lambda self, encoding: (_ for _ in ()).throw(OSError("none")))
    assert blas.loaded() is None


def test_the_workspace_is_as_large_as_cublas_takes_it() -> None:
    sizes = [blas.workspace_size(each) >> 20 for each in ("80", "90", "120", "gfx90a")]
    assert sizes == [4, 32, 32, 4]


# On a GPU


@pytest.fixture
def gpu() -> Iterator[Any]:
    import cupy

    capturer = CupyCapturer(0)
    with capturer.apart():
        yield SimpleNamespace(cupy=cupy, capturer=capturer)


@pytest.mark.gpu
def test_a_graph_replays_what_was_captured_on_the_gpu(gpu) -> None:
    x = gpu.capturer.put(np.zeros(1000, dtype="float32"))

    def add() -> None:
        nonlocal x
        x += 1
        x *= 1

    gpu.capturer.run(add)
    graph = gpu.capturer.capture(add)
    assert graph.launches == 2
    times = gpu.capturer.replay([graph], 10)
    assert len(times[0]) == 10
    assert all(0 < each < 1e-3 for each in times[0])
    assert x.get().tolist() == [1 + 1 + 10] * 1000


@pytest.mark.gpu
@pytest.mark.parametrize("shapes", [((8, 100), (100, 10)), ((3, 8, 16), (3, 16, 4))])
def test_a_product_by_cublas_is_captured_and_right(gpu, shapes) -> None:
    rng = np.random.default_rng(0)
    a, b = (gpu.capturer.put(rng.random(shape, dtype="float32")) for shape in shapes)
    made: list[Any] = []

    def product() -> None:
        made[:] = [a @ b]

    gpu.capturer.seconds(product)  # which waits for it
    usual = made[0].get()
    graph = gpu.capturer.capture(product)
    assert gpu.capturer.let_through == 1
    assert graph.launches >= 1
    gpu.capturer.replay([graph], 1)
    np.testing.assert_allclose(made[0].get(), usual, rtol=1e-6)


@pytest.mark.gpu
def test_after_a_capture_cupy_refuses_products_in_captures_again_and_makes_them_elsewhere(gpu) -> None:
    a = gpu.capturer.put(np.eye(64, dtype="float32"))
    gpu.capturer.run(lambda: a @ a)
    gpu.capturer.capture(lambda: a @ a)
    stream = gpu.cupy.cuda.Stream(non_blocking=True)
    with stream, pytest.raises(NotImplementedError):
        graphs.captured_on(stream, lambda: a @ a)
    assert bool((a @ a == a).all())


@pytest.mark.gpu
def test_what_cannot_be_captured_leaves_the_gpu_usable(gpu) -> None:
    x = gpu.capturer.put(np.ones(10))

    def synchronises() -> None:
        gpu.cupy.cuda.runtime.deviceSynchronize()

    draws = lambda: gpu.cupy.random.rand(3)  # noqa: E731
    gpu.capturer.run(draws)
    for fails in (lambda: x.get(), lambda: float(x.sum()), synchronises, draws, lambda: 1 / 0):
        with pytest.raises(NotCapturableError):
            gpu.capturer.capture(fails)
        assert gpu.capturer.capture(lambda: x + 1).launches == 1
    assert float(x.sum()) == 10


@pytest.mark.gpu
def test_the_users_random_numbers_and_pool_are_untouched() -> None:
    import cupy

    cupy.random.seed(3)
    expected = cupy.random.rand(4).get().tolist()
    cupy.random.seed(3)
    pool = cupy.get_default_memory_pool()
    before = (pool.used_bytes(), pool.total_bytes())
    capturer = CupyCapturer(0)
    with capturer.apart():
        capturer.run(lambda: cupy.random.rand(1000))
    assert (pool.used_bytes(), pool.total_bytes()) == before
    assert cupy.random.rand(4).get().tolist() == expected
    assert cupy.cuda.get_current_stream().ptr == 0


@pytest.mark.gpu
def test_memory_beyond_what_is_free_is_a_reason_not_a_crash(gpu) -> None:
    gpu.capturer._pool.set_limit(size=64 << 20)  # of which cuBLAS's workspace takes a half
    with pytest.raises(NotCapturableError, match="OutOfMemoryError"):
        gpu.capturer.capture(lambda: gpu.cupy.empty(128 << 20, dtype="int8"))
