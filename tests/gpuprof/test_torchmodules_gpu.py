"""PyTorch's modules on a GPU: spins of known length in forwards and backwards, and whose they are found to be."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpuprof
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import KERNELS, Block, Mode
from gpuprof.results.profile import Profile

torch = pytest.importorskip("torch", reason="needs PyTorch: make test TORCH=1")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a PyTorch that finds the GPU"),
]

RECORDED = [Block(KERNELS, 1 << 62, 1e9)]
MARKED = [Block(Mode.EVENTS, 1 << 62, 1e9)]
STEPS = 8


class _Spun(torch.autograd.Function):
    """x, after spins of so many cycles in the forward, and of others in the backward."""

    @staticmethod
    def forward(ctx: Any, x: Any, cycles: tuple[int, int]) -> Any:
        ctx.cycles = cycles
        torch.cuda._sleep(cycles[0])
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> tuple[Any, None]:
        torch.cuda._sleep(ctx.cycles[1])
        return gradient.clone(), None


class Spin(nn.Module):
    """Spins for `forward` and for `backward` thousand cycles."""

    def __init__(self, forward: int, backward: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.cycles = forward * 1000, backward * 1000

    def forward(self, x: Any) -> Any:
        return _Spun.apply(x * self.weight, self.cycles)


class Net(nn.Module):
    """What `does` does with the modules given."""

    def __init__(self, does: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._does = does

    def forward(self, *args: Any) -> Any:
        return self._does(self, *args)


def ones(requires_grad: bool = False, device: str = "cuda") -> Any:
    return torch.ones(2, 3, device=device, requires_grad=requires_grad)


def us_per_kilocycle() -> float:
    """How long a spin of 1000 cycles takes, µs; the GPU's clock may have risen since."""
    found = []
    for _ in range(5):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(1_000_000)
        begin.record()
        torch.cuda._sleep(4_000_000)
        end.record()
        torch.cuda.synchronize()
        found.append(begin.elapsed_time(end) / 4)
    return statistics.median(found)


def profiled(
    step: Callable[[], object], *models: object, blocks: list[Block] | None = None, steps: int = STEPS
) -> Profile:
    step()  # compiles, allocates
    torch.cuda.synchronize()
    with LayerTime(models, blocks=RECORDED if blocks is None else blocks) as run:
        for _ in range(steps):
            step()
    return run.profile


def spins(profile: Profile) -> dict[str, list[float]]:
    """By row, how long each of its spins ran, in thousands of cycles."""
    kilocycle = us_per_kilocycle()
    found: dict[str, list[float]] = {}
    for path, phase, name, us in profile.kernels[["path", "phase", "name", "span_us"]].itertuples(index=False):
        if "spin" in name:
            found.setdefault(f"{path}.{phase}" if phase else path, []).append(us / kilocycle)
    return found


def check(profile: Profile, expected: dict[str, int], steps: int = STEPS) -> None:
    """Each row has one spin a step, of its length and no other."""
    found = spins(profile)
    assert {row: len(each) for row, each in found.items()} == dict.fromkeys(expected, steps)
    for row, kilocycles in expected.items():
        assert np.median(found[row]) == pytest.approx(kilocycles, rel=0.15), row
    assert profile.seen.kernels.unknown == 0
    assert profile.seen.kernels.dropped == 0
    assert profile.warnings == []


def nested() -> Net:
    """Five lengths forward, five backward; a relu in place, a sum, and spins of the model itself."""

    def does(net: Any, x: Any) -> Any:
        h = net.relu(net.first(x))
        return _Spun.apply(net.block(h), (1300_000, 1700_000)) + h

    block = nn.Sequential(Spin(300, 500), Spin(700, 900))
    return Net(does, first=Spin(100, 200), relu=nn.ReLU(inplace=True), block=block).cuda()


