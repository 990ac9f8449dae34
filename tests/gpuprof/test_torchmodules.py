"""PyTorch's modules: which rows there are, how calls lie in each other, whose each instant is; on the host."""

from __future__ import annotations

import copy
import dataclasses
import gc
import io
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import gpuprof
from gpuprof.hooks import modules as found_modules
from gpuprof.hooks.methods import NoLayersError, find_layers
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import KERNELS, Block, Mode
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .models import FakeModel

torch = pytest.importorskip("torch", reason="needs PyTorch: make test TORCH=1")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from .torchmodels import Net, Spent, Work, ones, spend  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def profiled(run: Callable[[], object], *models: object, clock: FakeClock | None = None, **options: Any) -> Profile:
    """A profile of `models` in which `run` is called."""
    with gpuprof.layertime(*models, clock=clock or FakeClock(), **options) as profiling:
        run()
    return profiling.profile


def train(net: Callable[..., Any], steps: int = 1, x: Any = None) -> Callable[[], None]:
    def steadily() -> None:
        for _ in range(steps):
            net(ones() if x is None else x).sum().backward()

    return steadily


def tree(profile: Profile) -> list[str]:
    """Each call in its order, two spaces deeper than the one around it."""
    parent = dict(zip(profile.calls["call"], profile.calls["parent"], strict=True))
    lines = []
    for call, path, phase in profile.calls[["call", "path", "phase"]].itertuples(index=False):
        depth, above = 0, parent[call]
        while above >= 0:
            depth, above = depth + 1, parent[above]
        lines.append(f"{'  ' * depth}{path}.{phase}")
    return lines


def times(profile: Profile) -> dict[str, float]:
    """Each row's total in ms, of rows that take any."""
    rows = profile.table[["path", "phase", "total_ms"]].itertuples(index=False)
    return {f"{path}.{phase}" if phase else path: round(ms, 6) for path, phase, ms in rows if round(ms, 6)}


def paths(*models: object) -> list[str]:
    return [path for path, _ in find_layers(*models)]


def chain(clock: FakeClock, *names: str) -> Net:
    """Modules one after another, of which each takes 1 ms forward and 2 backward."""

    def forward(net: Any, x: Any) -> Any:
        for name in names:
            x = getattr(net, name)(x)
        return x

    return Net(forward, **{name: Work(clock) for name in names})


# Which modules are found, and what they are called


def test_modules_have_the_paths_of_named_modules_and_the_model_its_class_name() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert paths(net) == ["Sequential", *(name for name, _ in net.named_modules() if name)]
    assert paths(net) == ["Sequential", "0", "1", "1.0", "1.1"]


def test_lists_and_dicts_of_modules_are_never_called_and_are_no_rows() -> None:
    net = Net(lambda net, x: x, blocks=nn.ModuleList([nn.ReLU()]), heads=nn.ModuleDict({"a": nn.ReLU()}))
    assert paths(net) == ["Net", "blocks.0", "heads.a"]
    assert paths(nn.ModuleList([nn.ReLU(), nn.ReLU()])) == ["0", "1"]


def test_a_module_that_is_there_twice_is_one_row() -> None:
    shared = nn.Linear(2, 2)
    assert paths(nn.Sequential(shared, nn.ReLU(), shared)) == ["Sequential", "0", "1"]


def test_of_two_models_each_names_its_modules() -> None:
    one, other = nn.Sequential(nn.ReLU()), Net(lambda net, x: x, a=nn.ReLU())
    assert paths(one, other) == ["Sequential", "Sequential.0", "Net", "Net.a"]
    assert paths(one, one) == ["Sequential", "0"]


def test_modules_in_lists_and_dicts_of_python_are_called_by_place_and_key() -> None:
    assert paths([nn.ReLU(), nn.Sequential(nn.ReLU())]) == ["ReLU0", "Sequential1", "Sequential1.0"]
    assert paths({"encoder": nn.Sequential(nn.ReLU())}) == ["encoder", "encoder.0"]


def test_layers_of_both_kinds_are_found_beside_each_other(clock: FakeClock) -> None:
    assert paths(FakeModel(clock, "A"), nn.Sequential(nn.ReLU())) == ["A", "Sequential", "0"]


@pytest.mark.parametrize("make", [lambda: torch.ones(2), lambda: torch.optim.SGD([torch.ones(2)], 0.1)])
def test_what_is_pytorchs_and_no_module_is_answered_with_a_sentence(make: Callable[[], object]) -> None:
    with pytest.raises(NoLayersError, match="has no layers: give the module; its optimizer is found by itself"):
        find_layers(make())


def test_a_module_without_any_is_answered_with_a_sentence() -> None:
    with pytest.raises(NoLayersError, match=r"expected an object with `layers`.*got ModuleList"):
        find_layers(nn.ModuleList())


def test_methods_called_backward_and_update_are_a_modules_own_business(clock: FakeClock) -> None:
    class Lit(Work):
        def backward(self, loss: Any) -> None:
            loss.backward()

        def update(self) -> None:
            clock.spend(1e-3)

    net = Lit(clock)

    def step() -> None:
        net.backward(net(ones()).sum())
        net.update()

    assert tree(profiled(step, net, clock=clock)) == ["Lit.forward", "Lit.backward"]
    assert times(profiled(step, net, net.update, clock=clock))["Lit.update"] == 1


# Forward and backward


def test_each_module_has_its_forward_and_backward_to_the_instant(clock: FakeClock) -> None:
    net = Net(lambda net, x: net.b(net.a(x)), a=Work(clock, 1e-3, 2e-3), b=Work(clock, 3e-3, 4e-3))
    profile = profiled(train(net, 3), net, clock=clock)
    assert times(profile) == {"a.forward": 3, "a.backward": 6, "b.forward": 9, "b.backward": 12}
    assert tree(profile)[:6] == ["Net.forward", "  a.forward", "  b.forward",
                                 "Net.backward", "  b.backward", "  a.backward"]  # fmt: skip
    assert set(profile.table["calls"][:-1]) == {3}
    assert profile.account.call_step.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert profile.closure == 0
    assert profile.warnings == []


