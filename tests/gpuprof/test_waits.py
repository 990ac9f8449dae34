"""Where the host waits: on a fake libcupti whose callbacks the tests fire, and on a GPU for what only that shows."""

import ctypes
import gc
import json
import sys
import threading
import weakref
from functools import partial
from typing import Any

import numpy as np
import pytest

from gpuprof.record import apis, cupti, places, waits
from gpuprof.record.callbacks import ENTER, EXIT
from gpuprof.record.cupti import NoRecordsError
from gpuprof.record.places import NOWHERE
from gpuprof.record.waits import Wait, merged, summary, watching
from tests.gpuprof.fakecupti import Copy, FakeCupti

HERE = __file__
COPY_ASYNC, SYNCHRONISE, MALLOC, FREE, LAUNCH = 41, 131, 20, 22, 211  # of the runtime
DRIVER_COPY, DRIVER_SYNCHRONISE, DRIVER_LAUNCH = 279, 126, 307
TO_DEVICE, TO_HOST, ON_DEVICE = 1, 2, 3


class Ticks:
    """A `perf_counter_ns` that says what it is told to, 1000 ns later each time."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1000
        return self.now


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCupti:
    library = FakeCupti()
    monkeypatch.setattr(cupti, "library", lambda: library)
    monkeypatch.setattr(cupti, "holder", lambda: "")
    monkeypatch.setattr(places, "_INSTALLED", (*places._INSTALLED, "fakecupti.py"))
    return library


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    clock = Ticks()
    monkeypatch.setattr(waits, "perf_counter_ns", clock)
    return clock


def line() -> int:
    """The number of the caller's line."""
    return sys._getframe(1).f_lineno


def wait(api: str = "cudaStreamSynchronize", kind: str = apis.SYNCHRONISE, **others: Any) -> Wait:
    usual = {"file": "cell", "line": 3, "function": "f", "thread": 1, "start_ns": 0, "end_ns": 0, "took_ns": 0}
    return Wait(**(usual | {"api": api, "kind": kind, "bytes": 0} | others))


# What is seen


def test_a_call_is_told_with_the_line_that_made_it(fake) -> None:
    with watching() as found:
        fake.runtime(SYNCHRONISE); at = line()  # fmt: skip # noqa: E702
    (seen,) = found.waits
    assert (seen.api, seen.kind) == ("cudaStreamSynchronize", "synchronise")
    assert (seen.file, seen.line) == (HERE, at)
    assert seen.function == "test_a_call_is_told_with_the_line_that_made_it"
    assert seen.thread == threading.get_ident()


def test_the_drivers_call_inside_the_runtimes_is_part_of_it(fake, ticks) -> None:
    with watching() as found:
        fake.runtime(SYNCHRONISE, inside=DRIVER_SYNCHRONISE)
    (seen,) = found.calls
    # begun 2000; driver: 3000 to 4000, and 5000 to 6000, are ours; ended 7000
    assert (seen.start_ns, seen.end_ns, seen.took_ns) == (2000, 7000, 3000)


def test_a_call_of_the_driver_by_itself_counts(fake) -> None:
    with watching() as found:
        fake.driver(DRIVER_SYNCHRONISE)
    assert [call.api for call in found.calls] == ["cuStreamSynchronize"]


def test_the_way_and_the_bytes_of_a_copy_are_read_from_its_parameters(fake) -> None:
    with watching() as found:
        for way in (TO_DEVICE, TO_HOST, ON_DEVICE, 4):
            fake.runtime(COPY_ASYNC, Copy(count=2**33 + way, kind=way))
    assert [call.kind for call in found.calls] == [
        "copy to the device", "copy to the host", "copy on the device", "copy"
    ]  # fmt: skip
    assert [call.bytes for call in found.calls] == [2**33 + way for way in (1, 2, 3, 4)]


def test_the_drivers_copies_say_their_way_by_their_names(fake) -> None:
    with watching() as found:
        fake.driver(DRIVER_COPY, Copy(count=8))
    assert [(call.api, call.kind, call.bytes) for call in found.calls] == [("cuMemcpyDtoHAsync", "copy to the host", 8)]


