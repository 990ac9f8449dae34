"""`training(graph=...)`: what is captured trains as the plain path does; what is not says why."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

import cnn.captured
import gpuprof
from cnn import Augment, Dense, hooked
from cnn.captured import adam_rows, begin, captured
from cnn.kernels.deep import Deep
from cnn.kernels.shallow import Shallow
from cnn.optimizers import get_optimizer
from cnn.schedules import get_schedule
from cnn.stepping import Stepper
from tests.cnn.emulated.device import COMPILER, Emulated
from tests.cnn.kernel_nets import CASES, DEEP_CASES, averages, deep_net, error, net, parameters


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("emulated")


@pytest.fixture
def emulated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Emulated]:
    """Models on the CPU train through the emulator, two steps a graph; each training's device is kept."""
    if COMPILER is None:
        pytest.skip("needs g++ to compile the kernels for the CPU")
    devices: list[Emulated] = []

    def gpu():
        devices.append(Emulated(folder))
        return devices[-1]

    monkeypatch.setattr(cnn.captured, "Gpu", gpu)
    monkeypatch.setattr(cnn.captured, "on_gpu", lambda model: True)
    monkeypatch.setattr(cnn.captured, "STEPS", 2)
    return devices


def both(graph="auto", **keywords):
    lms = net(CASES[0]), net(CASES[0])
    for lm, way in zip(lms, (graph, False), strict=True):
        lm.training(2, n_batch=8, show_error=False, graph=way, **keywords)
    return lms


@pytest.mark.parametrize("keywords", [{}, {"schedule": "cosine"}, {"steps": 6}])
def test_captured_training_is_plain_training_with_a_short_batch_and_a_schedule(emulated, keywords):
    fast, plain = both(**keywords)
    assert fast.history.graph == "steps captured in CUDA graphs, 3 kernels a step"
    assert fast.history.steps == plain.history.steps == fast.steps
    assert fast.history.reason == plain.history.reason
    assert fast.epochs == plain.epochs
    assert [layer.optimizer.t for layer in fast.layers if layer.optimizer] == [fast.steps] * 3
    assert max(map(error, averages(plain), averages(fast))) < 1e-5
    assert max(map(error, parameters(plain), parameters(fast))) < 1e-5
    np.testing.assert_allclose(
        [each.test_error for each in fast.history.epochs],
        [each.test_error for each in plain.history.epochs],
        rtol=1e-6,
    )


def test_augmented_training_sees_the_order_that_plain_training_sees(emulated):
    """Their moves are drawn in two ways: after a training their generators are at one place."""
    fast, plain = both(augment=Augment(shift=1))
    assert fast.history.graph.startswith("steps captured")
    assert fast.rng.integers(2**62) == plain.rng.integers(2**62)
    assert 1e-6 < max(map(error, parameters(plain), parameters(fast))) < 0.2


def test_a_net_of_two_convolutions_is_captured_too_with_rounded_factors(emulated):
    lms = [deep_net(DEEP_CASES[0], dropout=False) for _ in range(2)]
    for lm, graph in zip(lms, ("auto", False), strict=True):
        lm.training(1, n_batch=4, show_error=False, graph=graph)
    fast, plain = lms
    assert fast.history.graph == "steps captured in CUDA graphs, 7 kernels a step"
    assert max(map(error, parameters(plain), parameters(fast))) < 0.02
    assert fast.history.epochs[0].test_error == pytest.approx(plain.history.epochs[0].test_error, rel=1e-3)


def test_dropout_falls_by_seed_and_step_also_when_training_goes_on_from_a_file(emulated, tmp_path):
    def trained(lm, epochs):
        lm.training(epochs, n_batch=4, threshold=0, show_error=False, graph="auto")
        return lm

    whole = trained(deep_net(DEEP_CASES[0]), 2)
    trained(deep_net(DEEP_CASES[0]), 1).save(tmp_path / "half.npz")
    half = deep_net(DEEP_CASES[0])
    half.load(tmp_path / "half.npz")
    trained(half, 1)
    assert [each.tobytes() for each in parameters(half)] == [each.tobytes() for each in parameters(whole)]


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_however_many_steps_are_in_a_graph_the_result_is_the_same(emulated, monkeypatch, steps):
    monkeypatch.setattr(cnn.captured, "STEPS", steps)
    fast, plain = net(CASES[0]), net(CASES[0])
    for lm, graph in ((fast, "auto"), (plain, False)):
        lm.training(3, n_batch=5, show_error=False, graph=graph)
    assert max(map(error, averages(plain), averages(fast))) < 1e-5


