"""The device memory that calls take: on a fake CuPy pool and fake PyTorch counters, and on a GPU the real ones."""

import gc
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gpuprof.record.inspect import Inspection, Inspector
from gpuprof.record.memory import MemoryRow, following, watched


class FakePool:
    """CuPy's pool, with its hooks a thread, in blocks of 512 bytes."""

    def __init__(self) -> None:
        self.used = self.kept = 0
        self.thread = threading.local()

    def hooks(self) -> dict[str, Any]:
        return self.thread.__dict__.setdefault("hooks", {})

    def used_bytes(self) -> int:
        return self.used

    def malloc(self, size: int) -> int:
        block = -(-size // 512) * 512
        if self.used + block > self.kept:
            self.kept = self.used + block
            self._tell("alloc_postprocess", device_id=0, mem_size=block, mem_ptr=8)
        self.used += block
        self._tell("malloc_postprocess", device_id=0, size=size, mem_size=block, mem_ptr=8, pmem_id=1)
        return block

    def malloc_without_room(self, size: int) -> None:
        self._tell("malloc_postprocess", device_id=0, size=size, mem_size=size, mem_ptr=0, pmem_id=0)

    def free(self, block: int) -> None:
        self.used -= block

    def _tell(self, what: str, **told: int) -> None:
        for hook in self.hooks().values():
            getattr(hook, what, lambda **_: None)(**told)


def fake_cupy(pool: FakePool) -> SimpleNamespace:
    class MemoryHook:
        name = "MemoryHook"

        def __enter__(self) -> "MemoryHook":
            if self.name in pool.hooks():
                raise KeyError(self.name)
            pool.hooks()[self.name] = self
            return self

        def __exit__(self, *_: object) -> None:
            del pool.hooks()[self.name]

    cuda = SimpleNamespace(MemoryHook=MemoryHook, is_available=lambda: True)
    return SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool)


class FakeTorch:
    """PyTorch's counters."""

    def __init__(self) -> None:
        self.cuda = self
        self.current = self.peak = self.total = self.asked = self.count = self.reserved = self.mallocs = 0

    def is_initialized(self) -> bool:
        return True

    def allocate(self, size: int, misses: int = 0) -> None:
        self.count += 1
        self.asked += size
        self.total += -(-size // 512) * 512
        self.current += -(-size // 512) * 512
        self.peak = max(self.peak, self.current)
        self.mallocs += misses
        self.reserved += misses * 2**21

    def memory_stats_as_nested_dict(self) -> dict[str, Any]:
        return {
            "allocation": {"all": {"allocated": self.count}},
            "requested_bytes": {"all": {"allocated": self.asked}},
            "allocated_bytes": {"all": {"allocated": self.total, "current": self.current, "peak": self.peak}},
            "reserved_bytes": {"all": {"allocated": self.reserved}},
            "num_device_alloc": self.mallocs,
        }


@pytest.fixture
def bare(monkeypatch) -> Any:
    """Neither library is there."""
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if k not in ("cupy", "torch")})
    return sys.modules


@pytest.fixture
def pool(bare) -> Iterator[FakePool]:
    found = FakePool()
    bare["cupy"] = fake_cupy(found)
    yield found
    assert found.hooks() == {}


@pytest.fixture
def torch(bare) -> FakeTorch:
    bare["torch"] = found = FakeTorch()
    return found


def test_a_call_is_told_what_it_asked_for_its_peak_and_what_it_kept(pool) -> None:
    pool.malloc(5000)
    with following() as log:
        log.enter()
        kept, passing = pool.malloc(1000), pool.malloc(600)
        pool.free(passing)
        row = log.leave()
    assert row == MemoryRow(allocated=1600, allocations=2, peak=2048, retained=1024, grown=2048, grows=2)
    assert kept == 1024


def test_a_pool_that_has_the_room_does_not_grow(pool) -> None:
    pool.free(pool.malloc(4096))
    with following() as log:
        log.enter()
        pool.malloc(512)
        row = log.leave()
    assert (row.grown, row.grows, row.retained) == (0, 0, 512)


def test_what_a_call_gives_back_is_below_zero(pool) -> None:
    block = pool.malloc(512)
    with following() as log:
        log.enter()
        pool.free(block)
        row = log.leave()
    assert (row.retained, row.peak) == (-512, 0)


def test_a_parents_figures_include_its_childrens(pool) -> None:
    with following() as log:
        log.enter()
        pool.malloc(512)
        log.enter()
        inner_block = pool.malloc(2048)
        pool.free(inner_block)
        inner = log.leave()
        pool.malloc(512)
        outer = log.leave()
    assert inner == MemoryRow(2048, 1, 2048, 0, 2048, 1)
    assert outer == MemoryRow(3072, 3, 2560, 1024, 2560, 2)


def test_a_childs_peak_is_above_what_was_in_use_when_it_began(pool) -> None:
    with following() as log:
        log.enter()
        pool.free(pool.malloc(1024))
        log.enter()
        pool.malloc(512)
        assert log.leave().peak == 512
        assert log.leave().peak == 1024


def test_an_allocation_that_failed_is_none(pool) -> None:
    with following() as log:
        log.enter()
        pool.malloc_without_room(2**40)
        assert log.leave() == MemoryRow(0, 0, 0, 0, 0, 0)


