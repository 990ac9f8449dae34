"""What a device does at best: measured once on fakes with known rates, kept, and measured again where it must be."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from gpuprof import ceilings as room
from gpuprof import workloads
from gpuprof.ceilings import best_seconds, ceilings, copy_rate, product_rate
from gpuprof.judge.cost import Ceilings
from gpuprof.testing import FakeClock

COPY, PRODUCT = 4e12, 50e12


class FakeGpu:
    """A device with known rates; it notes what it was asked for."""

    def __init__(self, free: int = 100 << 30, rate: float = PRODUCT) -> None:
        self.clock = FakeClock(device=True, launch_cost=1e-6)
        self.name = "NVIDIA X, 132 SMs"
        self.l2 = 60 << 20
        self.asked: list[object] = []
        self.inside = 0
        self._free = free
        self._rate = rate

    def free(self) -> int:
        return self._free

    @contextmanager
    def working(self, dtype: str) -> Iterator[None]:
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def copy(self, size: int) -> Callable[[], None]:
        assert self.inside
        self.asked.append(size)
        return lambda: self.clock.launch(2 * size / COPY)

    def product(self, side: int, dtype: str) -> Callable[[], None]:
        assert self.inside
        self.asked.append((side, dtype))
        return lambda: self.clock.launch(2 * side**3 / self._rate)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path) -> FakeGpu:
    """The current device is a fake one, and nothing is known of it."""
    fake = FakeGpu()
    monkeypatch.setenv("GPUPROF_CACHE", str(tmp_path))
    monkeypatch.setattr(room, "_known", {})
    monkeypatch.setattr(room, "current_gpu", lambda: fake)
    monkeypatch.setattr(room, "identity", lambda: "GPU-8a · 580.65")
    monkeypatch.setattr(room, "state", lambda: {"other_processes": "unknown"})
    return fake


def test_ceilings_are_the_devices_rates(gpu: FakeGpu) -> None:
    found = ceilings("float32")
    assert found.copy == pytest.approx(COPY, rel=1e-3)
    assert found.flops == {"float32": pytest.approx(PRODUCT, rel=1e-3)}
    assert found.l2 == 60 << 20
    assert gpu.inside == 0


def test_a_measurement_is_made_once(gpu: FakeGpu) -> None:
    first = ceilings("float32")
    asked = len(gpu.asked)
    assert ceilings("float32") is first
    assert ceilings() is first
    assert len(gpu.asked) == asked


def test_a_new_process_reads_the_file_and_adds_the_type_it_lacks(gpu: FakeGpu) -> None:
    ceilings("float32")
    room._known.clear()
    gpu.asked.clear()
    found = ceilings("float16")
    assert found.flops.keys() == {"float32", "float16"}
    assert {dtype for _, dtype in gpu.asked} == {"float16"}
    room._known.clear()
    assert ceilings() == found


def test_another_gpu_or_driver_is_measured_anew(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    ceilings()
    monkeypatch.setattr(room, "identity", lambda: "GPU-8a · 590.10")
    gpu.asked.clear()
    ceilings()
    assert gpu.asked
    assert len(json.loads(room.cache_file().read_text())) == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        '{"KEY": 3}',
        '{"KEY": {"copy": "x"}}',
        '{"KEY": {"copy": -1, "l2": 1, "flops": {}}}',
        '{"KEY": {"copy": 1, "l2": 1, "flops": 7}}',
        '{"KEY": {"copy": 1, "l2": 1, "flops": {"float32": NaN}}}',
    ],
)
def test_a_damaged_file_is_measured_anew_and_mended(gpu: FakeGpu, content: str) -> None:
    room.cache_file().write_text(content.replace("KEY", "NVIDIA X, 132 SMs · GPU-8a · 580.65"))
    found = ceilings("float32")
    assert found.copy == pytest.approx(COPY, rel=1e-3)
    room._known.clear()
    assert ceilings("float32") == found


def test_a_folder_that_cannot_be_written_is_no_error(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPUPROF_CACHE", str(tmp_path / "file" / "folder"))
    assert ceilings() is not None
    assert ceilings() is not None


def test_nothing_but_the_file_is_left(gpu: FakeGpu, tmp_path) -> None:
    ceilings()
    assert [file.name for file in tmp_path.iterdir()] == ["ceilings.json"]


def test_rates_taken_beside_other_processes_are_not_kept(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "state", lambda: {"other_processes": 2})
    assert ceilings() is not None
    assert not room.cache_file().exists()


def test_the_files_place_is_the_users_to_choose(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv("GPUPROF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert room.cache_file() == tmp_path / "gpuprof" / "ceilings.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert room.cache_file() == tmp_path / ".cache" / "gpuprof" / "ceilings.json"


def test_without_a_gpu_there_are_no_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "current_gpu", lambda: None)
    assert ceilings("float32") is None


def test_an_unknown_type_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="one of float16, bfloat16, tf32, float32, float64; got 'int8'"):
        ceilings("int8")


def test_a_type_that_cannot_be_multiplied_is_left_out(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "gpu_for", lambda *_: None)
    assert ceilings("bfloat16").flops == {}


def test_what_there_is_no_room_for_is_left_out(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(gpu, "product", no_room)
    assert ceilings("float32").flops == {}
    monkeypatch.setattr(gpu, "copy", no_room)
    room._known.clear()
    room.cache_file().unlink()
    assert ceilings() is None
    assert gpu.inside == 0


@pytest.mark.parametrize(("free", "size"), [(100 << 30, 480 << 20), (1 << 30, 128 << 20)])
def test_the_copy_is_eight_times_the_cache_and_an_eighth_of_the_memory_at_most(free: int, size: int) -> None:
    gpu = FakeGpu(free)
    copy_rate(gpu)
    assert gpu.asked == [size]


@pytest.mark.parametrize(
    ("free", "rate", "side"), [(100 << 30, 50e12, 8192), (8 << 30, 50e12, 4096), (100 << 30, 0.5e12, 2048)]
)
def test_the_matrices_are_as_large_as_memory_and_time_allow(free: int, rate: float, side: int) -> None:
    gpu = FakeGpu(free, rate)
    assert product_rate(gpu, "float64") == pytest.approx(rate, rel=1e-3)
    assert gpu.asked[-1] == (side, "float64")


def test_the_best_batch_counts() -> None:
    clock = FakeClock(device=True)
    lengths = iter([0.5, *[3e-2] * 4, 2e-2, *[3e-2] * 100])
    assert best_seconds(lambda: clock.launch(next(lengths)), clock) == pytest.approx(2e-2)


def test_measuring_on_a_big_gpu_takes_a_third_of_a_second() -> None:
    gpu = FakeGpu()
    for measure in (copy_rate, lambda gpu: product_rate(gpu, "float32")):
        start = gpu.clock.host()
        measure(gpu)
        assert gpu.clock.host() - start < 0.35e9


def test_bfloat16_goes_through_pytorch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu()
    monkeypatch.setattr(workloads, "_torch_gpu", lambda: "torch")
    assert workloads.gpu_for("float16", gpu) is gpu
    assert workloads.gpu_for("bfloat16", gpu) == "torch"


def test_no_library_in_use_does_no_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("cupy", "torch"):
        monkeypatch.delitem(sys.modules, library, raising=False)
    assert not workloads.does_tf32("cupy")
    assert not workloads.does_tf32("torch")


def test_cupys_own_setting_tells_of_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    core = SimpleNamespace(
        get_compute_type=lambda _: 7, _routines_linalg=SimpleNamespace(COMPUTE_TYPE_TF32=7, COMPUTE_TYPE_DEFAULT=1)
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(_core=core))
    assert workloads.does_tf32("cupy")


@pytest.mark.torch
def test_pytorchs_setting_tells_of_tf32() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert workloads.does_tf32("torch")
        torch.set_float32_matmul_precision("highest")
        assert not workloads.does_tf32("torch")
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
def test_the_gpus_ceilings_are_measured_and_its_memory_is_given_back(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    import cupy

    monkeypatch.setenv("GPUPROF_CACHE", str(tmp_path))
    monkeypatch.setattr(room, "_known", {})
    held = cupy.get_default_memory_pool().total_bytes()
    found: Ceilings = ceilings("float32")
    fast = ceilings("tf32")
    assert cupy.get_default_memory_pool().total_bytes() == held
    assert 1e11 < found.copy < 1e14
    assert found.l2 > 1 << 20
    assert fast.flops["tf32"] > 1.5 * found.flops["float32"] > 1e12
    assert not workloads.does_tf32("cupy")
    assert room.cache_file().exists()


@pytest.mark.gpu
@pytest.mark.torch
def test_pytorch_measures_the_same_copy_rate_and_bfloat16() -> None:
    torch = pytest.importorskip("torch")
    torch.zeros(1, device="cuda")
    through_torch = copy_rate(workloads.TorchGpu(torch))
    through_cupy = copy_rate(workloads.current_gpu())
    assert through_torch == pytest.approx(through_cupy, rel=0.1)
    assert product_rate(workloads.TorchGpu(torch), "bfloat16") > 1e13
