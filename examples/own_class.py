"""Profile a class of your own: anything with layers that have forward, backward or update."""

import numpy as np

import gpuprof


class Blur:
    """Averages neighbours along one axis."""

    def __init__(self, width: int) -> None:
        self.kernel = np.ones(width) / width

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.apply_along_axis(np.convolve, 1, x, self.kernel, mode="same")


class Threshold:
    """Zero or one."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return (x > x.mean()).astype(float)


class Pipeline:
    """Its `layers` are what gpuprof looks for."""

    def __init__(self) -> None:
        self.layers = [Blur(9), Threshold(), Blur(3)]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            x = layer.forward(x)
        return x


pipeline = Pipeline()
images = np.random.default_rng(0).random((64, 256))

with gpuprof.layertime(pipeline) as run:
    for _ in range(20):
        with gpuprof.region("load"):
            batch = images.copy()
        pipeline(batch)

print(run.profile)