def test_what_an_interrupt_left_open_ends_with_the_call_around_it(pool) -> None:
    with following() as log:
        around = log.enter()
        log.enter()
        pool.malloc(512)
        log.enter()
        pool.malloc(512)
        row = log.leave(around)
        assert (row.allocations, row.peak) == (2, 1024)
        assert pool.hooks() == {}


def test_what_is_still_open_at_the_end_is_ended(pool) -> None:
    with following() as log:
        log.enter()
        log.enter()
    assert pool.hooks() == {}


def test_the_users_own_hooks_stay(pool, bare) -> None:
    seen: list[int] = []

    class Theirs(bare["cupy"].cuda.MemoryHook):
        name = "theirs"

        def malloc_postprocess(self, *, size: int, **_: object) -> None:
            seen.append(size)

    with Theirs() as theirs, following() as log:
        log.enter()
        pool.malloc(7)
        log.leave()
        assert pool.hooks() == {"theirs": theirs}
    assert seen == [7]


def test_two_logs_at_once_and_what_is_watched_do_not_meet(pool) -> None:
    with following() as one, following() as other, watched() as memory:
        one.enter()
        other.enter()
        pool.malloc(512)
        assert one.leave() == other.leave()
    assert memory.allocations == 1


def test_each_thread_has_its_own_calls(pool) -> None:
    rows: list[MemoryRow] = []

    def work() -> None:
        log.enter()
        pool.malloc(512)
        rows.append(log.leave())

    with following() as log:
        log.enter()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        mine = log.leave()
    assert (rows[0].allocations, mine.allocations, mine.retained) == (1, 0, 512)


def test_pytorchs_counters_are_told_as_differences(torch) -> None:
    torch.allocate(1000)
    with following() as log:
        log.enter()
        torch.allocate(700, misses=1)
        assert log.leave() == MemoryRow(700, 1, 1024, 1024, 2**21, 1)


def test_a_peak_of_pytorchs_that_an_earlier_one_hides_is_not_told(torch) -> None:
    torch.allocate(4096)
    torch.current = 0
    with following() as log:
        log.enter()
        torch.allocate(512)
        assert log.leave().peak is None


def on_a_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize("runs", [True, False])
def test_on_autograds_own_thread_a_call_is_watched_and_on_others_it_is_not(bare, torch, pool, runs: bool) -> None:
    """CuPy's pool has no hook there."""
    torch.autograd = SimpleNamespace(profiler=SimpleNamespace())
    torch._C = SimpleNamespace(_current_graph_task_id=lambda: 7 if runs else -1)
    inspection = Inspection(frozenset(), launches=False)
    inspector = Inspector(inspection, 0)

    def backward() -> None:
        inspector.entered(3)
        torch.allocate(700)
        assert not pool.hooks()
        inspector.left(3)

    on_a_thread(backward)
    inspector.entered(4)
    on_a_thread(lambda: inspector.left(4))  # ended by another thread than the one that began it
    inspector.stop()
    inspector.finish()
    rows = inspection.columns()
    assert rows["call"].tolist() == ([3] if runs else [])
    assert rows["allocated"].tolist() == ([700] if runs else [])


def test_where_pytorch_allocates_nothing_its_peak_is_none_at_all(torch) -> None:
    with following() as log:
        log.enter()
        assert log.leave() == MemoryRow(0, 0, 0, 0, 0, 0)


def test_of_two_libraries_the_peak_is_that_of_the_one_that_allocates(pool, torch) -> None:
    with following() as log:
        log.enter()
        pool.malloc(512)
        assert log.leave().peak == 512
        log.enter()
        torch.allocate(1024)
        assert log.leave().peak == 1024
        log.enter()
        pool.malloc(512)
        torch.allocate(1024)
        both = log.leave()
    assert (both.peak, both.allocations, both.retained) == (None, 2, 1536)


def test_without_a_library_nothing_is_told(bare) -> None:
    with following() as log:
        log.enter()
        assert log.leave() == MemoryRow(0, 0, None, 0, 0, 0)


def test_what_is_watched_is_there_after_an_error_too(pool) -> None:
    with pytest.raises(ZeroDivisionError), watched() as memory:  # noqa: PT012
        pool.malloc(1000)
        1 / 0  # noqa: B018
    assert (memory.allocations, memory.misses, memory.peak, memory.retained) == (1, 1, 1024, 1024)


@pytest.mark.gpu
def test_cupys_pool_is_followed() -> None:
    import cupy

    keep = cupy.ones(1 << 10, dtype=cupy.float32)
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    with following() as log:
        log.enter()
        log.enter()
        passing = cupy.empty(1 << 22, dtype=cupy.float32)
        del passing
        inner = log.leave()
        kept = cupy.empty(1 << 20, dtype=cupy.float32)
        outer = log.leave()
    assert inner[:4] == (1 << 24, 1, 1 << 24, 0)
    assert (inner.grown, inner.grows) in ((1 << 24, 1), (0, 0))  # a block that another test still holds may be split
    assert (outer.allocated, outer.allocations, outer.peak) == (5 << 22, 2, 1 << 24)
    assert (outer.retained, outer.grows) == (1 << 22, inner.grows)
    assert keep.nbytes + kept.nbytes == (1 << 12) + (1 << 22)
