"""A hook of your own on the bundled network, without gpuprof: say what each layer does."""

import numpy as np

from cnn import LayerManager, hooked, load_mnist


class Diary:
    """Says what each layer is about to do, and what it has done."""

    def before(self, layer: object, phase: str) -> None:
        print(f"{phase:<9}{layer.name}")

    def after(self, layer: object, phase: str) -> None:
        print(f"{phase:<9}{layer.name} done")


(x_train, t_train), (x_test, t_test) = load_mnist(sample=True)
lm = LayerManager((x_train, x_test), (t_train, t_test), mode="cpu", seed=0)
lm.append(name="c", F_shape=(4, 3, 3))
lm.append(name="p", pool=2)
lm.append(name="o", n=10, act="softmax", err_func="Cross")

with hooked(lm, Diary()):
    y = lm.forward(x_train[:8])
    lm.backward(t_train[:8])

assert np.allclose(y.sum(axis=1), 1, atol=1e-5)
