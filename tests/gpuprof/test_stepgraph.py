"""A typical step as a captured graph: copies, refusals, replays; the table, the line in the report, the file."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

import gpuprof
from cnn import LayerManager
from gpuprof.measure import LayerTime
from gpuprof.results.graphs import STEP, Graphed, Graphs
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .fakecapturer import DEVICE, LAUNCH, FakeCapturer, Net
from .models import PHASES


@pytest.fixture
def clock() -> Any:
    """A device whose work can be captured; its capturer is in `clock.used`."""
    made: Any = FakeClock(device=True, launch_cost=LAUNCH)
    made.used = FakeCapturer(made)
    made.capturer = lambda: made.used
    return made


@pytest.fixture
def net(clock) -> Net:
    return Net(clock)


def profiled(net: Any, run: Callable[[], object] | None = None, **options: Any) -> Profile:
    with gpuprof.layertime(net, graph=True, clock=net.clock, **options) as profiling:
        (run or net.train)()
    return profiling.profile


def why(profile: Profile, path: str, phase: str) -> str:
    table = profile.graph
    return str(table[(table["path"] == path) & (table["phase"] == phase)]["why"].item())


# The table


def test_a_row_a_call_and_one_for_the_step(net) -> None:
    table = profiled(net).graph
    assert list(table[["path", "phase"]].itertuples(index=False, name=None)) == [
        ("A", "forward"),
        ("B", "forward"),
        ("B", "backward"),
        ("A", "backward"),
        ("A", "update"),
        ("B", "update"),
        (STEP, ""),
    ]
    assert set(table["why"]) == {""}
    assert set(table["replays"]) == {20}


def test_each_has_its_launches_what_it_takes_now_and_as_a_graph(net) -> None:
    table = profiled(net).graph
    call, step = table.iloc[0], table.iloc[-1]
    assert (call.launches, call.now_ms, call.graph_ms) == (1, pytest.approx(0.05), pytest.approx(0.005))
    assert (call.low_ms, call.high_ms) == (pytest.approx(0.005), pytest.approx(0.005))
    assert call.gain_ms == pytest.approx(0.045)
    assert (step.launches, step.now_ms, step.graph_ms) == (6, pytest.approx(0.3), pytest.approx(0.024))
    assert table.attrs["plain_ms"] == pytest.approx(0.304)  # to the end of the last kernel


def test_where_the_gpu_sets_the_pace_a_call_takes_its_time_on_it(clock) -> None:
    net = Net(clock)
    for layer in net.layers:
        layer.work = lambda: (clock.spend(1e-6), clock.launch(1e-3))
    profile = profiled(net)
    assert profile.pace.bound == "device"
    assert profile.graph.iloc[0].now_ms == pytest.approx(1.0, rel=0.02)


def test_a_layer_that_is_called_twice_a_step_has_both_in_its_row(net) -> None:
    net.layers = [net.layers[0], net.layers[1], net.layers[0]]
    table = profiled(net).graph
    assert (table.iloc[0].path, table.iloc[0].a_step, table.iloc[0].replays) == ("A", 2, 40)
    assert table.iloc[-1].now_ms == pytest.approx(0.05 * 9)


def test_nobody_asked_so_there_is_nothing(net) -> None:
    with gpuprof.layertime(net, clock=net.clock) as profiling:
        net.train()
    assert profiling.profile.graph.empty
    assert "graph" not in str(profiling.profile)
    assert net.clock.used.did == []


# Copies


def test_the_users_layers_arrays_and_random_numbers_are_as_they_were(net) -> None:
    random.seed(1)
    np.random.seed(1)
    net.layers[0].extra = _draw
    after: list[bytes] = []

    def run() -> None:
        net.train()
        after.append(_state(net))

    profile = profiled(net, run)
    assert after == [_state(net)]
    assert why(profile, "A", "forward") == "it draws random numbers on the host, which a graph would repeat"


def _draw(layer: Any) -> None:
    random.random()
    np.random.rand(2)


def _state(net: Any) -> bytes:
    names = ("W", "dW", "x", "seen", "trained")
    own = [vars(layer)[name] for layer in net.layers for name in names]
    return pickle.dumps([own, random.getstate(), np.random.get_state()])


def test_copies_are_called_as_the_steps_calls_were(net) -> None:
    copies: list[Any] = []
    net.layers[1].extra = Spy(copies)
    first = net.layers[1]

    def run() -> None:
        first.forward(np.ones((100, 3)))
        net.train(n=4)

    profiled(net, run)
    made = [layer for layer in copies if layer is not first]
    assert len({id(layer) for layer in made}) == 1
    assert made[-1].x.shape == (4, 3)
    assert made[-1].x.dtype == np.float64
    assert made[-1].trained is True


class Spy:
    """What notes who calls it, also as part of a copy."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def __call__(self, layer: Any) -> None:
        self.seen.append(layer)

    def __deepcopy__(self, memo: Any) -> Spy:
        return self