def test_a_pool_that_grows_and_one_that_is_freed_are_told(fake) -> None:
    size = (ctypes.c_size_t * 2)(0, 512)
    with watching() as found:
        fake.runtime(MALLOC, size)
        fake.runtime(FREE, size)
    assert [(seen.api, seen.kind, seen.bytes) for seen in found.waits] == [
        ("cudaMalloc", "allocate", 512), ("cudaFree", "free", 0)
    ]  # fmt: skip


def test_an_end_without_a_beginning_is_no_call(fake) -> None:
    with watching() as found:
        fake.site(EXIT, apis.RUNTIME | SYNCHRONISE)
    assert found.calls == ()


def test_after_an_end_that_was_lost_the_next_call_is_seen(fake) -> None:
    with watching() as found:
        fake.site(ENTER, apis.RUNTIME | SYNCHRONISE)
        fake.runtime(MALLOC)
    assert [call.api for call in found.calls] == ["cudaMalloc"]


def test_threads_do_not_mix(fake) -> None:
    with watching() as found:
        fake.site(ENTER, apis.RUNTIME | SYNCHRONISE)
        thread = threading.Thread(target=fake.driver, args=(DRIVER_SYNCHRONISE,))
        thread.start()
        thread.join()
        fake.site(EXIT, apis.RUNTIME | SYNCHRONISE)
    assert {call.api for call in found.calls} == {"cudaStreamSynchronize", "cuStreamSynchronize"}
    assert len({call.thread for call in found.calls}) == 2


def test_nothing_of_the_users_is_held(fake) -> None:
    class Thing:
        pass

    def call() -> "weakref.ref[Thing]":
        thing = Thing()
        fake.runtime(SYNCHRONISE)
        return weakref.ref(thing)

    gc.disable()
    try:
        with watching():
            assert call()() is None
    finally:
        gc.enable()


# Whose line it is

INSTALLED = "/somewhere/lib/python3.11/site-packages/"


def through(fake: FakeCupti, file: str, module: str, also: frozenset[str] = frozenset()) -> list[str]:
    """The files of the waits of a call through a function of that file and module."""
    names: dict[str, Any] = {"__name__": module}
    exec(compile("def f(call): call()", file, "exec"), names)
    with watching(also) as found:
        names["f"](lambda: None)
        names["f"](partial(fake.driver, DRIVER_SYNCHRONISE))
    return [wait.file for wait in found.waits]


@pytest.mark.parametrize(
    ("file", "module"),
    [
        (f"{INSTALLED}cupy/array.py", "cupy.array"),
        (json.__file__, "json"),
        ("<frozen importlib._bootstrap>", "importlib"),
        (f"{places._HOOKS[0]}methods.py", "gpuprof.hooks.methods"),
        (places._HOOKS[1], "gpuprof.record.taped"),
    ],
)
def test_frames_of_libraries_and_of_our_hooks_are_seen_through(fake, file: str, module: str) -> None:
    assert through(fake, file, module) == [HERE]


@pytest.mark.parametrize("file", ["/tmp/ipykernel_7/123.py", "<ipython-input-3>", "<string>", "/home/me/net.py"])
def test_cells_and_files_are_the_users(fake, file: str) -> None:
    assert through(fake, file, "__main__") == [file]


def test_an_installed_package_of_layers_counts_as_the_users(fake) -> None:
    file = f"{INSTALLED}net/layers/pool.py"
    assert through(fake, file, "net.layers.pool", frozenset({"net"})) == [file]


def test_what_we_wait_for_ourselves_is_not_told(fake) -> None:
    assert through(fake, f"{places._OURS}record/cuda.py", "gpuprof.record.cuda") == []


def test_a_thread_without_the_users_code_is_nowhere(fake) -> None:
    with watching() as found:
        thread = threading.Thread(target=fake.driver, args=(DRIVER_SYNCHRONISE,))
        thread.start()
        thread.join()
    (seen,) = found.waits
    assert (seen.file, seen.line, seen.function) == NOWHERE


def test_each_call_on_a_line_of_several_has_its_own_line(fake) -> None:
    with watching() as found:
        for _ in range(2):
            fake.driver(DRIVER_SYNCHRONISE)
            fake.driver(DRIVER_SYNCHRONISE)
    first, second, third, fourth = (seen.line for seen in found.waits)
    assert (second - first, third - first, fourth - second) == (1, 0, 0)


# What waited


