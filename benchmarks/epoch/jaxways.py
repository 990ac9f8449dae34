"""JAX's ways: a compiled step called from Python, and one compiled program over many steps."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the others need memory, too

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.epoch import IMAGES, Way
from benchmarks.epoch.ours import images

jax.config.update("jax_default_matmul_precision", "tensorfloat32")
jax.config.update("jax_compilation_cache_dir", str(Path(tempfile.gettempdir()) / "gpuprof-benchmarks-jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

SHAPES = {
    "article": [(10, 1, 3, 3), (1960, 100), (100, 10)],
    "keras": [(32, 1, 3, 3), (64, 32, 3, 3), (9216, 128), (128, 10)],
}
B1, B2, RATE, EPS = 0.9, 0.999, 1e-3, 1e-8
AT_ONCE = 2000  # steps that the scan is compiled for, at most
IN_WINDOWS = {"article": True, "keras": False}  # how a pooling is written: for each net what runs faster


def first_values(net: str) -> Any:
    """Weights and biases, Adam's two averages, and the step."""
    rng = np.random.default_rng(0)
    shapes = SHAPES[net]
    weights = [jnp.asarray(0.05 * rng.standard_normal(shape, dtype=np.float32)) for shape in shapes]
    parameters = [(w, jnp.zeros(w.shape[0] if w.ndim == 4 else w.shape[1])) for w in weights]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return parameters, zeros, jax.tree.map(jnp.zeros_like, parameters), jnp.zeros((), jnp.int32)


def outputs(net: str, parameters: Any, x: Any, key: Any) -> Any:
    """What the softmax is taken of."""
    *convolutions, hidden, last = parameters
    for w, b in convolutions:
        pad = "SAME" if net == "article" else "VALID"
        x = jax.nn.relu(lax.conv_general_dilated(x, w, (1, 1), pad) + b[:, None, None])
    if IN_WINDOWS[net]:
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    else:
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))
    x = x.reshape(len(x), -1)
    first, second = jax.random.split(key)
    if net == "keras":
        x = jnp.where(jax.random.bernoulli(first, 0.75, x.shape), x / 0.75, 0)
    x = jax.nn.relu(x @ hidden[0] + hidden[1])
    if net == "keras":
        x = jnp.where(jax.random.bernoulli(second, 0.5, x.shape), x / 0.5, 0)
    return x @ last[0] + last[1]


def adam(state: Any, gradients: Any) -> Any:
    """The next state."""
    parameters, m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda a, g: a + (1 - B1) * (g - a), m, gradients)
    v = jax.tree.map(lambda a, g: a + (1 - B2) * (g * g - a), v, gradients)
    scale = jnp.sqrt(1 - B2**t)
    rate = RATE * scale / (1 - B1**t)
    parameters = jax.tree.map(lambda p, a, b: p - rate * a / (jnp.sqrt(b) + EPS * scale), parameters, m, v)
    return parameters, m, v, t


class Training:
    """A net and its data on the device."""

    def __init__(self, net: str, n_batch: int) -> None:
        (x, t), _ = images()
        self.n_batch, self.steps = n_batch, IMAGES // n_batch
        self.x, self.t = jnp.asarray(x), jnp.asarray(t.argmax(1))
        self.key = jax.random.key(0)
        self.state = first_values(net)

        def loss(parameters: Any, x: Any, t: Any, key: Any) -> Any:
            logs = jax.nn.log_softmax(outputs(net, parameters, x, key))
            return -jnp.take_along_axis(logs, t[:, None], 1).mean()

        def one(state: Any, places: Any, x: Any, t: Any) -> Any:
            key = jax.random.fold_in(jax.random.key(1), state[3])
            x, t = (each.at[places].get(mode="promise_in_bounds") for each in (x, t))
            return adam(state, jax.grad(loss)(state[0], x, t, key))

        self.one = one

    def shuffled(self, key: Any, steps: int) -> Any:
        places = jax.random.permutation(key, IMAGES)[: self.steps * self.n_batch]
        return places.reshape(self.steps, self.n_batch)[:steps]


def step(net: str, n_batch: int) -> Way:
    """A compiled step, called once a batch; which batch is next is a number on the device."""
    training = Training(net, n_batch)
    shuffled = jax.jit(training.shuffled, static_argnums=1)

    def counted(state: Any, at: Any, order: Any, x: Any, t: Any) -> Any:
        places = lax.dynamic_index_in_dim(order, at, keepdims=False)
        return training.one(state, places, x, t), at + 1

    one = jax.jit(counted, donate_argnums=(0, 1))

    def run(steps: int) -> None:
        training.key, key = jax.random.split(training.key)
        order, state, at = shuffled(key, training.steps), training.state, jnp.zeros((), jnp.int32)
        for _ in range(steps):
            state, at = one(state, at, order, training.x, training.t)
        training.state = jax.block_until_ready(state)

    return Way(run, training.steps)


def scan(net: str, n_batch: int) -> Way:
    """One compiled program over the steps, its shuffling included."""
    training = Training(net, n_batch)

    def many(state: Any, key: Any, x: Any, t: Any, steps: int) -> Any:
        order = training.shuffled(key, steps)
        return lax.scan(lambda state, places: (training.one(state, places, x, t), None), state, order)[0]

    many = jax.jit(many, donate_argnums=0, static_argnums=4)

    def run(steps: int) -> None:
        training.key, key = jax.random.split(training.key)
        training.state = jax.block_until_ready(many(training.state, key, training.x, training.t, steps))

    return Way(run, min(training.steps, AT_ONCE), fixed=True)
