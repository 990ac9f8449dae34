"""Training loops that others write around PyTorch's modules: each of them calls the same layers in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gpuprof
from gpuprof.results.profile import Profile

torch = pytest.importorskip("torch", reason="needs PyTorch: make test TORCH=1")

from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]  # the frameworks' own

STEPS = 8


@pytest.fixture
def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 3))


@pytest.fixture
def batches() -> Any:
    """Half as many as there are steps: there are two epochs."""
    return DataLoader(TensorDataset(torch.rand(64, 8), torch.randint(0, 3, (64,))), batch_size=16)


def check(profile: Profile, update: str, prefix: str = "", updates: int = STEPS) -> None:
    """Every step has a forward and a backward of each layer, and the optimizer's step lies around none of them."""
    for path in ("0", "1", "2"):
        for phase in ("forward", "backward"):
            assert profile[prefix + path, phase].calls == STEPS
    assert profile[update, "update"].calls == updates
    assert len(profile.account.step_mode) == STEPS
    updated = profile.calls.loc[profile.calls["phase"] == "update", "call"]
    assert not profile.calls["parent"].isin(updated).any()
    assert profile.warnings == []


def test_a_loop_written_by_hand(net: Any, batches: Any) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with gpuprof.layertime(net) as run:
        for _ in range(2):
            for x, t in batches:
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x), t).backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
    check(run.profile, "SGD")


def test_a_loop_with_a_schedule_of_the_learning_rate(net: Any, batches: Any) -> None:
    optimizer = torch.optim.AdamW(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=STEPS + 1)
    with gpuprof.layertime(net) as run:
        for _ in range(2):
            for x, t in batches:
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x), t).backward()
                optimizer.step()
                schedule.step()
    check(run.profile, "AdamW")


def test_lightning(net: Any, batches: Any) -> None:
    """It gives the forward and the backward to the optimizer's step as a closure, and validates before it trains."""
    lightning = pytest.importorskip("lightning", reason="needs Lightning: pip install lightning")

    class Lit(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: Any, _: int) -> Any:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, _: int) -> None:
            self.net(batch[0])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    model = Lit()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet)
    with gpuprof.layertime(model) as run:
        trainer.fit(model, batches, batches)
    check(run.profile, "Adam", "net.")
    assert run.profile["net.0", "evaluate"].calls == 2 + 2 * STEPS // 2  # two before it trains


def test_ignite(net: Any, batches: Any) -> None:
    engine = pytest.importorskip("ignite.engine", reason="needs Ignite: pip install pytorch-ignite")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    trainer = engine.create_supervised_trainer(net, optimizer, nn.functional.cross_entropy)
    with gpuprof.layertime(net) as run:
        trainer.run(batches, max_epochs=2)
    check(run.profile, "SGD")


def test_accelerate(net: Any, batches: Any) -> None:
    accelerate = pytest.importorskip("accelerate", reason="needs Accelerate: pip install accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimizer, loader = accelerator.prepare(net, torch.optim.SGD(net.parameters(), lr=0.1), batches)

    def train(step: Callable[[], object]) -> None:
        for x, t in loader:
            with accelerator.accumulate(model):
                accelerator.backward(nn.functional.cross_entropy(model(x), t))
                step()
                optimizer.zero_grad()

    with gpuprof.layertime(model) as run:
        for _ in range(2):
            train(optimizer.step)
    check(run.profile, "SGD", updates=STEPS // 2)