ROWS = {
    "first.forward": 100, "first.backward": 200, "block.0.forward": 300, "block.0.backward": 500,
    "block.1.forward": 700, "block.1.backward": 900, "Net.forward": 1300, "Net.backward": 1700,
}  # fmt: skip


@pytest.mark.gpu
def test_each_kernel_is_of_the_module_that_launched_it_or_whose_node_did() -> None:
    net = nested()
    check(profiled(lambda: net(ones()).sum().backward(), net), ROWS)


@pytest.mark.gpu
def test_what_is_launched_for_no_module_is_outside_both_ways() -> None:
    """The loss's nodes run on autograd's thread before any module's; what is between two modules, between them."""
    first, last = Spin(100, 200).cuda(), Spin(300, 500).cuda()

    def step() -> None:
        x = _Spun.apply(first(ones()), (700_000, 900_000))
        _Spun.apply(last(x), (700_000, 900_000)).sum().backward()

    profile = profiled(step, {"first": first, "last": last})
    found = spins(profile)
    outside = found.pop("(outside)")
    assert sorted(round(each / 100) for each in outside) == [7] * 2 * STEPS + [9] * 2 * STEPS
    assert {row: len(each) for row, each in found.items()} == dict.fromkeys(
        ["first.forward", "last.forward", "first.backward", "last.backward"], STEPS
    )
    assert profile.clock == "CUDA events"
    assert profile.closure < 0.02


@pytest.mark.gpu
def test_by_events_alone_each_row_has_its_time() -> None:
    net = nested()
    profile = profiled(lambda: net(ones()).sum().backward(), net, blocks=MARKED, steps=20)
    kilocycle = us_per_kilocycle()
    for row, kilocycles in ROWS.items():
        path, _, phase = row.rpartition(".")
        assert profile[path, phase].median_us == pytest.approx(kilocycles * kilocycle, rel=0.15, abs=30), row
    assert profile.closure < 0.02
    assert profile.warnings == []


@pytest.mark.gpu
def test_a_long_cell_takes_its_turns_and_adds_up() -> None:
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).cuda()
    adam, x = torch.optim.Adam(net.parameters()), torch.rand(32, 64, device="cuda")
    with gpuprof.layertime(net, kernels=True) as run:
        for _ in range(300):
            adam.zero_grad()
            net(x).square().sum().backward()
            adam.step()
    profile = run.profile
    assert profile.warnings == []
    assert profile.closure < 0.02
    for row in ("0.forward", "0.backward", "2.backward", "Adam.update", "Sequential.backward"):
        path, _, phase = row.rpartition(".")
        assert profile[path, phase].calls == 300
    assert profile["0", "backward"].launches >= 1
    assert profile["Adam", "update"].launches >= 1
    assert profile["2", "backward"].launches >= 2
    assert profile.kernels.loc[profile.kernels["phase"] == "backward", "path"].isin(["0", "1", "2", "Sequential"]).all()
    assert {"first_ms", "host_us", "busy_us"} <= set(profile.table.columns)


@pytest.mark.gpu
@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_computes_again_is_told_apart(reentrant: bool) -> None:
    net = Net(
        lambda net, x: net.last(checkpoint(net.block, net.first(x), use_reentrant=reentrant)),
        first=Spin(100, 200), block=nn.Sequential(Spin(300, 500), nn.Sigmoid()), last=Spin(700, 900),
    ).cuda()  # fmt: skip
    check(
        profiled(lambda: net(ones()).sum().backward(), net),
        {
            "first.forward": 100, "first.backward": 200, "block.0.forward": 300, "block.0.backward": 500,
            "block.0.recompute": 300, "last.forward": 700, "last.backward": 900,
        },
    )  # fmt: skip