def test_everything_is_done_on_copies_in_order_and_after_the_cell(net, clock) -> None:
    profiled(net, lambda: (net.train(), clock.used.did.append("the cell's end")))
    assert clock.used.did[0] == "the cell's end"
    assert clock.used.did.count("capture") == 7
    assert clock.used.did.index("capture") > clock.used.did.index("run")
    replays = [each for each in clock.used.did if each.startswith("replay")]
    assert replays == ["replay 6", "replay 1"] * 5  # once to take the graphs to the device, then four times five
    assert not clock.used.inside


def test_a_long_step_is_replayed_one_by_one_until_its_time_is_up(net, clock) -> None:
    replay = clock.used.replay
    clock.used.replay = lambda graphs, times: (clock.spend(0.5), replay(graphs, times))[1]
    assert profiled(net).graph.iloc[0].replays == 9  # a second each, and one for the first launches
    clock.used.replay = lambda graphs, times: (clock.spend(3.0), replay(graphs, times))[1]
    row = profiled(net).graph.iloc[0]
    assert row.replays == 1
    assert math.isnan(row.low_ms)


# What cannot be captured


def test_a_layer_whose_function_reaches_something_else_is_not_copied(net, clock) -> None:
    net.layers[1].extra = lambda layer: clock.wait()
    assert "keeps clock: a copy would share it" in why(profiled(net), "B", "forward")


def test_a_capture_that_fails_is_said_and_the_step_with_it(net, clock) -> None:
    waits = clock.wait
    kind = net.kind

    class Waiting(kind):
        def forward(self, x: Any, train: bool = False, **more: Any) -> Any:
            clock.wait()
            return super().forward(x, train)

    net.layers[1] = Waiting("B")
    profile = profiled(net)
    reason = "capture failed: RuntimeError: the stream is capturing, so nothing can be waited for"
    assert why(profile, "B", "forward") == reason
    assert why(profile, STEP, "") == f"B.forward: {reason}"
    assert profile.graph["replays"].tolist() == [20, 0, 20, 20, 20, 20, 0]
    assert clock.wait == waits
    line = "5 of a step's 6 calls, each as a captured graph: 25.0 µs instead of 250 µs (not the step as a whole:"
    assert f"{line} B.forward: capture failed" in str(profile)


def test_what_fails_in_a_capture_is_made_plainly_for_what_comes_after_it(net, clock) -> None:
    made: list[Any] = []

    class Fails(net.kind):
        def forward(self, x: Any, train: bool = False, **more: Any) -> Any:
            self.cols = "none"
            clock.wait()
            self.cols = "there"
            return super().forward(x, train)

        def backward(self, dy: Any) -> Any:
            made.append(self.cols)
            return super().backward(dy)

    net.layers[1] = Fails("B")
    assert why(profiled(net), "B", "backward") == ""
    assert set(made) == {"there"}


def test_a_layer_that_cannot_be_copied_says_why(net) -> None:
    net.layers[0].kept = memoryview(b"")
    profile = profiled(net)
    assert why(profile, "A", "update").startswith("it cannot be copied: TypeError: cannot pickle ")
    assert why(profile, "B", "update") == ""


def test_an_argument_that_is_no_array_and_no_plain_value_says_so(net) -> None:
    def run() -> None:
        for _ in range(3):
            net.layers[0].forward(np.ones((2, 3)), hook=object())

    profile = profiled(net, run)
    assert why(profile, "A", "forward").startswith("hook= is a object: only arrays and plain values")
    assert "No call of a step was captured as a graph: A.forward: hook= is a object" in str(profile)