def test_plain_steps_and_captured_ones_take_turns_on_one_model(emulated):
    fast, plain = net(CASES[0]), net(CASES[0])
    for graph in (False, "auto", False):
        fast.training(1, n_batch=8, show_error=False, graph=graph)
        plain.training(1, n_batch=8, show_error=False, graph=False)
    assert max(map(error, parameters(plain), parameters(fast))) < 1e-5


def test_ctrl_c_keeps_what_was_trained_and_counts_it(emulated, monkeypatch):
    lm = net(CASES[0])
    calls = iter(range(3))

    def keep_up(self, ahead):
        if next(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Emulated, "keep_up", keep_up)
    history = lm.training(1, n_batch=8, show_error=False, graph="auto")
    assert history.reason == "interrupted"
    assert lm.steps == lm[0].optimizer.t == history.steps == 3  # two graphs: of two steps, and of one


def test_training_that_diverges_ends_with_the_epoch(emulated):
    lm = net(CASES[0])
    lm.x_train[0, 0, 0, 0] = np.nan
    history = lm.training(5, n_batch=8, show_error=False, graph="auto")
    assert len(history.epochs) == 1
    assert history.reason.startswith("the test error is nan after epoch 1")


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"clip_norm": 1.0}, "gradients are clipped"),
        ({"augment": lambda x, rng: x}, "batches are changed by an augment of another kind"),
    ],
)
def test_what_cannot_be_captured_is_trained_all_the_same_and_says_why(emulated, keywords, reason):
    fast, plain = both(**keywords)
    assert fast.history.graph == f"steps not captured in a CUDA graph: {reason}"
    assert str(fast.history).endswith(fast.history.graph)
    assert [each.tobytes() for each in parameters(fast)] == [each.tobytes() for each in parameters(plain)]


def test_a_model_that_is_watched_is_trained_layer_by_layer(emulated):
    lm = net(CASES[0])
    seen = []

    class Hook:
        def before(self, layer, phase):
            seen.append(layer.name)

    with hooked(lm[1], Hook()):
        lm.training(1, n_batch=8, show_error=False, graph="auto")
    assert seen
    assert lm.history.graph.endswith("a hook watches the layers one by one")


def test_a_profile_changes_nothing_about_what_runs(emulated):
    lm, alone = net(CASES[0]), net(CASES[0])
    with gpuprof.layertime(lm):
        lm.training(1, n_batch=8, show_error=False, graph="auto")
    alone.training(1, n_batch=8, show_error=False, graph="auto")
    assert lm.history.graph == alone.history.graph == "steps captured in CUDA graphs, 3 kernels a step"
    assert [each.tobytes() for each in parameters(lm)] == [each.tobytes() for each in parameters(alone)]
    assert [device.launched for device in emulated[:1]] == [device.launched for device in emulated[1:]]


@pytest.mark.parametrize("hook_first", [True, False])
def test_a_hook_beneath_or_above_a_profile_still_sees_each_layer(emulated, hook_first):
    lm, seen = net(CASES[0]), []

    class Hook:
        def before(self, layer, phase):
            seen.append((layer.name, phase))

    with ExitStack() as stack:
        arounds = [lambda: hooked(lm[1], Hook()), lambda: gpuprof.layertime(lm)]
        for around in arounds if hook_first else reversed(arounds):
            stack.enter_context(around())
        lm.training(1, n_batch=8, show_error=False, graph="auto")
    assert seen.count(("Pool1", "backward")) == lm.steps
    assert lm.history.graph.endswith("a hook watches the layers one by one")


class Told:
    """A watcher that keeps what it is told."""

    def __init__(self):
        self.launched, self.made = [], 0

    @contextmanager
    def launching(self, work):
        self.launched.append(work)
        yield

    @contextmanager
    def making(self):
        self.made += 1
        yield


class Wrapped:
    """What a profiler puts in a method's place."""

    own = None

    def __init__(self, graphs, method):
        self.method, self.told = method, graphs

    graphs = property(lambda self: self.told)

    def __call__(self, *args, **keywords):
        return self.method(*args, **keywords)


def test_those_who_watch_are_told_of_each_launch_and_each_kernel_in_it(emulated):
    lm, told = net(CASES[0]), Told()
    lm[0].forward, lm[2].backward = Wrapped(told, lm[0].forward), Wrapped(told, lm[2].backward)
    lm.training(1, n_batch=5, show_error=False, graph="auto")
    assert [(work.steps, work.graph) for work in told.launched] == [(2, True), (2, True), (1, True)]
    assert [name for work in told.launched for name in work.kernels] == emulated[0].launched
    assert set(emulated[0].launched) == set(told.launched[0].does)
    assert told.made == 2  # of two steps, and of one