def test_what_a_container_does_itself_is_its_own_and_what_is_in_no_module_outside(clock: FakeClock) -> None:
    net = Net(lambda net, x: spend(clock, net.a(spend(clock, x, 1e-4, 2e-4)), 3e-4, 4e-4), a=Work(clock))
    profile = profiled(lambda: spend(clock, net(ones()), 5e-3, 6e-3).sum().backward(), net, clock=clock)
    # the first thing that it does to x needs no gradient
    assert times(profile) == {"Net.forward": 0.4, "Net.backward": 0.4, "a.forward": 1, "a.backward": 2, "(outside)": 11}


def test_nested_modules_nest_both_ways(clock: FakeClock) -> None:
    net = nn.Sequential(nn.Sequential(Work(clock), Work(clock)), Work(clock))
    assert tree(profiled(train(net), net, clock=clock)) == [
        "Sequential.forward", "  0.forward", "    0.0.forward", "    0.1.forward", "  1.forward",
        "Sequential.backward", "  1.backward", "  0.backward", "    0.1.backward", "    0.0.backward",
    ]  # fmt: skip


def test_relu_in_place_and_sums_in_place_are_as_ever(clock: FakeClock) -> None:
    net = Net(lambda net, x: net.relu(net.a(x)).mul(2).add_(x), a=Work(clock), relu=nn.ReLU(inplace=True))
    profile = profiled(train(net), net, clock=clock)
    assert tree(profile)[3:] == ["Net.backward", "  relu.backward", "  a.backward"]
    assert times(profile) == {"a.forward": 1, "a.backward": 2}


def test_views_and_writing_into_views_are_as_ever(clock: FakeClock) -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x).view(-1)
        h[:2].mul_(3)
        y = torch.zeros(6)
        y[:3] = net.b(h[:3])
        return y.view(2, 3)

    net = Net(forward, a=Work(clock), b=Work(clock))
    profile = profiled(train(net), net, clock=clock)
    assert tree(profile)[3:] == ["Net.backward", "  b.backward", "  a.backward"]
    assert times(profile) == {"a.forward": 1, "a.backward": 2, "b.forward": 1, "b.backward": 2}


def test_a_shared_module_has_a_backward_for_each_call(clock: FakeClock) -> None:
    net = Net(lambda net, x: net.a(net.b(net.a(x))), a=Work(clock), b=Work(clock))
    profile = profiled(train(net), net, clock=clock)
    assert tree(profile)[4:] == ["Net.backward", "  a.backward", "  b.backward", "  a.backward"]
    assert (profile["a", "backward"].calls, profile["b", "backward"].calls) == (2, 1)


def test_a_model_that_is_called_with_its_own_output_has_two_backwards(clock: FakeClock) -> None:
    net = nn.Sequential(Work(clock))
    profile = profiled(lambda: net(net(ones())).sum().backward(), net, clock=clock)
    assert tree(profile)[4:] == ["Sequential.backward", "  0.backward"] * 2
    assert profile["Sequential", "backward"].calls == 2


def test_a_module_that_calls_itself_nests_in_itself(clock: FakeClock) -> None:
    net = Net(lambda net, x, deep: net(net.a(x), deep - 1) if deep else x, a=Work(clock))
    profile = profiled(lambda: net(ones(), 2).sum().backward(), net, clock=clock)
    assert tree(profile)[5:] == ["Net.backward", "  Net.backward", "    a.backward", "  a.backward"]


def test_branches_are_told_apart(clock: FakeClock) -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        left, right = net.b(h), net.c(h)
        return net.d(left * right) + h

    net = Net(forward, **{name: Work(clock) for name in "abcd"})
    profile = profiled(train(net), net, clock=clock)
    assert tree(profile)[5:] == ["Net.backward", *(f"  {name}.backward" for name in "dcba")]
    assert {row: ms for row, ms in times(profile).items() if "backward" in row} == {f"{n}.backward": 2 for n in "abcd"}


@dataclasses.dataclass
class Two:
    first: Any
    rest: dict[str, list[Any]]


def test_it_does_not_matter_what_a_module_returns(clock: FakeClock) -> None:
    net = Net(
        lambda net, x: Two(net.a(x), {"more": [net.b(x), (net.c(x),)]}), a=Work(clock), b=Work(clock), c=Work(clock)
    )

    def step() -> None:
        found = net(ones())
        (found.first + found.rest["more"][0] + found.rest["more"][1][0]).sum().backward()

    assert tree(profiled(step, net, clock=clock))[4:] == ["Net.backward", *(f"  {name}.backward" for name in "cba")]


def test_an_output_that_is_not_used_has_no_backward(clock: FakeClock) -> None:
    net = Net(lambda net, x: (net.a(x), net.b(x)), a=Work(clock), b=Work(clock))
    assert tree(profiled(lambda: net(ones())[0].sum().backward(), net, clock=clock))[3:] == [
        "Net.backward",
        "  a.backward",
    ]


def test_several_losses_have_a_backward_each(clock: FakeClock) -> None:
    net = Net(lambda net, x: (net.a(x), net.b(x)), a=Work(clock), b=Work(clock))

    def step() -> None:
        one, other = net(ones())
        other.sum().backward()
        one.sum().backward()

    assert tree(profiled(step, net, clock=clock))[3:] == [
        "Net.backward", "  b.backward", "Net.backward", "  a.backward",
    ]  # fmt: skip


def test_what_needs_no_gradient_has_no_backward(clock: FakeClock) -> None:
    net = chain(clock, "a", "b", "c")
    net.a.requires_grad_(False)
    profile = profiled(train(net), net, clock=clock)
    assert tree(profile)[4:] == ["Net.backward", "  c.backward", "  b.backward"]
    assert times(profile)["a.forward"] == 1