def test_a_copy_that_could_not_have_been_done_by_then_did_not_wait_for_it() -> None:
    kept = [wait("cudaMemcpyAsync", "copy to the device", took_ns=took, bytes=64 << 20) for took in (130_000, 140_000)]
    assert [each.waited for each in kept] == [False, True]


@pytest.mark.parametrize(
    ("api", "kind", "took", "waited"),
    [
        ("cudaMemcpyAsync", "copy to the host", 20_000, False),
        ("cudaMemcpyAsync", "copy to the host", 20_001, True),
        ("cudaMemcpy", "copy to the host", 1, True),
        ("cudaMemcpy", "copy on the device", 1, False),
        ("cudaMemcpyAsync + cudaStreamSynchronize", "copy to the host", 1, True),
        ("cudaFree", "free", 1, True),
    ],
)
def test_a_copy_that_was_merely_issued_did_not_wait(api: str, kind: str, took: int, waited: bool) -> None:
    assert wait(api, kind, took_ns=took).waited is waited


def copied(**others: Any) -> Wait:
    return wait("cudaMemcpyAsync", "copy to the host", **{"end_ns": 5, "took_ns": 5, "bytes": 4} | others)


def test_a_copy_and_the_synchronisation_after_it_are_one_wait() -> None:
    (one,) = merged([copied(), wait(start_ns=7, end_ns=40, took_ns=33)])
    assert (one.api, one.kind) == ("cudaMemcpyAsync + cudaStreamSynchronize", "copy to the host")
    assert (one.start_ns, one.end_ns, one.took_ns, one.bytes) == (0, 40, 38, 4)


@pytest.mark.parametrize("others", [{"line": 4}, {"file": "b"}, {"function": "g"}, {"thread": 2}])
def test_those_of_other_lines_or_threads_are_not(others: dict[str, Any]) -> None:
    assert len(merged([copied(), wait(**others)])) == 2


def test_of_two_synchronisations_after_a_copy_the_first_belongs_to_it() -> None:
    assert [len(one.api.split(" + ")) for one in merged([copied(), wait(), wait()])] == [2, 1]


def test_pairs_in_a_loop_stay_pairs_though_another_thread_calls_between() -> None:
    calls = [copied(), wait(thread=2), wait(), copied(), wait()]
    assert [one.api.count("+") for one in merged(calls)] == [1, 0, 1]


def test_a_pair_is_found_in_what_was_seen(fake) -> None:
    with watching() as found:
        (fake.runtime(COPY_ASYNC, Copy(count=4, kind=TO_HOST)), fake.runtime(SYNCHRONISE))
    assert [(seen.kind, seen.bytes) for seen in found.waits] == [("copy to the host", 4)]


# By line


def test_the_summary_has_the_dearest_line_first() -> None:
    rows = summary([wait(took_ns=1000), wait(line=9, took_ns=5000), wait(took_ns=3000), copied(took_ns=100)])
    assert [(row.line, row.kind, row.times) for row in rows] == [
        (9, "synchronise", 1), (3, "synchronise", 2), (3, "copy to the host", 1)
    ]  # fmt: skip
    assert [row.seconds for row in rows] == pytest.approx([5e-6, 4e-6, 1e-7])
    assert [row.longest for row in rows] == pytest.approx([5e-6, 3e-6, 1e-7])
    assert rows[2].bytes == 4


def test_the_summary_has_the_lines_text(fake) -> None:
    with watching() as found:
        fake.driver(DRIVER_SYNCHRONISE)  # this very line
    assert [row.source for row in summary(found.waits)] == ["fake.driver(DRIVER_SYNCHRONISE)  # this very line"]


def test_different_calls_on_one_line_are_named_both() -> None:
    assert [row.api for row in summary([wait("cudaFree", "free"), wait("cuMemFree", "free")])] == [
        "cuMemFree, cudaFree"
    ]


def test_no_waits_have_no_summary() -> None:
    assert summary([]) == []


# Launches


def test_launches_have_their_lines_by_correlation(fake) -> None:
    with watching(launches=True) as found:
        fake.runtime(LAUNCH)
        fake.runtime(LAUNCH, inside=DRIVER_LAUNCH)
    ids, lines, table = found.launches
    assert ids.tolist() == [1, 2]
    assert [table[number].file for number in lines] == [HERE, HERE]
    assert np.diff([table[number].line for number in lines]).tolist() == [1]
    assert found.calls == ()


