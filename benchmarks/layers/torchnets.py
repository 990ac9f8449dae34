"""PyTorch's modules: each one's busy time against torch.profiler's own attribution, and what it costs to tell.

Three nets of one's own code: the article's (seven modules), a ResNet-18 for small images, a small transformer.
torch.profiler watches in passes of its own. It knows nothing of modules, so each forward is put into a range of its
name; a kernel belongs to the range of the operation that launched it, and in backward to that of the forward operation
with the same sequence number, as torch.profiler tells both. That is another way than ours: it needs no graph. How long
kernels take it tells in a further pass that watches the device alone, for to watch the host slows it, and a GPU that
waits for its host runs the same kernels in other times; the n-th kernel of a step is the same in both.
"""

from __future__ import annotations

import functools
import math
import re
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.layers.kept import claim
from benchmarks.layers.nets import TorchStep
from benchmarks.layers.peers import hooks
from benchmarks.layers.turns import added, in_turns, ratio
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import KERNELS, Block, Mode

WITHIN, RATIO = 0.02, 1.25
LEAST_US = 5.0
"""A row with less a step is a kernel or two: two sessions' own spread is more than the 2 %."""
FEW = 0.05
_FOR_EVER = 1 << 62
_WAYS: dict[str, list[Block] | None] = {
    "events": [Block(Mode.EVENTS, _FOR_EVER, math.inf)],
    "hooks alone": [Block(Mode.PLAIN, _FOR_EVER, math.inf)],
    "as asked for": None,
}
"""How the calls are hooked: each marked, none, or taking turns as in `layertime(kernels=False)`."""
LONGER = 4
"""Times as long is a turn of the last: it has more marked steps at its beginning than later."""


class Step:
    """Training steps of a net on one batch."""

    def __init__(self, net: Any, x: Any, t: Any, device: str) -> None:
        import torch

        self.torch, self.device, self.net = torch, device, net
        self._x, self._t = x, t
        self.optimizer = torch.optim.AdamW(net.parameters(), fused=device == "cuda")

    def run(self, steps: int) -> float:
        """So many of them, and the device waited for; seconds."""
        start = time.perf_counter()
        for _ in range(steps):
            self.optimizer.zero_grad(set_to_none=True)
            found = self.net(self._x)
            self.torch.nn.functional.cross_entropy(found.flatten(0, -2), self._t).backward()
            self.optimizer.step()
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return time.perf_counter() - start


def article(device: str, small: bool = False) -> Any:
    """The article's net, as the peers have it: a step of about 1 ms, bound by launches."""
    return TorchStep(2 if small else 8, device)


