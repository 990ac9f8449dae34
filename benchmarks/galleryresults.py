"""What the pictures of docs/gallery.md are drawn from, measured on a machine with a GPU in about a minute.

`python -m benchmarks.galleryresults` writes benchmarks/results/gallery.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gpuprof
from benchmarks.net import article_net, has_gpu
from benchmarks.results import FOLDER

RESULTS = FOLDER / "gallery"


def main() -> None:
    """Write all results; on a machine without a GPU small ones, on the host clock."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for made in (_slow, _mended, _batches, _deep, _statement):
        made("gpu" if has_gpu() else "cpu")


def _slow(mode: str) -> None:
    """The article's net with its slow pooling, bound by launches at 8 images a step, by the GPU at 32."""
    for n_batch in (8, 32):
        lm = article_net(mode, "article")
        lm.training(1, n_batch=n_batch, steps=3, show_error=False, graph=False)
        lines = "Pool1.backward" if n_batch == 32 else ()
        with gpuprof.layertime(lm, kernels=True, lines=lines) as run:
            lm.training(1, n_batch=n_batch, steps=40, show_error=False, graph=False)
        run.profile.save(RESULTS / f"slow_{n_batch}.json.gz")


def _mended(mode: str) -> None:
    """The same net, mended, at 32."""
    lm = article_net(mode)
    lm.training(1, n_batch=32, steps=3, show_error=False, graph=False)
    with gpuprof.layertime(lm, kernels=True) as run:
        lm.training(1, n_batch=32, steps=40, show_error=False, graph=False)
    run.profile.save(RESULTS / "mended_32.json.gz")


def _batches(mode: str) -> None:
    """A step of the mended net over batch sizes."""
    lm = article_net(mode)
    tiled = [lm.x_train, lm.y_train]
    xp = __import__("cupy" if mode == "gpu" else "numpy")

    def step(n: int) -> None:
        x, t = given[n]
        lm.forward(x, train=True)
        lm.backward(t)
        lm.update()

    sizes = [2**k for k in range(3, 13 if mode == "gpu" else 6)]
    given = {n: tuple(xp.concatenate([each] * -(-n // len(each)))[:n] for each in tiled) for n in sizes}
    gpuprof.sweep(step, {"n_batch": sizes}, model=lm).save(RESULTS / "batches.json.gz")


def _deep(mode: str) -> None:
    """A deep net of PyTorch's modules."""
    import torch
    from torch import nn

    device = "cuda" if mode == "gpu" else "cpu"
    torch.manual_seed(0)
    widths = pairwise([3, 32, 32, 64, 64, 128, 128, 256, 256])
    layers = [nn.Sequential(nn.Conv2d(a, b, 3, 1 + (a != b), 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in widths]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)).to(device)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    x = torch.randn(256 if mode == "gpu" else 2, 3, 32, 32, device=device)
    t = torch.randint(0, 10, (len(x),), device=device)

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), t).backward()
            optimizer.step()

    train(5)
    with gpuprof.layertime(net, kernels=True) as run:
        train(30)
    run.profile.save(RESULTS / "deep.json.gz")


def _statement(mode: str) -> None:
    """A softmax in five calls: one size, and over sizes."""
    xp = __import__("cupy" if mode == "gpu" else "numpy")

    def softmax(a: Any) -> Any:
        e = xp.exp(a - a.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    names = {"softmax": softmax, "A": xp.ones((128, 128), "float32"), "xp": xp}
    gpuprof.timeit("softmax(A)", globals=names).save(RESULTS / "softmax.json.gz")
    over = {"n": [2**k for k in range(6, 14 if mode == "gpu" else 8)]}
    setup = 'B = xp.ones((n, n), "float32")'
    gpuprof.sweep("softmax(B)", over, setup=setup, globals=names).save(RESULTS / "sizes.json.gz")


if __name__ == "__main__":
    main()