def test_a_module_that_gives_back_what_it_was_given_has_none(clock: FakeClock) -> None:
    net = Net(lambda net, x: net.b(net.same(net.a(x))), a=Work(clock), b=Work(clock), same=nn.Identity())
    assert tree(profiled(train(net), net, clock=clock))[4:] == ["Net.backward", "  b.backward", "  a.backward"]


def test_modules_given_in_a_list_leave_what_is_between_them_outside(clock: FakeClock) -> None:
    a, b = Spent(clock), Spent(clock)

    def step() -> None:
        early = spend(clock, ones(True), 1e-3, 7e-3)  # a node that runs after theirs, and leads to neither
        x = spend(clock, a(ones(True)), 1e-4, 2e-4)
        (b(x).sum() + early.sum()).backward()

    profile = profiled(step, {"a": a, "b": b}, clock=clock)
    assert times(profile) == {
        "a.forward": 1, "a.backward": 2, "b.forward": 1, "b.backward": 2, "(outside)": 8.3,
    }  # fmt: skip
    assert tree(profile) == ["a.forward", "b.forward", "b.backward", "a.backward"]


def test_giving_a_parameter_its_gradient_is_part_of_the_call(clock: FakeClock) -> None:
    net = chain(clock, "a", "b")
    net.a.weight.register_post_accumulate_grad_hook(lambda _: clock.spend(0.5e-3))
    assert times(profiled(train(net), net, clock=clock))["a.backward"] == 2.5


def test_hooks_of_others_go_on_and_lie_in_the_call_around(clock: FakeClock) -> None:
    net, seen = chain(clock, "a", "b"), []
    net.a.register_forward_hook(lambda *_: clock.spend(1e-4))
    net.b.register_full_backward_hook(lambda *_: seen.append("b"))
    profile = profiled(train(net), net, clock=clock)
    assert seen == ["b"]
    assert times(profile)["Net.forward"] == 0.1


# Where there is no backward, or another kind


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_without_gradients_there_are_forwards_alone(clock: FakeClock, mode: str) -> None:
    net = chain(clock, "a")
    with getattr(torch, mode)():
        profile = profiled(lambda: [net(ones()) for _ in range(3)], net, clock=clock)
    assert tree(profile) == ["Net.forward", "  a.forward"] * 3
    assert len(profile.account.step_mode) == 3


def test_a_model_set_to_eval_amid_training_is_an_evaluation(clock: FakeClock) -> None:
    net = chain(clock, "a", "b", "a2")
    net.a2 = net.a  # shared

    def epochs() -> None:
        for _ in range(2):
            net.train()
            train(net, 2)()
            net.eval()
            with torch.no_grad():
                net(ones())

    profile = profiled(epochs, net, clock=clock)
    assert profile["a", "evaluate"].calls == 4
    assert profile["Net", "evaluate"].calls == 2
    assert profile["a", "forward"].calls == profile["a", "backward"].calls == 8
    assert len(profile.account.step_mode) == 4


def test_a_frozen_part_in_eval_mode_is_no_evaluation(clock: FakeClock) -> None:
    net = chain(clock, "a", "b")
    net.a.eval()
    assert profiled(train(net, 2), net, clock=clock)["a", "forward"].calls == 2


def test_a_model_in_eval_mode_alone_has_forwards(clock: FakeClock) -> None:
    net = chain(clock, "a").eval()
    assert tree(profiled(lambda: net(ones()), net, clock=clock)) == ["Net.forward", "  a.forward"]


# Checkpoints


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoints_second_forward_is_a_recompute(clock: FakeClock, reentrant: bool) -> None:
    net = Net(
        lambda net, x: net.c(checkpoint(net.b, net.a(x), use_reentrant=reentrant)),
        a=Work(clock), b=nn.Sequential(Work(clock), Work(clock)), c=Work(clock),
    )  # fmt: skip
    profile = profiled(train(net, 2), net, clock=clock)
    assert times(profile) == {
        **{f"{name}.forward": 2 for name in ("a", "b.0", "b.1", "c")},
        **{f"{name}.backward": 4 for name in ("a", "b.0", "b.1", "c")},
        **{f"{name}.recompute": 2 for name in ("b.0", "b.1") if reentrant or name == "b.0"},
    }  # without reentrance it is stopped once it has all, amid b.1
    assert profile["b", "recompute"].calls == profile["b", "backward"].calls == 2
    assert len(profile.account.step_mode) == 2
    assert profile.warnings == []  # that a recomputation is stopped once it has all is no failure


def test_a_recompute_lies_in_the_backward_that_wants_it(clock: FakeClock) -> None:
    net = Net(lambda net, x: checkpoint(net.b, net.a(x), use_reentrant=False), a=Work(clock), b=Work(clock))
    assert tree(profiled(train(net), net, clock=clock))[3:] == [
        "Net.backward", "  b.backward", "    b.recompute", "  a.backward",
    ]  # fmt: skip


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_in_no_module_begins_no_step(clock: FakeClock, reentrant: bool) -> None:
    b = Work(clock)

    def steps() -> None:
        for _ in range(3):
            checkpoint(lambda x: b(x).sin(), ones(True), use_reentrant=reentrant).sum().backward()

    profile = profiled(steps, b, clock=clock)
    assert tree(profile) == ["Work.forward", "Work.recompute", "Work.backward"] * 3
    assert len(profile.account.step_mode) == 3


def test_a_checkpoint_in_a_checkpoint(clock: FakeClock) -> None:
    inner = Net(lambda net, x: checkpoint(net.a, x, use_reentrant=False), a=Work(clock))
    net = Net(lambda net, x: checkpoint(net.inner, x, use_reentrant=False), inner=inner)
    profile = profiled(train(net, x=ones(True)), net, clock=clock)
    assert tree(profile)[3:] == [
        "Net.backward", "  inner.backward", "    inner.a.backward", "      inner.recompute", "      inner.a.recompute",
    ]  # fmt: skip
    assert times(profile) == {"inner.a.forward": 1, "inner.a.backward": 2}  # stopped before it spends any
    assert profile.warnings == []


