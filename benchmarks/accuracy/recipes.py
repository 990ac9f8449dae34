"""The experiments: which net on which images, how it is trained, how many seeds, and what is asked of it.

A recipe's settings are fixed here. What they were chosen from stands in `OTHERS`; the choice is made on training images
that are held out, never on the test images (`benchmarks.accuracy.runs.held_out`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeAlias

from benchmarks.net import article_net
from cnn import Augment, LayerManager, load_fashion_mnist, load_mnist
from cnn.schedules import Cosine
from examples import one_epoch

Images: TypeAlias = Any  # (x_train, t_train), (x_test, t_test)


@dataclass(frozen=True)
class Recipe:
    """One experiment.

    Attributes:
        title: what it is, in words.
        images: of which data set: "MNIST" or "Fashion-MNIST".
        net: the model, from images, mode and seed.
        training: what `LayerManager.training` is called with.
        seeds: how many runs with the test images.
        goals: the least that the share of right answers may be, on "test" or "train" images.
        average: which average of the seeds counts, "median" or "mean".
        tried: how many runs with the held-out images.
        given: other keywords of the net.
    """

    title: str
    images: str
    net: Callable[..., LayerManager]
    training: Mapping[str, Any]
    seeds: int
    goals: Mapping[str, float]
    average: str = "median"
    tried: int = 0
    given: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """How it is trained, as text."""
        return {key: brief(value) for key, value in {**self.training, **self.given}.items()}


def brief(value: Any) -> str:
    """A setting as text; of a dataclass what is not by default."""
    if not is_dataclass(value):
        return str(value)
    plain = type(value)()
    changed = {each.name: getattr(value, each.name) for each in fields(value)}
    changed = {name: each for name, each in changed.items() if each != getattr(plain, name)}
    return f"{type(value).__name__}({', '.join(f'{name}={each}' for name, each in changed.items())})"


def keras_net(images: Images, mode: str, seed: int, smoothing: float = 0.0) -> LayerManager:
    """Keras's MNIST example: its layers, windows and dropout; weights as He et al. draw them, Adam."""
    (x_train, t_train), (x_test, t_test) = images
    lm = LayerManager((x_train, x_test), (t_train, t_test), mode=mode, seed=seed)
    lm.append(name="c", F_shape=(32, 3, 3), pad="valid", init="He normal")
    lm.append(name="c", F_shape=(64, 3, 3), pad="valid", init="He normal")
    lm.append(name="p", pool=2)
    lm.append(name="d", ratio=0.25)
    lm.append(name="m", n=128, init="He normal")
    lm.append(name="d", ratio=0.5)
    lm.append(name="o", n=10, init="Glorot normal", err_dic={"smoothing": smoothing})
    return lm


@functools.cache
def images_of(name: str, sample: bool = False) -> Images:
    """The whole data set; of MNIST the sample in the package, if that will do."""
    return load_mnist(sample=sample) if name == "MNIST" else load_fashion_mnist()


NOT_SHIFTED = Recipe(
    "Keras's net, n_batch 128, 12 epochs, images as they are",
    "MNIST",
    keras_net,
    {"epoch": 12, "n_batch": 128, "schedule": Cosine()},
    seeds=5,
    goals={"test": 0.9925},
    tried=3,
)
KERAS = replace(
    NOT_SHIFTED,
    title="Keras's net, n_batch 128, 12 epochs, images moved by up to a pixel",
    training={**NOT_SHIFTED.training, "augment": Augment(shift=1)},
)
ONE_EPOCH = Recipe(
    f"a net of our own, n_batch {one_epoch.TRAINING['n_batch']}, 1 epoch",
    "MNIST",
    one_epoch.net,
    one_epoch.TRAINING,
    seeds=30,
    goals={"test": 0.99},
    average="mean",
    tried=5,
)
RECIPES = {
    "article": Recipe(
        "the article's net, n_batch 8, 5 epochs",
        "MNIST",
        lambda images, mode, seed: article_net(mode, seed=seed, images=images),
        {"epoch": 5, "n_batch": 8},
        seeds=5,
        goals={"test": 0.9803, "train": 0.992},
    ),
    "keras": KERAS,
    "fashion": replace(
        NOT_SHIFTED,
        title="Keras's net on Fashion-MNIST, images as they are",
        images="Fashion-MNIST",
        goals={"test": 0.92},
        tried=0,
    ),
    "one epoch": ONE_EPOCH,
}


def other(recipe: Recipe, given: Mapping[str, Any] | None = None, **training: Any) -> Recipe:
    """The recipe with other settings."""
    return replace(recipe, training={**recipe.training, **training}, given={**recipe.given, **(given or {})})


OTHERS = {
    "keras: not shifted": NOT_SHIFTED,
    "keras: shifted by 2": other(KERAS, augment=Augment(shift=2)),
    "keras: smoothed": other(KERAS, {"smoothing": 0.1}),
    "one epoch: n_batch 64": other(ONE_EPOCH, {"alpha": 0.003}, n_batch=64),
    "one epoch: n_batch 256": other(ONE_EPOCH, {"alpha": 0.007}, n_batch=256),
    "one epoch: slower": other(ONE_EPOCH, {"alpha": 0.003}),
    "one epoch: faster": other(ONE_EPOCH, {"alpha": 0.008}),
    "one epoch: not smoothed": other(ONE_EPOCH, {"smoothing": 0.0}),
    "one epoch: smoothed more": other(ONE_EPOCH, {"smoothing": 0.2}),
    "one epoch: shifted by 1": other(ONE_EPOCH, augment=Augment(shift=1)),
}
"""What the settings were chosen from, by the recipe's name and what differs."""
ALL = RECIPES | OTHERS