@pytest.mark.gpu
def test_on_another_stream() -> None:
    net, stream = nested(), torch.cuda.Stream()

    def step() -> None:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            net(ones()).sum().backward()

    check(profiled(step, net), ROWS)
    profile = profiled(step, net, blocks=MARKED, steps=20)
    kilocycle = us_per_kilocycle()
    assert profile["block.1", "backward"].median_us == pytest.approx(900 * kilocycle, rel=0.15, abs=30)
    assert set(profile.log["stream"][profile.log["device"] >= 0]) == {stream.cuda_stream}


@pytest.mark.gpu
def test_the_backward_of_a_backward_is_in_no_module() -> None:
    net = Net(lambda net, x: net.last(torch.tanh(net.first(x))), first=Spin(100, 200), last=Spin(300, 500)).cuda()

    def step() -> None:
        x = ones(True)
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        slope.square().sum().backward()

    profile = profiled(step, net)
    found = spins(profile)
    assert {"first.forward", "last.forward", "first.backward", "last.backward"} == set(found) - {"(outside)"}
    assert np.median(found["last.backward"]) == pytest.approx(500, rel=0.15)
    assert np.median(found["first.backward"]) == pytest.approx(200, rel=0.15)


@pytest.mark.gpu
def test_half_of_a_model_on_the_processor() -> None:
    """autograd runs the processor's nodes on the calling thread, and the GPU's on one of its own."""
    net = Net(lambda net, x: net.c(net.b(net.a(x).cuda()).cpu()), a=nn.Linear(3, 3), b=Spin(300, 500).cuda(),
              c=nn.Linear(3, 3))  # fmt: skip
    profile = profiled(lambda: net(ones(device="cpu")).sum().backward(), net)
    check(profile, {"b.forward": 300, "b.backward": 500})
    for path in "abc":
        assert profile[path, "backward"].calls == STEPS


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_model_on_two_gpus() -> None:
    """Each module is marked on its own GPU, whichever is the current one."""

    def does(net: Any, x: Any) -> Any:
        return net.c(net.b(net.a(x).to("cuda:1")).to("cuda:0"))

    net = Net(does, a=Spin(500, 900).to("cuda:0"), b=Spin(1300, 1700).to("cuda:1"), c=Spin(2100, 2500).to("cuda:0"))
    step = lambda: net(ones(device="cuda:0")).sum().backward()  # noqa: E731
    found = spins(profiled(step, net))
    assert {row: len(each) for row, each in found.items()} == dict.fromkeys(
        [f"{path}.{phase}" for path in "abc" for phase in ("forward", "backward")], STEPS
    )
    profile = profiled(step, net, blocks=MARKED, steps=20)
    kilocycle = us_per_kilocycle()
    for row, kilocycles in {"b.forward": 1300, "b.backward": 1700, "c.backward": 2500, "a.backward": 900}.items():
        path, _, phase = row.rpartition(".")
        assert profile[path, phase].span_us == pytest.approx(kilocycles * kilocycle, rel=0.15, abs=60), row
    rows = profile.calls[profile.calls["path"] == "b"]
    assert set(rows["device"]) == {1}


@pytest.mark.gpu
def test_cupy_layers_and_modules_in_one_cell() -> None:
    cupy = pytest.importorskip("cupy")
    array = cupy.ones(1 << 20)

    class Layer:
        name = "L"

        def forward(self, x: object) -> None:
            cupy.multiply(array, 2, out=array)

        def backward(self, dy: object) -> None:
            cupy.multiply(array, 0.5, out=array)

    layer, net = Layer(), nested()
    layer.array = array

    def step() -> None:
        layer.forward(0)
        layer.backward(0)
        net(ones()).sum().backward()

    profile = profiled(step, [layer], net)
    found = spins(profile)
    assert {row: len(each) for row, each in found.items()} == dict.fromkeys(ROWS, STEPS)
    assert profile["L", "forward"].launches == profile["L", "backward"].launches == 1


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:The AccumulateGrad node's stream")  # of capturing, before any profile
def test_a_module_as_a_cuda_graph_is_one_row() -> None:
    net = Net(
        lambda net, x: net.last(net.block(x)),
        block=nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256)), last=nn.Linear(256, 10),
    ).cuda()  # fmt: skip
    x = torch.rand(64, 256, device="cuda", requires_grad=True)
    torch.cuda.make_graphed_callables(net.block, (x,))
    profile = profiled(lambda: net(x).sum().backward(), net)
    rows = {(row.path, row.phase): row for row in profile.table.itertuples()}
    assert ("block.0", "forward") not in rows
    assert rows["block", "forward"].launches >= 2
    assert rows["block", "backward"].launches >= 2