# The ways in which autograd is run


def test_a_graph_kept_is_gone_through_as_often_as_asked(clock: FakeClock) -> None:
    net = chain(clock, "a", "b")

    def step() -> None:
        loss = net(ones()).sum()
        loss.backward(retain_graph=True)
        loss.backward()

    profile = profiled(step, net, clock=clock)
    assert tree(profile)[3:] == ["Net.backward", "  b.backward", "  a.backward"] * 2
    assert times(profile)["a.backward"] == 4


def test_gradients_asked_for_by_grad_are_backwards(clock: FakeClock) -> None:
    net, x = chain(clock, "a", "b", "c"), ones(True)
    profile = profiled(lambda: torch.autograd.grad(net(x).sum(), [x]), net, clock=clock)
    assert tree(profile)[4:] == ["Net.backward", *(f"  {name}.backward" for name in "cba")]


def test_what_is_not_run_for_the_inputs_asked_for_has_no_backward(clock: FakeClock) -> None:
    net = chain(clock, "a", "b", "c")
    profile = profiled(lambda: net(ones()).sum().backward(inputs=[net.b.weight]), net, clock=clock)
    assert tree(profile)[4:] == ["Net.backward", "  c.backward", "  b.backward"]
    assert times(profile)["b.backward"] == 2
    assert net.a.weight.grad is None


def test_part_of_a_module_is_told_from_what_runs_around_it(clock: FakeClock) -> None:
    """The first node of a module in the engine's order is not run: the others are its own nevertheless."""

    def two(_: Any, x: Any) -> tuple[Any, Any]:
        return spend(clock, x, 0, 1e-3), spend(clock, x.detach().requires_grad_(), 0, 1e-3)

    net = Net(lambda net, x: torch.cat(net.two(net.a(x))), a=Work(clock), two=Net(two))
    profile = profiled(lambda: net(ones()).sum().backward(inputs=[net.a.weight]), net, clock=clock)
    assert times(profile) == {"a.forward": 1, "a.backward": 2, "two.backward": 1}


def test_from_an_edge_of_the_graph(clock: FakeClock) -> None:
    net = chain(clock, "a")
    edges = torch.autograd.graph
    profile = profiled(
        lambda: torch.autograd.backward(edges.get_gradient_edge(net(ones())), torch.ones(2, 3)), net, clock=clock
    )
    assert tree(profile)[2:] == ["Net.backward", "  a.backward"]


def test_the_backward_of_a_backward_is_in_no_module_and_what_it_leads_to_is(clock: FakeClock) -> None:
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), ones(True)

    def step() -> None:
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        slope.square().sum().backward()

    profile = profiled(step, net, clock=clock)
    backwards = [line for line in tree(profile) if "backward" in line]
    assert backwards[:4] == ["Sequential.backward", "  2.backward", "  1.backward", "  0.backward"]
    assert "  1.backward" in backwards[4:]  # its output was kept, and leads through the first Linear again
    assert profile.warnings == []


def test_gradients_taken_inside_a_forward_lie_in_it(clock: FakeClock) -> None:
    def forward(net: Any, x: Any) -> Any:
        return torch.autograd.grad(net.a(x).sum(), x, create_graph=True)[0]

    net = Net(forward, a=Spent(clock))
    profile = profiled(lambda: net(ones(True)), net, clock=clock)
    assert tree(profile) == ["Net.forward", "  a.forward", "  Net.backward", "    a.backward"]
    assert times(profile) == {"a.forward": 1, "a.backward": 2}


def test_a_backward_that_raises_rises_and_is_told(clock: FakeClock) -> None:
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            clock.spend(1e-3)
            raise ZeroDivisionError("there")

    net = Net(lambda net, x: net.c(net.b(net.a(x))), a=Work(clock), b=Net(lambda net, x: Fails.apply(x)), c=Work(clock))

    def steps() -> None:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="there"):
                train(net)()

    profile = profiled(steps, net, clock=clock)
    assert tree(profile)[4:7] == ["Net.backward", "  c.backward", "  b.backward"]
    assert tree(profile)[7:] == tree(profile)[:7]
    raised = profile.calls[profile.calls["status"] == "raised"]
    assert set(zip(raised["path"], raised["phase"], strict=True)) == {("Net", "backward"), ("b", "backward")}
    assert times(profile)["b.backward"] == 2


def test_an_interrupt_in_a_backward_leaves_nothing_open(clock: FakeClock) -> None:
    net = chain(clock, "a", "b")

    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    handle = net.a.weight.register_post_accumulate_grad_hook(interrupted)
    with gpuprof.layertime(net, clock=clock) as run:
        with pytest.raises(KeyboardInterrupt):
            train(net)()
        handle.remove()
        train(net)()
    assert tree(run.profile)[-6:] == tree(run.profile)[:6]


def test_a_forward_that_raises_has_nodes_that_run(clock: FakeClock) -> None:
    kept = []

    def forward(net: Any, x: Any) -> Any:
        kept.append(net.a(x))
        raise ValueError("later")

    net = Net(forward, a=Work(clock))

    def step() -> None:
        with pytest.raises(ValueError, match="later"):
            net(ones())
        kept.pop().sum().backward()

    assert tree(profiled(step, net, clock=clock)) == ["Net.forward", "  a.forward", "Net.backward", "  a.backward"]


def test_a_backward_on_another_thread_is_known_by_its_forward(clock: FakeClock) -> None:
    net = chain(clock, "a")

    def step() -> None:
        loss = net(ones()).sum()
        thread = threading.Thread(target=loss.backward)
        thread.start()
        thread.join()

    profile = profiled(step, net, clock=clock)
    assert tree(profile) == ["Net.forward", "  a.forward", "Net.backward", "  a.backward"]
    assert times(profile) == {"a.forward": 1, "a.backward": 2}
    assert profile.warnings == []