def test_a_function_is_not_called_again(net, clock) -> None:
    calls = []

    def f(x: Any) -> None:
        calls.append(x)
        clock.launch(1e-6)

    namespace = {"f": f}
    with LayerTime((f,), clock, namespace=namespace, graph=True) as profiling:
        for _ in range(3):
            namespace["f"](1)
    assert why(profiling.profile, "f", "call").startswith("a function is not copied")
    assert len(calls) == 3


def test_methods_of_an_object_are_captured_on_its_copy(net) -> None:
    layer = net.layers[0]
    layer.seen = 0
    profile = profiled(_Models(net.clock, [layer.forward]), lambda: [layer.forward(np.ones(3)) for _ in range(4)])
    assert profile.graph.iloc[0].graph_ms == pytest.approx(0.005)
    assert layer.seen == 4


class _Models(list[Any]):
    def __init__(self, clock: Any, models: list[Any]) -> None:
        super().__init__(models)
        self.clock = clock


def test_a_copy_whose_call_raises_is_not_captured(net) -> None:
    class Once(net.kind):
        def forward(self, x: Any, train: bool = False, **more: Any) -> Any:
            if (x != 1).any():
                raise ValueError("not ones")
            return super().forward(x, train)

    net.layers[0] = Once("A")
    assert why(profiled(net), "A", "forward") == "the call of its copy failed: ValueError: not ones"


def test_a_call_that_launches_nothing_is_no_obstacle(net) -> None:
    class Idle(net.kind):
        def update(self) -> None:
            pass

    net.layers[0] = Idle("A")
    profile = profiled(net)
    assert why(profile, "A", "update") == "it launches nothing"
    assert profile.graph.iloc[-1].launches == 5
    assert why(profile, STEP, "") == ""


def test_a_step_that_launches_nothing_has_no_graph(net, clock) -> None:
    net.kind.work = lambda self: clock.spend(1e-6)
    profile = profiled(net)
    assert why(profile, STEP, "") == "it launches nothing"


def test_a_graph_that_holds_less_than_a_call_launches_is_not_believed(net, clock) -> None:
    capture = clock.used.capture
    clock.used.capture = lambda run: _halved(capture(run))

    class Two(net.kind):
        def work(self) -> None:
            clock.launch(DEVICE)
            clock.launch(DEVICE)

    net.layers = [Two("A")]
    profile = profiled(net, kernels=True)
    assert why(profile, "A", "forward").startswith("its graph holds 1 of the 2 launches of a call")


def _halved(graph: Any) -> Any:
    graph.launches //= 2
    return graph


def test_what_is_called_inside_comes_with_what_calls_it(net) -> None:
    inner = net.layers[1]

    class Block(net.kind):
        def forward(self, x: Any, train: bool = False, **more: Any) -> Any:
            for layer in self.layers:
                layer.forward(x, train)
            return super().forward(x, train)

    block = Block("Block")
    block.layers = [inner]

    def run() -> None:
        for _ in range(5):
            block.forward(np.ones((2, 3)), train=True)

    profile = profiled(_Models(net.clock, [block]), run)
    assert why(profile, "Block/B", "forward") == "it is in the graph of what calls it"
    row = profile.graph.iloc[0]
    assert (row.path, row.launches, row.now_ms) == ("Block", 2, pytest.approx(0.1))


def test_evaluations_and_rare_calls_are_no_part_of_a_step(net) -> None:
    def run() -> None:
        for i in range(6):
            net.train(1)
            net.layers[0].forward(np.ones((9, 3)), train=False)
            if i == 5:
                net.layers[1].update()

    table = profiled(net, run).graph
    assert table[table["phase"] == "evaluate"]["why"].item() == "it is no part of a typical step"


# Refusals as a whole


def refusal(profile: Profile) -> str:
    assert profile.graph.empty
    found = [note for note in profile.notes if "captured graph" in note]
    assert found[0].removeprefix("not measured: ") in str(profile)
    return found[0]


def test_on_a_host_clock_there_is_nothing_to_capture() -> None:
    net = Net(FakeClock())
    assert "(a graph is CUDA's: nothing to capture on a host clock)" in refusal(profiled(net))


def test_without_room_for_the_copies_nothing_is_tried(net, clock, monkeypatch) -> None:
    monkeypatch.setattr("gpuprof.passes.stepgraph.device_bytes", lambda layers: 1 << 30)
    assert "need about 3.2 GB of the device's memory; 1.1 GB are free" in refusal(profiled(net))
    assert clock.used.did == []


