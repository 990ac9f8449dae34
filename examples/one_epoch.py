"""99 % of MNIST's test images right after one epoch: a small net, Adam, one cycle of the learning rate.

    python examples/one_epoch.py [--mode gpu] [--seed 0] [--sample]

The settings were chosen on the last 10 000 training images, without the test images. docs/cnn.md has the mean over
30 seeds.
"""

import argparse
import time
from typing import Any

from cnn import LayerManager, load_mnist
from cnn.schedules import OneCycle

MEAN, WIDTH = 0.1307, 0.3081  # of the pixels of the training images
TRAINING: dict[str, Any] = {"epoch": 1, "n_batch": 128, "schedule": OneCycle()}


def net(
    images: Any, mode: str = "cpu", seed: int | None = None, alpha: float = 0.005, smoothing: float = 0.1
) -> LayerManager:
    """Two convolutions and two dense layers, on images of mean 0 and width 1."""
    (x_train, t_train), (x_test, t_test) = images
    x = [(each - MEAN) / WIDTH for each in (x_train, x_test)]
    lm = LayerManager(x, (t_train, t_test), mode=mode, seed=seed)
    common = {"init": "He normal", "opt": "Adam", "opt_dic": {"alpha": alpha, "beta1": 0.7, "beta2": 0.9}}
    lm.append(name="c", F_shape=(32, 5, 5), pad="valid", **common)
    lm.append(name="p", pool=2)
    lm.append(name="c", F_shape=(64, 3, 3), pad="valid", **common)
    lm.append(name="p", pool=2)
    lm.append(name="m", n=128, **common)
    lm.append(name="o", n=10, err_dic={"smoothing": smoothing}, **common)
    return lm


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", default="cpu", help="gpu: with CuPy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", action="store_true", help="a tenth of the images, which comes with the package")
    given = parser.parse_args()
    lm = net(load_mnist(sample=given.sample), given.mode, given.seed)
    start = time.perf_counter()
    lm.training(**TRAINING, show_error=False)
    print(f"{lm.steps} steps in {time.perf_counter() - start:.1f} s")
    lm.predict()