def test_threads_that_train_each_their_own_model_are_told_apart() -> None:
    clock = FakeClock()
    nets = [chain(clock, "a", "b") for _ in range(2)]

    def steps() -> None:
        for net in (*nets, nets[0]):
            thread = threading.Thread(target=train(net, 2))
            thread.start()
            thread.join()

    profile = profiled(steps, *nets, clock=clock)
    assert times(profile)["Net.a.backward"] == 8
    assert times(profile)["Net#2.a.backward"] == 4


def test_a_graph_made_before_the_profile_is_in_no_module(clock: FakeClock) -> None:
    net = chain(clock, "a")
    before = net(ones()).sum()

    def steps() -> None:
        before.backward()
        train(net)()

    assert tree(profiled(steps, net, clock=clock)) == ["Net.forward", "  a.forward", "Net.backward", "  a.backward"]


def test_a_graph_that_outlives_the_profile_writes_nowhere(clock: FakeClock) -> None:
    net, kept = chain(clock, "a"), []

    def step() -> None:
        kept.append(net(ones()).sum())
        kept[0].backward(retain_graph=True)

    profile = profiled(step, net, clock=clock)
    kept[0].backward()
    assert len(profile.calls) == 4
    assert net.a.weight.grad.tolist() == [12]


def test_func_transforms_run_as_ever(clock: FakeClock) -> None:
    net = chain(clock, "a")
    linear = nn.Linear(3, 3)

    def loss(weights: Any, x: Any) -> Any:
        return torch.func.functional_call(linear, weights, (x,)).sum()

    weights = dict(linear.named_parameters())
    with gpuprof.layertime(linear, net, clock=clock) as run:
        each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, torch.ones(4, 3))
        batched = torch.autograd.functional.jacobian(linear, torch.ones(3), vectorize=True)
    assert each["weight"].shape == (4, 3, 3)
    assert torch.equal(batched, linear.weight)
    assert run.profile["Linear", "forward"].calls == 2
    assert run.profile.seen.untold == ()


# What is said of it


def test_the_lines_of_a_forward_are_followed_and_a_backward_has_none(clock: FakeClock) -> None:
    net = chain(clock, "a", "b")
    profile = profiled(train(net, 12), net, clock=clock, lines="a.forward")
    assert profile.lines["a.forward"].table["hits"].max() == 1
    with pytest.raises(ValueError, match=r"a\.backward is no Python: .* follow a\.forward"):
        gpuprof.layertime(net, lines="a.backward")


def test_a_model_of_many_modules_that_is_not_called_names_some() -> None:
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(60)))
    assert "of Sequential, 0, 1, 2, 3, 4, 5, 6 and 53 more; it called none" in profiled(lambda: None, net).verdict


def test_advice_does_not_send_to_what_modules_have_not(clock: FakeClock) -> None:
    device = FakeClock(device=True, launch_cost=1e-4)
    net = Net(lambda net, x: net.a(x), a=Work(device, 1e-6, 1e-6))
    profile = profiled(train(net, 40), net, clock=device, kernels=True)
    (launches,) = [finding for finding in profile.advice if finding.rule == "launch-bound"]
    assert launches.next == 'torch.compile(lm, mode="reduce-overhead")'


# Nothing is left


def attributes(net: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(dict(vars(module)), dict(vars(type(module)))) for module in net.modules()]


def test_every_module_and_pytorch_afterwards_are_as_they_were(clock: FakeClock) -> None:
    net = chain(clock, "a", "b")
    net.b.forward = mine = net.b.forward
    adam = torch.optim.Adam(net.parameters())
    steps = sys.modules["torch.optim.optimizer"]

    def state() -> tuple[Any, ...]:
        return (
            attributes(net), torch.autograd._engine_run_backward, nn.Module._replicate_for_data_parallel,
            dict(steps._global_optimizer_pre_hooks), dict(steps._global_optimizer_post_hooks), dict(vars(adam)),
        )  # fmt: skip

    train(net)()
    adam.step()
    before = state()

    def cell() -> None:
        train(net)()
        adam.step()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        profiled(cell, net, clock=clock)
    assert [str(each) for each in state()] == [str(each) for each in before]
    assert vars(net.b)["forward"] is mine
    assert torch.autograd._engine_run_backward is before[1]


def test_graphs_afterwards_have_no_hooks(clock: FakeClock) -> None:
    net, kept = chain(clock, "a", "b"), []

    def step() -> None:
        kept.append(net(ones()).sum())
        kept[0].backward(retain_graph=True)

    with gpuprof.layertime(net, clock=clock) as run:
        step()
        log = weakref.ref(run._log)
    del run
    gc.collect()
    assert log() is None, "the graph holds the log"


def test_no_tensor_lives_longer_for_being_profiled(clock: FakeClock) -> None:
    net = chain(clock, "a")
    with gpuprof.layertime(net, clock=clock):
        x = ones()
        y = net(x)
        held = weakref.ref(x), weakref.ref(y)
        y.sum().backward()
        del x, y
        assert [each() for each in held] == [None, None]


def test_profiles_that_overlap_both_see_and_come_off(clock: FakeClock) -> None:
    net, own = chain(clock, "a"), torch.autograd._engine_run_backward
    one, other = gpuprof.layertime(net, clock=clock), gpuprof.layertime(net, clock=clock)
    one.__enter__()
    train(net)()
    other.__enter__()
    train(net)()
    one.__exit__(None, None, None)
    train(net)()
    other.__exit__(None, None, None)
    assert "forward" not in vars(net)
    assert torch.autograd._engine_run_backward is own
    assert [run.profile["a", "backward"].calls for run in (one, other)] == [2, 2]
    assert [run.profile["a", "forward"].calls for run in (one, other)] == [2, 2]