def test_after_an_error_in_the_cell_nothing_is_tried(net, clock) -> None:
    net.layers[1].extra = math.exp  # which takes no layer
    profiling = gpuprof.layertime(net, graph=True, clock=clock)
    with pytest.raises(TypeError), profiling:
        net.train()
    assert "(the cell ended early)" in refusal(profiling.profile)


def test_without_a_step_there_is_nothing_to_capture(net) -> None:
    assert "there is no step in which no call raised" in refusal(profiled(net, lambda: None))


@pytest.mark.parametrize(("error", "text"), [(KeyboardInterrupt(), "interrupted"), (OSError("odd"), "OSError: odd")])
def test_whatever_happens_there_is_a_profile(net, clock, error, text) -> None:
    def raises(run: Any) -> Any:
        raise error

    clock.used.capture = raises
    profile = profiled(net)
    assert text in refusal(profile)
    assert len(profile.log) == 60
    assert not clock.used.inside


def test_several_devices_are_refused(net, monkeypatch) -> None:
    monkeypatch.setattr(
        FakeClock, "where", lambda self, marks: (np.arange(len(marks)) % 2, np.zeros(len(marks), dtype=np.int64))
    )
    assert "the calls ran on several devices" in refusal(profiled(net))


# Shown and kept


def test_the_report_has_a_line_and_the_table(net) -> None:
    profile = profiled(net)
    line = (
        "One step's calls as a captured graph: 24.0 µs instead of 300 µs; 6 launches, replayed 20 times on copies "
        "with stand-in arrays"
    )
    assert f"{line} (the first 3 of 7; all: .graph)" in str(profile)
    html = profile._repr_html_()
    assert line.replace("'", "&#x27;") in html
    assert "Without graphs the copies took 304\N{NO-BREAK SPACE}µs a step." in html
    assert "cuBLAS" not in html


def test_products_that_cupy_refuses_are_told(net, clock) -> None:
    clock.used.let_through = 3
    assert "CuPy itself refuses to capture products by cuBLAS" in profiled(net)._repr_html_()


def test_a_saved_profile_keeps_it(net, tmp_path) -> None:
    net.layers[0].kept = memoryview(b"")
    profile = profiled(net)
    loaded = Profile.load(profile.save(tmp_path / "p.json.gz"))
    assert loaded.seen.graphs == profile.seen.graphs
    assert loaded.graph.equals(profile.graph)
    assert str(loaded) == str(profile)


def test_a_refusal_is_kept_too(tmp_path) -> None:
    profile = profiled(Net(FakeClock()))
    assert refusal(Profile.load(profile.save(tmp_path / "p.json"))) == refusal(profile)


def test_a_profile_from_before_there_were_graphs_has_none(net) -> None:
    content = profiled(net).seen.to_dict()
    del content["graphs"]
    content["kernels"] = {name: list(column) for name, column in content["kernels"].items()}
    assert type(profiled(net).seen).from_dict(content).graphs == Graphs()


def test_graphs_without_known_launches_are_shown_without_them(net, clock) -> None:
    capture = clock.used.capture
    clock.used.capture = lambda run: _unknown(capture(run))
    text = str(profiled(net))
    assert "instead of 300 µs; replayed 20 times" in text


def _unknown(graph: Any) -> Any:
    graph.launches = None
    return graph


def test_a_result_is_a_value() -> None:
    row = Graphed(STEP, "", 1, None, (0.5,))
    assert Graphs.from_dict(Graphs((row,), (1.0,)).to_dict()) == Graphs((row,), (1.0,))


def test_the_magic_asks_for_it(ip: InteractiveShell, net) -> None:
    ip.user_ns["net"] = net
    ip.run_cell("%%layertime -q -v p --graph net\nnet.train(5)")
    assert "(a graph is CUDA's" in refusal(ip.user_ns["p"])
    ip.run_cell("%%layertime -q -v p net --graph\nnet.train(5)")
    assert "(a graph is CUDA's" in refusal(ip.user_ns["p"])


# cnn's own net


