"""Which clock suits what; CUDA events where there is a GPU."""

from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from gpuprof.record.clocks import HostClock, _library, _within, clock_for
from gpuprof.record.cuda import CupyClock, _EventClock


def test_numpy_arrays_get_the_host_clock() -> None:
    assert isinstance(clock_for([np.zeros(3), {"x": [np.ones(2)]}, "text", None]), HostClock)


def test_small_numpy_settings_do_not_decide() -> None:
    assert _library(np.array([1, 1])) == ""
    assert _library(np.zeros(100)) == "numpy"


def test_looking_for_arrays_has_an_end() -> None:
    nested = [[[i * j * k + 0.5 for i in range(100)] for j in range(100)] for k in range(100)]
    assert sum(1 for _ in _within(nested, 3)) <= 20_000


def test_objects_without_arrays_leave_the_choice_to_what_comes_after_them() -> None:
    assert isinstance(clock_for([3], [np.zeros(100)], guess=True), HostClock)


@pytest.mark.gpu
def test_a_model_without_arrays_is_timed_with_events_where_cupy_is_in_use() -> None:
    import cupy

    x = cupy.zeros(3)
    assert isinstance(clock_for([3], guess=True), CupyClock)
    assert isinstance(clock_for([3]), HostClock)
    assert isinstance(clock_for([3], [x]), CupyClock)


@pytest.mark.gpu
def test_a_numpy_model_keeps_the_host_clock_where_cupy_is_in_use() -> None:
    import cupy

    x = cupy.zeros(3)
    assert isinstance(clock_for([np.zeros(100)], [x]), HostClock)


def test_the_host_clocks_resolution_is_the_systems() -> None:
    assert 0 < HostClock().resolution <= 1e-6


@pytest.mark.gpu
def test_cupy_arrays_get_cuda_events_wherever_they_are_held() -> None:
    import cupy

    x = cupy.zeros(3)
    for holder in (x, [x], {"x": x}, SimpleNamespace(layers=[SimpleNamespace(W=x)]), cupy):
        assert isinstance(clock_for([holder]), CupyClock)


@pytest.mark.gpu
def test_events_see_a_kernel_that_the_host_does_not_wait_for() -> None:
    import cupy

    clock = CupyClock()
    x = cupy.random.random((4096, 4096), dtype=cupy.float32)
    x @ x
    clock.wait()
    first = clock.mark()
    start = clock.host()
    x @ x
    issued = clock.host() - start
    last = clock.mark()
    clock.wait()
    ns = clock.resolve(np.array([first, last]))
    assert ns[1] - ns[0] > issued


@pytest.mark.gpu
def test_the_device_axis_starts_at_the_hosts_time() -> None:
    clock = CupyClock()
    clock.wait()
    before = clock.host()
    mark = clock.mark()
    clock.wait()
    assert abs(int(clock.resolve(np.array([mark]))[0]) - before) < 200_000


@pytest.mark.gpu
def test_events_are_pooled_and_read_in_blocks() -> None:
    clock = CupyClock()
    for _ in range(10_000):
        clock.mark()
        clock.tidy()
    clock.wait()
    assert len(clock.pool[0]) < 8_000
    assert (np.diff(clock.resolve(np.arange(10_000))) >= 0).all()


@pytest.mark.gpu
def test_a_mark_knows_its_device_and_stream() -> None:
    import cupy

    clock = CupyClock()
    stream = cupy.cuda.Stream(non_blocking=True)
    first = clock.mark()
    with stream:
        second = clock.mark()
    clock.wait()
    devices, streams = clock.where(np.array([first, second]))
    assert devices.tolist() == [0, 0]
    assert streams.tolist() == [cupy.cuda.Stream.null.ptr, stream.ptr]


@pytest.mark.gpu
def test_a_mark_inside_a_capture_is_lost_and_told_and_the_capture_survives() -> None:
    import cupy

    clock = CupyClock()
    stream = cupy.cuda.Stream(non_blocking=True)
    x = cupy.zeros(8)
    x += 1
    with stream:
        clock.mark()
        stream.begin_capture()
        clock.mark()
        x += 1
        graph = stream.end_capture()
        clock.mark()
    clock.wait()
    clock.resolve(np.arange(3))
    graph.launch(stream)
    stream.synchronize()
    assert clock.lost == 1


class Ticking(_EventClock[list]):
    """An event clock over invented events, to test what all event clocks share."""

    pool: ClassVar[dict[int, list]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.ms = 0.0

    def _here(self) -> tuple[int, int]:
        return 0, 7

    def _stream_number(self, stream: int) -> int:
        return stream

    def _make(self) -> list:
        return [0.0]

    def _record(self, event: list, stream: int) -> None:
        event[0] = self.ms

    def _done(self, event: list) -> bool:
        return True

    def _elapsed_ms(self, start: list, stop: list) -> float:
        return float(np.float32(stop[0] - start[0]))

    def _synchronize(self, device: int) -> None:
        pass


def test_float32_milliseconds_lose_no_microseconds_over_an_hour() -> None:
    clock = Ticking()
    marks = []
    for _ in range(3600):
        clock.ms += 1000.5
        marks.append(clock.mark())
        clock.ms += 0.0125
        marks.append(clock.mark())
        clock.resolve(np.array(marks[-1:]))
    ns = clock.resolve(np.array(marks)).reshape(-1, 2)
    assert np.abs(ns[:, 1] - ns[:, 0] - 12_500).max() < 200
    assert abs((ns[-1, 1] - ns[0, 0]) / 1e6 - (3599 * 1000.5125 + 0.0125)) < 0.5


def test_finished_events_go_back_to_the_pool() -> None:
    clock = Ticking()
    mark = clock.mark()
    size = len(clock.pool[0])
    clock.resolve(np.array([mark]))
    assert len(clock.pool[0]) == size + 1


def test_nothing_is_read_before_many_wait() -> None:
    clock = Ticking()
    clock.mark()
    clock.tidy()
    assert len(clock._waiting) == 1


def test_a_module_of_another_name_is_no_gpu() -> None:
    assert isinstance(clock_for([ModuleType("cupyfake")]), HostClock)