def resnet(device: str, small: bool = False) -> Step:
    """ResNet-18 for images of 32 × 32: sums and ReLUs in place, modules used twice."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(after)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(after)
            same = stride == 1 and before == after
            self.down = None if same else nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            y += x if self.down is None else self.down(x)
            return self.relu(y)

    class ResNet(nn.Module):
        def __init__(self, widths: tuple[int, ...], depth: int) -> None:
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
            )
            blocks, before = [], widths[0]
            for stage, width in enumerate(widths):
                for place in range(depth):
                    blocks.append(Block(before, width, 2 if stage and not place else 1))
                    before = width
            self.layers = nn.Sequential(*blocks)
            self.fc = nn.Linear(before, 10)

        def forward(self, x: Any) -> Any:
            return self.fc(self.layers(self.stem(x)).mean((2, 3)))

    net = ResNet((4, 8), 1) if small else ResNet((64, 128, 256, 512), 2)
    n = 2 if small else 64
    x, t = torch.rand(n, 3, 32, 32), torch.randint(0, 10, (n,))
    return Step(net.to(device), x.to(device), t.to(device), device)


def transformer(device: str, small: bool = False) -> Step:
    """Four blocks of attention and a perceptron before which the mean is taken; the first and last weight are one."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Attention(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            n, length, width = x.shape
            qkv = self.qkv(x).view(n, length, 3, self.heads, width // self.heads).transpose(1, 3)
            y = nn.functional.scaled_dot_product_attention(*qkv.unbind(2), is_causal=True)
            return self.out(y.transpose(1, 2).reshape(n, length, width))

    class Block(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
            self.norm2 = nn.LayerNorm(width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Transformer(nn.Module):
        def __init__(self, words: int, length: int, width: int, heads: int, depth: int) -> None:
            super().__init__()
            self.embed = nn.Embedding(words, width)
            self.place = nn.Parameter(torch.zeros(length, width))
            self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x: Any) -> Any:
            x = self.embed(x) + self.place
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    words, length, width, heads, depth, n = (11, 4, 8, 2, 1, 2) if small else (4096, 128, 256, 4, 4, 16)
    x, t = torch.randint(0, words, (n, length)), torch.randint(0, words, (n * length,))
    return Step(Transformer(words, length, width, heads, depth).to(device), x.to(device), t.to(device), device)


NETS: dict[str, Callable[..., Any]] = {
    "article's net in PyTorch": article,
    "ResNet-18": resnet,
    "transformer": transformer,
}


def measure(device: str = "cuda", rounds: int = 8, seconds: float = 0.25, small: bool = False) -> dict[str, Any]:
    """What each net costs, while CUPTI has never been used, then whether it is right; a turn takes about `seconds`."""
    made = {name: make(device, small) for name, make in NETS.items()}
    found: dict[str, Any] = {name: {"cost": cost(step, rounds, seconds)} for name, step in made.items()}
    for name, step in made.items():
        found[name]["busy"] = compared(step, 3 if not small else 1, 10 if not small else 2)
    return {"nets": found, "claims": [each for name, one in found.items() for each in claims(name, one)]}


def cost(step: Any, rounds: int, seconds: float) -> dict[str, Any]:
    """Seconds a step in each way, in turns; PyTorch's own hooks with events beside them."""
    marks = [0]
    step.run(20 if step.device == "cuda" else 2)
    steps = max(1, round(seconds / (step.run(10 if seconds else 1) / (10 if seconds else 1))))

    def under(watching: Callable[[], Any], steps: int = steps) -> Callable[[], float]:
        def timed() -> float:
            with watching():
                step.run(3)
                return float(step.run(steps)) / steps

        return timed

    ways: dict[str, Callable[[], float]] = {"plain": lambda: step.run(steps) / steps}
    for name, blocks in _WAYS.items():
        watching = functools.partial(LayerTime, (step.net,), kernels=False, blocks=blocks)
        ways[name] = under(watching, steps if blocks else LONGER * steps)
    if isinstance(step, TorchStep):
        ways["peer: PyTorch's hooks with events"] = under(lambda: hooks(step, marks))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's: a first layer's input needs no gradient
        times = in_turns(ways, rounds)
    with LayerTime((step.net,), kernels=False, blocks=_WAYS["hooks alone"]) as run:
        step.run(2)
    return {"steps": steps, "step_s": times, "calls": len(run.profile.calls) / 2}


def compared(step: Any, rounds: int, steps: int) -> dict[str, Any]:
    """Each row's µs a step, ours and torch.profiler's: medians over the rounds, which take turns."""
    rows: dict[str, dict[str, list[float]]] = {}
    trouble: list[str] = []
    for _ in range(rounds):
        try:
            both = {"ours": ours(step, steps), "theirs": theirs(step, steps)}
        except ValueError as error:
            trouble.append(str(error))
            continue
        for who, measured in both.items():
            for row, us in measured.items():
                rows.setdefault(row, {"ours": [], "theirs": []})[who].append(us)
    medians = {row: {who: statistics.median(each or [0.0]) for who, each in both.items()} for row, both in rows.items()}
    return {"steps": steps, "rows": rows, "medians": medians, "trouble": trouble}


def ours(step: Any, steps: int) -> dict[str, float]:
    """By row, the busy time of a step, µs, the median over them; without a GPU the host's own."""
    with LayerTime((step.net,), blocks=[Block(KERNELS, _FOR_EVER, math.inf)]) as run:
        step.run(steps + 2)
    profile = run.profile
    column, table = ("busy_us", profile.kernels) if step.device == "cuda" else ("own_us", profile.calls)
    names = [
        f"{path}.{phase}" if phase else str(path) for path, phase in zip(table["path"], table["phase"], strict=True)
    ]
    return _medians(zip(names, table["step"], table[column], strict=True), range(2, steps + 2))


def theirs(step: Any, steps: int) -> dict[str, float]:
    """The same by torch.profiler: see above. Raises ValueError where its passes do not see the same kernels."""
    torch = step.torch
    with ranges(step), _watched(step, cpu=True) as watching:
        step.run(2)
    rows = list(attributed(event for event in watching.events() if event.device_type == torch.autograd.DeviceType.CPU))
    if step.device != "cuda":
        return _medians(((row, 0, event.self_cpu_time_total / 2) for event, row in rows), [0])
    whose = {event.id: row for event, row in rows if not _CALL.match(event.name)}
    owner = [(whose.get(each.linked_correlation_id(), "(outside)"), each.name()) for each in _on_device(step, watching)]
    with _watched(step, cpu=False) as watching:
        step.run(steps)
    records = _on_device(step, watching)
    each = len(owner) // 2
    if 2 * each != len(owner) or len(records) != each * steps:
        raise ValueError(f"{len(owner)} kernels in two steps with the host watched, {len(records)} in {steps} without")
    _alike("one step and another", owner[:each], owner[each:])
    owner = owner[each:]
    _alike("the passes", [owner[i % each][1] for i in range(len(records))], [record.name() for record in records])
    took = ((owner[i % each][0], i // each, record.duration_ns() * 1e-3) for i, record in enumerate(records))
    return _medians(took, range(steps))


def _medians(rows: Iterable[tuple[str, int, float]], steps: Sequence[int]) -> dict[str, float]:
    """Of rows with the step and what it took in it, what each takes of a step; 0 where it is in fewer than half."""
    sums: dict[str, dict[int, float]] = {}
    for row, step, us in rows:
        in_steps = sums.setdefault(row, dict.fromkeys(steps, 0.0))
        if step in in_steps:
            in_steps[step] += us
    return {row: statistics.median(each.values()) for row, each in sums.items()}


def _watched(step: Any, *, cpu: bool) -> Any:
    """torch.profiler, of the host and of the device, where there is one; or of that alone."""
    kinds = step.torch.profiler.ProfilerActivity
    activities = [*([kinds.CPU] if cpu else []), *([kinds.CUDA] if step.device == "cuda" else [])]
    return step.torch.profiler.profile(activities=activities)


def _alike(what: str, one: Sequence[Any], other: Sequence[Any]) -> None:
    """Raises ValueError for kernels that are not the same: a few may be, for libraries choose as they find the GPU."""
    differing = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    if len(differing) > FEW * len(one):
        a, b = differing[0]
        raise ValueError(f"{len(differing)} of {len(one)} kernels differ between {what}, the first: {a} and {b}")


def _on_device(step: Any, watching: Any) -> list[Any]:
    """What ran on the device, in the order of launching; the ranges are none of it."""
    events = watching.profiler.kineto_results.events()
    on_device = [event for event in events if event.device_type() == step.torch.autograd.DeviceType.CUDA]
    on_device = [event for event in on_device if not event.name().startswith((_RANGE, _STEP))]
    return sorted(on_device, key=lambda event: (event.correlation_id(), event.start_ns()))


_CALL = re.compile(r"cu(da)?[A-Z]")
"""CUDA's own calls, whose numbers are not those of operations."""
_RANGE, _STEP, _NODE = "module ", "Optimizer.step#", "autograd::engine::evaluate_function: "
_LEAF = _NODE + "torch::autograd::AccumulateGrad"


def attributed(events: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """Each event with its row: by the range around it, or around the forward whose node it runs."""
    events = sorted(events, key=lambda event: event.time_range.start)
    made: dict[tuple[int, int], str] = {}
    before: dict[int, str] = {}
    for event in events:
        above = _above(event)
        node = next((each for each in above if each.name.startswith(_NODE)), None)
        inside = next((each.name for each in above if each.name.startswith((_RANGE, _STEP))), "")
        if inside.startswith(_STEP):
            row = inside.removeprefix(_STEP).removesuffix(".step") + ".update"
        elif node is not None and node.name == _LEAF:
            row = before.get(event.thread, "(outside)")
        elif node is not None:
            path = made.get((node.fwd_thread, node.sequence_nr), "")
            row = before[event.thread] = f"{path}.backward" if path else "(outside)"
        else:
            path = inside.removeprefix(_RANGE)
            row = f"{path}.forward" if path else "(outside)"
            if event.sequence_nr >= 0:
                made[event.thread, event.sequence_nr] = path  # the last that begins with a number makes its node
        yield event, row


def _above(event: Any) -> list[Any]:
    """An event and those around it, the innermost first."""
    found = []
    while event is not None:
        found.append(event)
        event = event.cpu_parent
    return found


@contextmanager
def ranges(step: Any) -> Iterator[None]:
    """Each module's forward in a range of torch.profiler's, under the path that we give it."""
    from gpuprof.hooks.methods import find_layers

    modules = find_layers(step.net)
    for path, module in modules:
        vars(module)["forward"] = _ranged(module.forward, step.torch.profiler.record_function, _RANGE + path)
    try:
        yield
    finally:
        for _, module in modules:
            del vars(module)["forward"]


def _ranged(forward: Callable[..., Any], range_of: Callable[[str], Any], name: str) -> Callable[..., Any]:
    def ranged(*args: Any, **kwargs: Any) -> Any:
        with range_of(name):
            return forward(*args, **kwargs)

    return ranged


def claims(name: str, found: dict[str, Any]) -> list[Any]:
    """What it costs; the row that is furthest off, and all together."""
    times, calls = found["cost"]["step_s"], found["cost"]["calls"]
    plain, asked = statistics.median(times["plain"]), name == next(iter(NETS))
    share = ratio(times, "as asked for")
    lines = [
        claim(
            f"{name}: ratio, as asked for / plain",
            f"≤ {RATIO}" if asked else "",
            f"{share:.3f} of {plain * 1e3:.2f} ms ({calls:.0f} calls), over {LONGER * found['cost']['steps']} steps",
            share <= RATIO if asked else None,
        )
    ]
    for way in times:
        if way not in ("plain", "as asked for"):
            each = added(times, way) / calls * 1e6
            lines.append(claim(f"{name}: {way}, ratio", "", f"{ratio(times, way):.3f}, {each:.1f} µs a call", None))
    medians = found["busy"]["medians"]
    off = {row: us["ours"] / us["theirs"] - 1 for row, us in medians.items() if us["theirs"] >= LEAST_US}
    wanted, what = f"± {WITHIN:.0%}", f"{name}: busy a module against torch.profiler's, the worst"
    if not off:
        why = next(iter(found["busy"]["trouble"]), "no records")
        return [*lines, claim(what, wanted, why, None)]
    worst = max(off, key=lambda row: abs(off[row]))
    text = f"{worst} {off[worst]:+.2%} ({medians[worst]['ours']:.1f} µs); {len(off)} rows"
    whole = sum(us["ours"] for us in medians.values()) / sum(us["theirs"] for us in medians.values()) - 1
    return [
        *lines,
        claim(what, wanted, text, abs(off[worst]) <= WITHIN),
        claim(f"{name}: all rows together", wanted, f"{whole:+.2%}", abs(whole) <= WITHIN),
    ]