def test_a_patch_of_somebody_elses_over_ours_is_left_to_them(clock: FakeClock) -> None:
    net, own = chain(clock, "a"), torch.autograd._engine_run_backward
    with gpuprof.layertime(net, clock=clock):
        ours = torch.autograd._engine_run_backward
        torch.autograd._engine_run_backward = theirs = lambda *args, **kwargs: ours(*args, **kwargs)
    assert torch.autograd._engine_run_backward is theirs
    train(net)()
    torch.autograd._engine_run_backward = own
    assert net.a.weight.grad is not None


def test_copies_and_pickles_made_while_profiling_are_their_own(clock: FakeClock) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def copies() -> None:
        for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            other(ones())
        file = io.BytesIO()
        torch.save(net, file)
        file.seek(0)
        torch.load(file, weights_only=False)(ones())
        net.load_state_dict(net.state_dict())

    with gpuprof.layertime(net, clock=clock) as run:
        net(ones())
        copies()
    assert len(run.profile.calls) == 3


# What runs as a whole


def test_a_module_compiled_is_one_row_and_said_to_be(clock: FakeClock, tmp_path: Path) -> None:
    encoder = torch.compile(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), backend="eager")
    net = Net(lambda net, x: net.head(net.encoder(x)), encoder=encoder, head=nn.Linear(3, 3))
    train(net)()
    profile = profiled(train(net), net, clock=clock)
    assert tree(profile) == [
        "Net.forward", "  encoder.forward", "  head.forward", "Net.backward", "  head.backward", "  encoder.backward",
    ]  # fmt: skip
    assert profile.seen.untold == ("the modules inside of encoder (made one by torch.compile)",)
    assert "not measured: the modules inside of encoder (made one by torch.compile)." in profile.notes
    assert Profile.load(profile.save(tmp_path / "p.json")).seen.untold == profile.seen.untold


def test_what_is_compiled_forward_and_backward_has_both(clock: FakeClock) -> None:
    encoder = torch.compile(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), backend="aot_eager")
    net = Net(lambda net, x: net.head(net.encoder(x)), encoder=encoder, head=nn.Linear(3, 3))
    train(net)()
    assert tree(profiled(train(net), net, clock=clock)) == [
        "Net.forward", "  encoder.forward", "  head.forward", "Net.backward", "  head.backward", "  encoder.backward",
    ]  # fmt: skip


def test_a_module_compiled_in_place_is_one_row(clock: FakeClock) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    net.compile(backend="eager")
    before = dict(vars(net))
    profile = profiled(train(net, 2), net, clock=clock)
    assert tree(profile) == ["Sequential.forward", "Sequential.backward"] * 2
    assert dict(vars(net)) == before


def test_code_that_is_compiled_has_the_modules_as_they_are(clock: FakeClock) -> None:
    """Or each of them would end the compiled code, and what was measured would be something else."""
    from torch._dynamo.testing import CompileCounter

    net, counter = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)), CompileCounter()
    compiled = torch.compile(net, backend=counter)
    compiled(ones())
    profile = profiled(lambda: compiled(ones()), net, clock=clock)
    assert (counter.frame_count, counter.op_count) == (2, 6)  # once more, for forward was another: in one piece
    compiled(ones())
    assert counter.frame_count == 2
    assert tree(profile) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_trace_has_the_modules_as_they_are(clock: FakeClock) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True))
    profile = profiled(lambda: torch.jit.trace(net, ones())(ones()), net, clock=clock)
    assert tree(profile) == ["Sequential.forward", "  0.forward", "  1.forward"]  # as it compares, untraced


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_one_row(clock: FakeClock) -> None:
    net = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU())), nn.Linear(3, 3))
    profile = profiled(train(net), net, clock=clock)
    assert tree(profile)[:3] == ["Sequential.forward", "  0.forward", "  1.forward"]
    assert profile.seen.untold == ("the modules inside of 0 (made one by TorchScript)",)


def test_a_replica_for_data_parallel_has_its_own_forward(clock: FakeClock) -> None:
    net = chain(clock, "a")

    def replicate() -> None:
        replica = net.a._replicate_for_data_parallel()
        assert "forward" not in vars(replica)
        assert replica.forward.__self__ is replica
        train(net)()

    profile = profiled(replicate, net, clock=clock)
    assert tree(profile) == ["Net.forward", "  a.forward"]
    assert profile.seen.untold == ("backward of modules (nn.DataParallel calls copies of them on threads of its own)",)


# Updates


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_an_optimizers_step_is_an_update_under_its_name(clock: FakeClock, name: str) -> None:
    net = chain(clock, "a", "b")
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: clock.spend(1e-3))

    def steps() -> None:
        for _ in range(3):
            optimizer.zero_grad()
            train(net)()
            optimizer.step()

    profile = profiled(steps, net, clock=clock)
    assert tree(profile)[:7] == ["Net.forward", "  a.forward", "  b.forward", "Net.backward", "  b.backward",
                                 "  a.backward", f"{name}.update"]  # fmt: skip
    assert times(profile)[f"{name}.update"] == 3
    assert len(profile.account.step_mode) == 3
    assert profile.seen.parameters == 2


def test_two_optimizers_have_two_rows_and_one_of_other_parameters_none(clock: FakeClock) -> None:
    net = chain(clock, "a", "b")
    others = nn.Linear(2, 2)
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (net.a, net.b, others)]

    def step() -> None:
        train(net)()
        for optimizer in optimizers:
            optimizer.step()

    assert [line for line in tree(profiled(step, net, clock=clock)) if "update" in line] == [
        "SGD.update",
        "SGD#2.update",
    ]