class Clocked:
    """cnn's net at batch 8, whose layers launch on a fake clock as they are called."""

    def __init__(self, clock: Any, mode: str = "cpu") -> None:
        rng = np.random.default_rng(0)
        x, t = rng.random((32, 1, 12, 12), dtype="float32"), np.eye(10, dtype="float32")[rng.integers(0, 10, 32)]
        self.clock = clock
        self.lm = LayerManager((x, x), (t, t), mode=mode, seed=0)
        self.lm.append(name="c", I_shape=(1, 12, 12), F_shape=(10, 3, 3), pad=1)
        self.lm.append(name="p", I_shape=self.lm[-1].O_shape, pool=2)
        self.lm.append(name="d", ratio=0.25)
        self.lm.append(name="m", n=20)
        self.lm.append(name="o", n=10, act="softmax", err_func="Cross")

    def train(self, steps: int = 12) -> None:
        for _ in range(steps):
            self.lm.forward(self.lm.x_train[:8], train=True)
            self.lm.backward(self.lm.y_train[:8])
            self.lm.update()

    @property
    def layers(self) -> list[Any]:
        return list(self.lm.layers)


def arrays(layers: list[Any]) -> Iterator[tuple[str, bytes]]:
    """Each array of the layers, their optimizers and generators of random numbers, as bytes."""
    for layer in layers:
        held = {name: value for name, value in vars(layer).items() if name not in (*PHASES, "rng")}
        optimizer = getattr(layer, "optimizer", None)
        held |= {f"slot {name}": each for name, each in (vars(optimizer).get("state", {}) if optimizer else {}).items()}
        bits = getattr(getattr(layer, "rng", None), "bit_generator", None)
        held["bits"] = bits._state if hasattr(bits, "_state") else getattr(bits, "state", None)
        for name, value in held.items():
            for place, each in enumerate(value if isinstance(value, list) else [value]):
                content = each.get() if hasattr(each, "get") and hasattr(each, "shape") else each
                text = content.tobytes() if hasattr(content, "tobytes") else repr(content).encode()
                yield f"{layer.name}.{name}.{place}", text


def test_cnns_layers_are_copied_called_and_untouched(clock) -> None:
    net = Clocked(clock)
    after: list[Any] = []

    def run() -> None:
        net.train()
        after.extend(arrays(net.layers))

    profile = profiled(net, run)
    assert dict(arrays(net.layers)) == dict(after)
    rows = {(row.path, row.phase): row.why for row in profile.graph.itertuples()}
    assert rows["Conv1", "forward"] == rows["Output1", "backward"] == "it launches nothing"
    assert rows["Dropout1", "forward"].startswith("it draws random numbers on the host")


@pytest.mark.gpu
def test_on_the_gpu_a_step_of_cnns_net_as_a_graph_takes_less_and_nothing_of_the_users_has_changed() -> None:
    import cupy

    net: Any = Clocked(None, mode="gpu")
    net.train(5)
    cupy.random.seed(5)
    expected = cupy.random.rand(3).get().tolist()
    cupy.random.seed(5)
    after: list[Any] = []
    with gpuprof.layertime(net, graph=True) as profiling:
        net.train(40)
        after.extend(arrays(net.layers))
    profile = profiling.profile
    assert dict(arrays(net.layers)) == dict(after)
    assert cupy.random.rand(3).get().tolist() == expected
    table = profile.graph
    assert set(table["why"]) <= {"", "it launches nothing"}, table[["path", "phase", "why"]].to_string()
    step = table.iloc[-1]
    assert step.path == STEP
    assert step.replays >= 20
    assert 0 < step.graph_ms < step.now_ms
    assert 0 < step.graph_ms < table.attrs["plain_ms"]
    assert (table[table["replays"] > 0]["graph_ms"] > 0).all()
    net.train(3)  # and goes on


@pytest.mark.gpu
def test_on_the_gpu_a_layer_that_waits_costs_only_its_own_graph() -> None:
    net: Any = Clocked(None, mode="gpu")
    waiting = net.lm.layers[0]
    forward = type(waiting).forward

    class Waits(type(waiting)):  # type: ignore[misc]
        def forward(self, x: Any, train: bool = False) -> Any:
            y = forward(self, x, train)
            float(y.sum())
            return y

    waiting.__class__ = Waits
    net.train(5)
    with gpuprof.layertime(net, graph=True) as profiling:
        net.train(30)
    table = profiling.profile.graph
    assert why(profiling.profile, "Conv1", "forward").startswith("capture failed: ")
    others = table[(table["path"] != "Conv1") & (table["path"] != STEP) & (table["why"] != "it launches nothing")]
    assert set(others["why"]) == {""}
    net.train(3)