def test_where_they_are_not_asked_for_launches_cost_nothing(fake) -> None:
    with watching() as found:
        assert not fake.enabled & apis.LAUNCHES
    assert len(found.launches.ids) == 0


# The subscription


def test_afterwards_nothing_is_left(fake) -> None:
    with watching():
        assert apis.RUNTIME | SYNCHRONISE in fake.enabled
        assert cupti.in_use.locked()
    assert fake.enabled == set()
    assert fake.called == ["cuptiSubscribe", "cuptiUnsubscribe", "cuptiFinalize"]
    assert not cupti.in_use.locked()


def test_a_call_back_after_the_end_is_nobodys(fake) -> None:
    with watching() as found:
        pass
    fake.runtime(SYNCHRONISE)
    assert found.calls == ()


def test_after_an_error_what_was_seen_is_there_and_nothing_is_left(fake) -> None:
    with pytest.raises(ZeroDivisionError), watching() as found:  # noqa: PT012
        fake.runtime(SYNCHRONISE)
        1 / 0  # noqa: B018
    assert len(found.calls) == 1
    assert fake.enabled == set()
    with watching() as again:
        fake.runtime(SYNCHRONISE)
    assert len(again.calls) == 1


def test_inside_a_recording_of_this_process_cupti_stays(fake) -> None:
    with cupti.in_use, watching():
        pass
    assert "cuptiFinalize" not in fake.called
    assert "cuptiUnsubscribe" in fake.called


def test_two_at_once_are_refused(fake) -> None:
    with watching(), pytest.raises(NoRecordsError, match="watched for waits already"), watching():
        pass


def test_another_tool_is_named(fake, monkeypatch) -> None:
    monkeypatch.setattr(cupti, "holder", lambda: "torch.profiler")
    with pytest.raises(NoRecordsError, match=r"torch\.profiler is recording"), watching():
        pass


@pytest.mark.parametrize("status", [12, 39])
def test_a_subscriber_that_was_there_before_is_told(fake, status: int) -> None:
    fake.status["cuptiSubscribe"] = status
    with pytest.raises(NoRecordsError, match="another tool in this process holds CUPTI"), watching():
        pass
    assert not cupti.in_use.locked()
    assert not waits._one.locked()


def test_calls_that_this_cupti_does_not_know_are_left_out(fake) -> None:
    fake.unknown = frozenset({apis.DRIVER | 800})
    with watching() as found:
        fake.runtime(SYNCHRONISE)
    assert len(found.calls) == 1


def test_a_cupti_that_knows_none_of_them_is_refused(fake) -> None:
    fake.unknown = frozenset(apis.CALLS)
    with pytest.raises(NoRecordsError, match="refused every call, at first with status 1"), watching():
        pass
    assert fake.called[-2:] == ["cuptiUnsubscribe", "cuptiFinalize"]


def test_an_error_in_a_callback_is_counted_and_stays_there(fake, monkeypatch, capsys) -> None:
    monkeypatch.setattr(waits, "perf_counter_ns", lambda: 1 / 0)
    with watching() as found:
        fake.runtime(SYNCHRONISE)
    assert (found.missed, found.calls) == (2, ())
    assert capsys.readouterr().err == ""