def test_what_a_closure_does_is_no_part_of_the_update(clock: FakeClock) -> None:
    net = chain(clock, "a")
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=2, line_search_fn=None)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = net(ones()).sum()
        loss.backward()
        return loss

    profile = profiled(lambda: [optimizer.step(closure) for _ in range(2)], net, clock=clock)
    often = profile["a", "forward"].calls
    assert often >= 3
    assert tree(profile) == [
        "Net.forward", "  a.forward", "Net.backward", "  a.backward", "LBFGS.update",
    ] * int(often)  # fmt: skip
    assert times(profile) == {"a.forward": often, "a.backward": 2 * often}
    assert profile["LBFGS", "update"].calls == often  # one for each run of the closure
    by_name = profiled(lambda: torch.optim.SGD(net.parameters(), lr=0.1).step(closure=closure), net, clock=clock)
    assert tree(by_name)[-1] == "SGD.update"


def test_a_step_that_calls_that_of_the_class_above_is_one_update(clock: FakeClock) -> None:
    net = chain(clock, "a", "b")

    class Twice(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            clock.spend(1e-3)
            found = super().step(closure)
            clock.spend(1e-3)
            return found

    twice, other = Twice([net.a.weight], lr=0.1), torch.optim.SGD([net.b.weight], lr=0.1)

    def loss() -> Any:
        found = net(ones()).sum()
        found.backward()
        return found

    profile = profiled(
        lambda: [other.step(), twice.step(), twice.step(loss), twice.step(closure=loss)], net, clock=clock
    )
    updates = [line for line in tree(profile) if "update" in line]
    assert updates == ["SGD.update", *["Twice.update"] * 3]
    assert times(profile)["Twice.update"] == 2 + 1 + 1  # what comes before a closure is outside
    assert profile.warnings == []


def test_an_update_that_raises_ends_at_the_latest_with_the_profile(clock: FakeClock) -> None:
    net = chain(clock, "a")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    class Fails(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            raise ZeroDivisionError

    fails = Fails(net.parameters(), lr=0.1)

    def step() -> None:
        with pytest.raises(ZeroDivisionError):
            fails.step()

    profile = profiled(lambda: [train(net)(), step(), train(net)(), optimizer.step(), step()], net, clock=clock)
    calls = profile.calls[profile.calls["phase"] == "update"]
    assert list(zip(calls["path"], calls["status"], strict=True)) == [
        ("Fails", "raised"),
        ("SGD", "returned"),
        ("Fails", "raised"),
    ]


# Modules of PyTorch's own, and odd ones


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.LSTM(4, 5, num_layers=2), (3, 2, 4)),
        (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 3, 8)),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True), nn.Dropout(0.5)), (2, 1, 5, 5)),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), (2, 4)),
        (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), (2, 4)),
        (lambda: nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d()), (2, 3)),
        (lambda: nn.Bilinear(4, 4, 2), (2, 4)),
    ],
)
def test_modules_of_pytorchs_own_come_to_the_same(make: Callable[[], Any], shape: tuple[int, ...]) -> None:
    def gradients(watched: bool) -> list[Any]:
        torch.manual_seed(0)
        net, x = make(), torch.randn(shape, requires_grad=True)

        def run() -> None:
            found = net(x, x) if isinstance(net, nn.Bilinear) else net(x)
            (found[0] if isinstance(found, tuple) else found).square().sum().backward()

        if watched:
            profile = profiled(run, net)
            assert profile.seen.untold == ()
            assert profile.warnings == []
            assert profile[type(net).__name__, "backward"].calls == 1
        else:
            run()
        return [x.grad, *(parameter.grad for parameter in net.parameters())]

    for ours, plain in zip(gradients(watched=True), gradients(watched=False), strict=True):
        assert torch.equal(ours, plain)


def test_random_numbers_are_those_drawn_without_us(clock: FakeClock) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    torch.manual_seed(0)
    plain = net(ones())
    torch.manual_seed(0)
    with gpuprof.layertime(net, clock=clock):
        assert torch.equal(net(ones()), plain)


def test_both_kinds_of_layers_in_one_cell(clock: FakeClock) -> None:
    lm, net = FakeModel(clock, "A"), chain(clock, "a")

    def step() -> None:
        lm.train(1)
        train(net)()

    profile = profiled(step, lm, net, clock=clock)
    assert tree(profile) == ["A.forward", "A.backward", "A.update", "Net.forward", "  a.forward",
                             "Net.backward", "  a.backward"]  # fmt: skip
    assert profile.seen.modules == ("Net", "a")


def test_a_layer_may_use_a_module_that_is_profiled_too(clock: FakeClock) -> None:
    class Layer:
        name = "L"

        def __init__(self) -> None:
            self.layers = [Spent(clock)]

        def forward(self, x: Any) -> Any:
            self.x, self.y = x, self.layers[0](x)
            return self.y

        def backward(self, dy: Any) -> Any:
            return torch.autograd.grad(self.y, self.x, dy)

    layer = Layer()
    profile = profiled(lambda: layer.backward(torch.ones_like(layer.forward(ones(True)))), [layer], clock=clock)
    assert tree(profile) == ["L.forward", "  L/Spent0.forward", "L.backward", "  L/Spent0.backward"]