@pytest.mark.parametrize(("make", "learning"), [(lambda: net(CASES[0]), 3), (lambda: deep_net(DEEP_CASES[0]), 4)])
def test_the_kernels_say_every_phase_of_every_layer(emulated, folder, make, learning):
    lm = make()
    for layer in lm.layers:
        if layer.optimizer:
            begin(layer)
    kernels = Shallow if learning == 3 else Deep
    said = kernels(lm.layers, 4, Emulated(folder)).does
    done = {(layer.name, phase) for does in said.values() for layer in does.layers for phase in does.phases}
    for layer in lm.layers:
        assert {(layer.name, "forward"), (layer.name, "backward")} <= done
        assert layer.optimizer is None or (layer.name, "update") in done


def test_another_optimizer_is_named_as_the_reason(emulated):
    lm = net(CASES[0], opt="SGD")
    lm.training(1, n_batch=8, show_error=False, graph="auto")
    assert lm.history.graph.endswith("an optimizer is not Adam")


def test_kernels_that_do_not_compile_are_a_reason_and_no_error(emulated, monkeypatch):
    def compiled(self, text):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(Emulated, "compiled", compiled)
    lm = net(CASES[0])
    lm.training(1, n_batch=8, show_error=False, graph="auto")
    assert lm.history.graph == "steps not captured in a CUDA graph: RuntimeError: no compiler"


def test_a_gpu_that_cannot_be_asked_is_a_reason_and_no_error(monkeypatch):
    def gpu():
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(cnn.captured, "Gpu", gpu)
    monkeypatch.setattr(cnn.captured, "on_gpu", lambda model: True)
    lm = net(CASES[0])
    lm.training(1, n_batch=8, show_error=False, graph="auto")
    assert lm.history.graph == "steps not captured in a CUDA graph: RuntimeError: the driver is gone"


def test_graph_true_raises_where_it_cannot_be_done(emulated):
    with pytest.raises(ValueError, match="cannot be captured: gradients are clipped"):
        net(CASES[0]).training(1, clip_norm=1.0, graph=True)


def test_graph_true_needs_a_gpu_and_says_so():
    with pytest.raises(ValueError, match="the model is not on the GPU"):
        net(CASES[0]).training(1, graph=True)


def test_another_word_for_graph_is_refused():
    with pytest.raises(ValueError, match="graph is 'yes'; expected 'auto', True or False"):
        captured(net(CASES[0]), 8, Stepper(), None, "yes")


def test_the_numbers_of_steps_ahead_are_those_of_the_optimizers_plan():
    optimizer = get_optimizer("Adam", {"alpha": 0.002, "schedule": get_schedule("cosine")})
    factors = np.linspace(1, 0.1, 50)
    optimizer.t = 3
    rows = adam_rows(optimizer, factors)
    for row, factor in zip(rows, factors, strict=True):
        optimizer.t += 1
        np.testing.assert_array_equal(row[:4], np.float32(optimizer.plan(factor)))


def double(lm):
    lm[2].W = lm[2].W.astype("float64")


def smaller(lm):
    lm[2].W = lm[2].W[:-1].copy()


def numbered(lm):
    lm.y_train = lm.y_train.astype("int64")


def unlearning(lm):
    lm[0].optimizer = None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (double, "an array is not of float32"),
        (numbered, "an array is not of float32"),
        (smaller, "a parameter has another shape than its layer was built with"),
        (unlearning, "a layer has no optimizer"),
    ],
)
def test_what_the_kernels_would_read_wrongly_is_not_captured(emulated, change, reason):
    lm = net(CASES[0])
    change(lm)
    with pytest.raises(ValueError, match=reason):
        lm.training(1, n_batch=8, show_error=False, graph=True)


def test_a_method_that_replaces_a_layer_classs_own_is_called(emulated, monkeypatch):
    monkeypatch.setattr(Dense, "forward", lambda *args, own=Dense.forward, **keywords: own(*args, **keywords))
    lm = net(CASES[0])
    lm.training(1, n_batch=8, show_error=False)
    assert lm.history.graph.endswith("a layer has a forward, backward or update of its own")


def test_gradients_of_before_are_none_after_captured_steps(emulated):
    lm = net(CASES[0])
    lm.training(1, n_batch=8, show_error=False, graph=False)
    lm.training(1, n_batch=8, show_error=False, graph=True)
    assert lm[0].dW is None


def test_where_the_driver_refuses_to_record_the_plain_path_trains_and_says_why(emulated, monkeypatch):
    def refuse(self, work):
        raise RuntimeError("no graphs here")

    monkeypatch.setattr(Emulated, "recorded", refuse)
    fast, plain = both()
    assert fast.history.graph == "steps not captured in a CUDA graph: RuntimeError: no graphs here"
    assert [each.tobytes() for each in parameters(fast)] == [each.tobytes() for each in parameters(plain)]
