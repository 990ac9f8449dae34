"""An epoch of the article's net on whole MNIST with NumPy, beside PyTorch on the same CPU, in turns of a few steps.

    CNN_DATA_DIR=... python -m benchmarks.cpu_epoch [ROUNDS [SHARE [PAUSE]]]    # 50 rounds of the whole epoch, no pause

Each round does the next part of the epoch in cnn and then in PyTorch, both with gathered batches and Adam, so that
whatever else the machine does falls on both. Kept: wall and CPU seconds a step of every round, the test accuracies
after the epoch (that both did the work), and cnn's table of layers from `gpuprof.layertime`.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import gpuprof
from benchmarks.net import article_net, data
from benchmarks.results import keep
from benchmarks.tables import Claim, word

GOALS = {8: 0.7, 128: 3.0}  # cnn's time over PyTorch's
QUIET = 0.2  # cores that other processes may take in a round that counts
SETTLE = 2  # steps before the clock starts: the other's threads may still spin


def main(rounds: float = 50, share: float = 1.0, pause: float = 0.0) -> None:
    """Measure, print a short table, keep everything."""
    import torch

    images = data()
    runs = [epoch(images, n_batch, int(rounds), share, pause) for n_batch in GOALS]
    content = {
        "images": len(images[0][0]),
        "share": share,
        "threads": {"torch": torch.get_num_threads(), "blas": [pool["num_threads"] for pool in threadpool_info()]},
        "versions": {"numpy": np.__version__, "torch": torch.__version__},
        "cores": os.cpu_count(),
        "runs": runs,
    }
    for run in runs:
        what, least, found, reached = claim(run)
        print(f"{what}: asked {least}; {found}; reached: {reached}")
    print(f"wrote {keep('cpu_epoch', content)}")


def epoch(images: Any, n_batch: int, rounds: int, share: float, pause: float) -> dict[str, Any]:
    """One epoch, or its first `share`, of both in turns; on a shared machine with a pause of seconds between rounds."""
    ours, theirs = Cnn(images), Torch(images)
    order = np.random.default_rng(0).permutation(len(images[0][0]))
    steps = int(share * len(order)) // n_batch
    parts = np.array_split(order[: steps * n_batch].reshape(-1, n_batch), rounds)
    samples: dict[str, list[dict[str, float]]] = {"cnn": [], "torch": []}
    for part in parts:
        for name, net in (("cnn", ours), ("torch", theirs)):
            samples[name].append(timed(net.step, part))
        time.sleep(pause)
    with gpuprof.layertime(ours.lm) as timing:
        ours.lm.training(1, n_batch=n_batch, steps=100, show_error=False)
    return {
        "n_batch": n_batch,
        "epoch_steps": -(-len(order) // n_batch),
        "steps": [len(part) for part in parts],
        "samples": samples,
        "accuracy": {"cnn": ours.accuracy(), "torch": theirs.accuracy()},
        "load": os.getloadavg(),
        "table": timing.profile.table.to_dict("records"),
    }


def timed(step: Callable[[Any], None], part: Any) -> dict[str, float]:
    """Wall and CPU seconds a step, over the steps of `part` after the first few; and the cores that others took."""
    for places in part[:SETTLE]:
        step(places)
    wall, cpu, busy = time.perf_counter(), time.process_time(), busy_seconds()
    for places in part[SETTLE:]:
        step(places)
    wall, cpu, busy = time.perf_counter() - wall, time.process_time() - cpu, busy_seconds() - busy
    count = max(1, len(part) - SETTLE)
    return {"wall_s": wall / count, "cpu_s": cpu / count, "others": max(0.0, busy - cpu) / wall}


def busy_seconds() -> float:
    """How long all cores have worked since the machine started, in steps of 10 ms; Linux tells."""
    with Path("/proc/stat").open() as file:
        user, nice, system, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def claim(run: dict[str, Any]) -> Claim:
    """The ratio asked for and the one found: over the rounds in which others took little, or over all."""
    rounds = list(zip(run["samples"]["cnn"], run["samples"]["torch"], strict=True))
    quiet = [both for both in rounds if max(each["others"] for each in both) < QUIET]
    ours, theirs = zip(*(quiet or rounds), strict=True)
    medians = [statistics.median(each["wall_s"] for each in side) for side in (ours, theirs)]
    ratios = {
        clock: statistics.median(a[clock] / b[clock] for a, b in zip(ours, theirs, strict=True))
        for clock in ("wall_s", "cpu_s")
    }
    epochs = [run["epoch_steps"] * median for median in medians]
    n_batch, accuracy = run["n_batch"], run["accuracy"]
    return Claim(
        f"a step at n_batch {n_batch}: cnn's time over PyTorch's",
        f"≤ {GOALS[n_batch]:g}",
        f"{ratios['wall_s']:.2f} ({medians[0] * 1e3:.2f} and {medians[1] * 1e3:.2f} ms; of CPU time "
        f"{ratios['cpu_s']:.2f}; {len(quiet)} quiet rounds of {len(rounds)}; an epoch {epochs[0]:.0f} and "
        f"{epochs[1]:.0f} s, then {accuracy['cnn']:.2%} and {accuracy['torch']:.2%} of the test images right)",
        word(ratios["wall_s"] <= GOALS[n_batch]),
    )


class Cnn:
    """The article's net in cnn."""

    def __init__(self, images: Any) -> None:
        self.lm = article_net("cpu", images=images)

    def step(self, places: Any) -> None:
        """One training step on the images at `places`."""
        lm = self.lm
        lm.forward(lm.x_train.take(places, axis=0), train=True)
        lm.backward(lm.y_train.take(places, axis=0))
        lm.update()

    def accuracy(self) -> float:
        """Of the test images."""
        return float((self.lm.predict_proba().argmax(axis=1) == self.lm.y_test.argmax(axis=1)).mean())


class Torch:
    """The same in PyTorch, eager, with its own first weights."""

    def __init__(self, images: Any) -> None:
        import torch

        nn = torch.nn
        torch.manual_seed(0)
        self.torch = torch
        (x, t), (x_test, t_test) = images
        self.x, self.t = torch.from_numpy(x), torch.from_numpy(t.argmax(axis=1))
        self.x_test, self.t_test = torch.from_numpy(x_test), torch.from_numpy(t_test.argmax(axis=1))
        self.net = nn.Sequential(
            nn.Conv2d(1, 10, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(1960, 100), nn.ReLU(), nn.Linear(100, 10),
        )  # fmt: skip
        self.adam = torch.optim.Adam(self.net.parameters())
        self.loss = nn.CrossEntropyLoss()

    def step(self, places: Any) -> None:
        """One training step on the images at `places`."""
        places = self.torch.from_numpy(places)
        self.adam.zero_grad()
        self.loss(self.net(self.x[places]), self.t[places]).backward()
        self.adam.step()

    def accuracy(self) -> float:
        """Of the test images."""
        with self.torch.no_grad():
            return float((self.net(self.x_test).argmax(dim=1) == self.t_test).float().mean())


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