def test_nvtx_ranges_lie_around_backwards_and_updates_too(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    domain = SimpleNamespace(
        get_event_attributes=lambda message: message, push_range=said.append, pop_range=lambda: said.append("")
    )
    nvtx = ModuleType("nvtx")
    nvtx.get_domain = lambda name: domain  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nvtx", nvtx)
    device = FakeClock(device=True)
    net = chain(device, "a", "b")
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    with LayerTime((net,), device, blocks=[Block(Mode.PLAIN, 1 << 62, 1e9)], nvtx=True):
        for _ in range(2):
            train(net)()
            sgd.step()
    assert said[: len(said) // 2] == said[len(said) // 2 :] == [
        "Net/forward", "a/forward", "", "b/forward", "", "",
        "Net/backward", "b/backward", "", "a/backward", "", "", "SGD/update", "",
    ]  # fmt: skip


def test_on_a_processor_the_host_clock_is_taken_and_said() -> None:
    net = nn.Linear(3, 3)
    with gpuprof.layertime(net) as run:
        train(net, 3)()
    assert run.profile.clock == "host clock"
    assert "host clock: no GPU in use, so this is host time, not GPU time" in run.profile.notes
    assert found_modules.on_host([net])


# Passes, on a fake device


@pytest.fixture
def device() -> FakeClock:
    return FakeClock(device=True, launch_cost=1e-5, mark_cost=7e-6)


def test_kernels_are_of_the_module_whose_node_launched_them(device: FakeClock) -> None:
    net = Net(lambda net, x: net.b(net.a(x)), a=Work(device, 1e-4, 2e-4), b=Work(device, 3e-4, 4e-4))

    def step() -> None:
        spend(device, net(ones()), 5e-4, 6e-4).sum().backward()

    with LayerTime((net,), device, blocks=[Block(KERNELS, 1 << 62, 1e9)]) as run:
        for _ in range(8):
            step()
    profile = run.profile
    busy = {(row.path, row.phase): row.busy_us for row in profile.table.itertuples()}
    assert busy["a", "forward"] == pytest.approx(100)
    assert busy["a", "backward"] == pytest.approx(200)
    assert busy["b", "forward"] == pytest.approx(300)
    assert busy["b", "backward"] == pytest.approx(400)
    assert profile["b", "backward"].launches == profile["a", "backward"].launches == 1
    assert set(profile.kernels["path"]) == {"a", "b", "(outside)"}
    assert profile.seen.kernels.unknown == 0


def test_marks_are_taken_where_another_module_begins_and_nowhere_else(device: FakeClock) -> None:
    net = chain(device, "a", "b", "c")
    with LayerTime((net,), device, blocks=[Block(Mode.EVENTS, 1 << 62, 1e9)]) as run:
        for _ in range(3):
            train(net)()
            device.spend(1e-3)
        marks = len(device._marks)
        train(net)()
        # Net and a begin together, as do c and Net at the end of the forward, and c's backward with Net's
        taken = len(device._marks) - marks
    assert taken == 4 + 4
    calls = run.profile.calls
    spans = calls[(calls["path"] == "b") & (calls["phase"] == "backward")]["span_us"]
    assert spans.iloc[-1] == pytest.approx(2000)


def test_what_is_counted_in_plain_steps_is_what_comes_after_the_same_forwards(device: FakeClock) -> None:
    """A GAN has two backwards a step, after different forwards."""
    g, d = chain(device, "a"), chain(device, "a", "b")

    def steps(number: int) -> None:
        for _ in range(number):
            fake = g(ones())
            (d(ones()) + d(fake.detach())).sum().backward()
            d(fake).sum().backward()
            device.spend(1e-3)

    blocks = [Block(Mode.EVENTS, 3, 1e9), Block(Mode.PLAIN, 1 << 62, 1e9)]
    with LayerTime((g, d), device, blocks=blocks) as run:
        steps(6)
    calls = run.profile.calls
    backward = calls["phase"] == "backward"
    followed = calls.loc[backward & (calls["status"] == "returned"), "path"].to_list()
    noted = calls.loc[backward & (calls["status"] == "noted"), "path"].to_list()
    assert followed == noted
    assert noted[:9] == 2 * ["Net#2", "Net#2.b", "Net#2.a"] + ["Net#2", "Net#2.b", "Net#2.a"]
    assert run.profile["Net.a", "backward"].calls == 6


def test_a_backward_after_forwards_never_seen_is_followed_in_a_plain_step_too(device: FakeClock) -> None:
    net = chain(device, "a", "b")
    blocks = [Block(Mode.EVENTS, 2, 1e9), Block(Mode.PLAIN, 1 << 62, 1e9)]
    with LayerTime((net,), device, blocks=blocks) as run:
        train(net, 4)()
        (net(ones()) + net(ones())).sum().backward()
    calls = run.profile.calls
    assert calls.loc[calls["phase"] == "backward", "status"].to_list() == 6 * ["returned"] + 6 * ["noted"] + 6 * [
        "returned"
    ]


def test_calls_that_were_not_followed_are_drawn_nowhere(device: FakeClock, tmp_path: Path) -> None:
    net = chain(device, "a")
    blocks = [Block(Mode.EVENTS, 2, 1e9), Block(Mode.PLAIN, 1 << 62, 1e9)]
    with LayerTime((net,), device, blocks=blocks) as run:
        train(net, 5)()
    trace = run.profile.to_trace(tmp_path / "trace.json").read_text()
    assert trace.count('"a.forward"') > trace.count('"a.backward"') > 0
    assert "NaN" not in trace
    assert run.profile.timeline(4)
    assert Profile.load(run.profile.save(tmp_path / "p.json")).calls.equals(run.profile.calls)


def test_plain_steps_count_their_calls_without_a_mark(device: FakeClock) -> None:
    net = chain(device, "a", "b")
    with LayerTime((net,), device, blocks=[Block(Mode.EVENTS, 4, 1e9), Block(Mode.PLAIN, 1 << 62, 1e9)]) as run:
        train(net, 4)()
        marks = len(device._marks)
        for _ in range(4):
            device.spend(1e-3)
            train(net)()
        assert len(device._marks) - marks == 4  # one where a step begins
    profile = run.profile
    assert profile["b", "backward"].calls == profile["b", "forward"].calls == 8
    assert profile["b", "backward"].host_us == pytest.approx(10)  # of steps with events: others are not followed
    noted = profile.calls[profile.calls["status"] == "noted"]
    assert list(noted["path"]) == ["Net", "b", "a"] * 4
    assert set(noted["phase"]) == {"backward"}
    assert noted["host_us"].isna().all()
    assert tree(profile)[-3:] == ["Net.backward", "  b.backward", "  a.backward"]
    assert times(profile)["b.backward"] == pytest.approx(16, rel=0.05)
    assert profile.closure < 0.02
