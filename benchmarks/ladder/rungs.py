"""The rungs: what each is, and how its steps are run. docs/ladder.md says which change leads from one to the next."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from benchmarks import epoch
from benchmarks.epoch import Way
from benchmarks.epoch.ours import captured_way, plain_way
from benchmarks.net import article_net
from cnn.kernels.layerwise import off

LARGEST_SLOW = 32  # images a step with the article's pooling: its time grows with the square of the batch


@dataclass(frozen=True)
class Rung:
    """One way to train the article's net.

    Attributes:
        route: of its pooling.
        layerwise: whether layers take their fused kernels.
        graph: "" layer by layer; "by hand" the layers' kernels in a graph of a step; "fused" cnn's captured steps.
        in_a_graph: so many steps in one of those; None: as `training` has it.
        typed: what is typed over the training to look into it.
        call: whether one layer's call is timed besides.
    """

    route: str = "first"
    layerwise: bool = True
    graph: str = ""
    in_a_graph: int | None = None
    typed: str = "%%layertime --kernels lm"
    call: bool = False

    def misfit(self, n_batch: int, mode: str) -> str:
        """Why it cannot be run, or ""."""
        if self.graph and mode != "gpu":
            return "there are no graphs on a CPU"
        if self.route == "article" and n_batch > LARGEST_SLOW:
            return f"with more than {LARGEST_SLOW} images a step it takes seconds"
        return ""


_GRAPHED = "%%layertime --kernels --graph lm"
RUNGS = {
    "the article's pooling": Rung("article", layerwise=False),
    "its pooling mended": Rung(layerwise=False, typed=_GRAPHED, call=True),
    "fused kernels a layer": Rung(typed=_GRAPHED, call=True),
    "the same kernels in a graph of one step": Rung(graph="by hand"),
    "three fused kernels in a graph of one step": Rung(graph="fused", in_a_graph=1),
    "three fused kernels in graphs of 50 steps": Rung(graph="fused"),
}


def made(rung: Rung, data: Any, mode: str) -> Any:
    """The article's net as the rung has it."""
    return article_net(mode, rung.route, images=data)


def way(rung: Rung, net: Any, n_batch: int) -> Way:
    """How its steps are run."""
    if rung.graph == "fused":
        return captured_way(net, n_batch, rung.in_a_graph)
    if rung.graph == "by hand":
        return by_hand(net, n_batch)
    plain = plain_way(net, n_batch)

    def run(steps: int) -> None:
        with layerwise(rung.layerwise):
            plain.run(steps)

    return Way(run, plain.steps)


def by_hand(net: Any, n_batch: int) -> Way:
    """A step with its gather in a graph; the learning rate is that of the first steps, which a time does not show."""
    import cupy

    from benchmarks.layers.graphs import ByHand

    steps = len(net.x_train) // n_batch
    order = cupy.zeros((steps, n_batch), "int64")
    at = cupy.zeros(1, "int64")

    def batch() -> tuple[Any, Any]:
        places = order.take(at, axis=0)[0]
        cupy.add(at, 1, out=at)
        return net.x_train.take(places, axis=0), net.y_train.take(places, axis=0)

    hand = ByHand(net, n_batch, batch)

    def run(count: int) -> None:
        order[...] = cupy.asarray(net.rng.permutation(len(net.x_train))[: order.size].reshape(order.shape))
        at.fill(0)
        cupy.cuda.get_current_stream().synchronize()
        hand.run(count)

    return Way(run, min(steps, epoch.IMAGES // n_batch))


def layerwise(on: bool) -> AbstractContextManager[None]:
    """Within it layers take their fused kernels, or their form in NumPy's words."""
    return nullcontext() if on else off()