def test_an_interrupt_that_rises_in_a_callback_rises_again_in_the_users_code(fake, monkeypatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    before = sys.unraisablehook
    with watching():
        monkeypatch.setattr(waits, "perf_counter_ns", interrupted)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            fake.site(ENTER, apis.RUNTIME | SYNCHRONISE)
            threading.Event().wait(10)
        monkeypatch.undo()
    assert sys.unraisablehook is before


def test_no_call_has_two_meanings() -> None:
    assert len(apis.CALLS) == sum(len(numbers) for *_, calls in apis._TABLE for numbers in calls.values())
    assert not apis.LAUNCHES & set(apis.CALLS)


def test_without_libcupti_it_is_said_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(cupti, "_library", lambda: None)
    with pytest.raises(NoRecordsError, match="pip install nvidia-cuda-cupti"), watching():
        pass


# What only a GPU shows


@pytest.fixture
def array() -> Any:
    import cupy

    array = cupy.arange(1 << 16, dtype=cupy.float32)
    float(array.sum() + array[array > 5].sum())  # compiled, and the pool filled
    cupy.cuda.Device().synchronize()
    return array


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("x.get()", {"copy to the host"}),
        ("float(x.sum())", {"copy to the host"}),
        ("x[x > 5]", {"copy to the host"}),
        ("cupy.cuda.Device().synchronize()", {"synchronise"}),
        ("cupy.cuda.get_current_stream().synchronize()", {"synchronise"}),
        ("cupy.empty(1 << 30, dtype='u1'); cupy.get_default_memory_pool().free_all_blocks()", {"allocate", "free"}),
        ("x * 2; x.sum()", set()),
    ],
)
def test_each_way_to_wait_is_found_on_its_line(array, source: str, kinds: set[str]) -> None:
    import cupy

    names = {"cupy": cupy, "x": array}
    code = compile(f"\n\n{source}", "<cell>", "exec")
    exec(code, names)  # the pool has grown
    with watching() as found:
        exec(code, names)
        cupy.cuda.Device().synchronize()
    told = [seen for seen in found.waits if seen.file == "<cell>"]
    assert {seen.kind for seen in told} == kinds
    assert {seen.line for seen in told} <= {3}
    assert found.missed == 0


@pytest.mark.gpu
def test_a_copy_to_the_host_is_one_wait_of_its_bytes(array) -> None:
    with watching() as found:
        array.get()
    (seen,) = found.waits
    assert (seen.api, seen.bytes) == ("cudaMemcpyAsync + cudaStreamSynchronize", array.nbytes)


@pytest.mark.gpu
def test_a_pageable_copy_waits_and_a_pinned_one_does_not(array) -> None:
    import cupy

    big = cupy.zeros(1 << 24, dtype=cupy.float32)
    pageable = np.ones(1 << 24, dtype=np.float32)
    memory = cupy.cuda.alloc_pinned_memory(big.nbytes)
    pinned = np.frombuffer(memory, dtype=np.float32, count=big.size)
    stream = cupy.cuda.Stream(non_blocking=True)
    with watching() as found:
        for host in (pageable, pinned):
            big.data.copy_from_host_async(ctypes.c_void_p(host.ctypes.data), big.nbytes, stream)
        stream.synchronize()
    copies = [seen for seen in found.calls if seen.kind == "copy to the device"]
    assert [seen.waited for seen in copies] == [True, False]
    assert [seen.bytes for seen in copies] == [big.nbytes] * 2


@pytest.mark.gpu
def test_what_is_waited_for_is_what_it_costs(array) -> None:
    import cupy

    spin = cupy.RawKernel(
        'extern "C" __global__ void spin(long long n) { long long t = clock64(); while (clock64() - t < n); }', "spin"
    )
    spin((1,), (1,), (np.int64(1),))
    cupy.cuda.Device().synchronize()
    with watching() as found:
        spin((1,), (1,), (np.int64(20_000_000),))  # 10 ms at 2 GHz
        array.get()
    (row,) = summary(found.waits)
    assert 5e-3 < row.seconds < 50e-3
    assert row.source == "array.get()"


@pytest.mark.gpu
def test_launches_are_found_by_line_and_launching_works_afterwards(array) -> None:
    import cupy

    for _ in range(2):
        with watching(launches=True) as found:
            for _ in range(3):
                array * 2; at = line()  # fmt: skip # noqa: E702
            cupy.cuda.Device().synchronize()
        lines = [found.launches.table[number].line for number in found.launches.places]
        assert lines == [at] * 3
        assert float((array * 2)[1]) == 2


@pytest.mark.gpu
def test_a_recording_around_it_goes_on_and_knows_the_launches(array) -> None:
    import cupy

    from gpuprof.record.kernels import recording

    with recording() as records:
        with watching(launches=True) as found:
            array * 2
            cupy.cuda.Device().synchronize()
        array * 2
        cupy.cuda.Device().synchronize()
    kernels = records.records
    assert len(kernels.names) == 2
    assert found.launches.ids.tolist() == kernels.correlation[:1].tolist()


@pytest.mark.gpu
@pytest.mark.torch
def test_pytorchs_item_is_found() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(1000, device="cuda")
    x.sum().item()
    with watching() as found:
        x.sum().item(); at = line()  # fmt: skip # noqa: E702
    (seen,) = found.waits
    assert (seen.kind, seen.line, seen.bytes) == ("copy to the host", at, 4)