@pytest.mark.gpu
def test_a_captured_step_is_in_no_module() -> None:
    net = nn.Sequential(nn.Linear(256, 256), nn.ReLU()).cuda()
    x, graph = torch.rand(64, 256, device="cuda"), torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), torch.no_grad():
        net(x)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph), torch.no_grad():
        net(x)
    profile = profiled(graph.replay, net)
    assert set(profile.kernels["path"]) <= {"(outside)"}
    assert "No layer was called" in profile.verdict


@pytest.mark.gpu
def test_compiled_modules_are_whole_on_a_gpu() -> None:
    encoder = torch.compile(nn.Sequential(nn.Linear(64, 64), nn.ReLU()).cuda(), backend="aot_eager")
    net = Net(lambda net, x: net.head(net.encoder(x)), encoder=encoder, head=nn.Linear(64, 8)).cuda()
    x = torch.rand(32, 64, device="cuda")
    profile = profiled(lambda: net(x).sum().backward(), net)
    rows = {(row.path, row.phase): row.launches for row in profile.table.itertuples()}
    assert rows["encoder", "forward"] >= 1
    assert rows["encoder", "backward"] >= 1
    assert not any(path.startswith("encoder.") for path, _ in rows)


@pytest.mark.gpu
def test_no_memory_is_held_for_being_profiled() -> None:
    net = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)).cuda()
    x = torch.rand(1024, 1024, device="cuda")

    def peak(profile: bool) -> int:
        net.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        for _ in range(3):
            if profile:
                with gpuprof.layertime(net, kernels=False):
                    net(x).sum().backward()
            else:
                net(x).sum().backward()
            net.zero_grad(set_to_none=True)
        return int(torch.cuda.max_memory_allocated())

    plain = peak(profile=False)
    assert peak(profile=True) == plain


@pytest.mark.gpu
def test_mixed_precision_with_a_scaler() -> None:
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).cuda()
    sgd, scaler = torch.optim.SGD(net.parameters(), lr=0.01), torch.amp.GradScaler("cuda", init_scale=1.0)
    x = torch.rand(32, 64, device="cuda")

    def step() -> None:
        sgd.zero_grad()
        with torch.autocast("cuda", torch.float16):
            loss = net(x).float().square().mean()
        scaler.scale(loss).backward()
        scaler.step(sgd)
        scaler.update()

    profile = profiled(step, net)
    for path, phase in (("0", "forward"), ("2", "backward"), ("0", "backward"), ("SGD", "update")):
        assert profile[path, phase].calls == STEPS
        assert profile[path, phase].launches >= 1


@pytest.mark.gpu
def test_waits_and_memory_of_modules_are_watched() -> None:
    class Waits(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * float(x.detach().sum())

    net = nn.Sequential(nn.Linear(64, 64), Waits()).cuda()
    x = torch.rand(32, 64, device="cuda")
    with gpuprof.layertime(net, kernels=True) as run:
        for _ in range(40):
            net(x).sum().backward()
    profile = run.profile
    assert any("float(x.detach().sum())" in source for source in profile.waits["source"])
    memory = profile.memory.set_index(["path", "phase"])
    assert memory.loc[("0", "forward"), "allocated_bytes"] >= 32 * 64 * 4
    assert ("0", "backward") in memory.index
