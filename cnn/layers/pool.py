"""Max pooling, with three ways to send the gradient back."""

from __future__ import annotations

from typing import Any

from cnn.checks import choose, naming, whole
from cnn.im2col import im2col
from cnn.layers.base import Layer
from cnn.layers.images import image_shape, layer_col2im, windows
from cnn.xp import Array, Shape, get_array_module

ROUTES = ("first", "ties", "article")


class MaxPool2d(Layer):
    """The largest value of each window, channel by channel.

    Padding holds -inf, so no number loses to it; where a window sees nothing but -inf, its gradient may
    go to the padding and be lost. What `route` decides is who gets the gradient of a window:

    * "first", the default and right: the first of its largest values, as in other frameworks.
    * "ties": each of its largest values gets the whole of it. After a ReLU, windows of nothing but
      zeros are common, and there the gradient is counted several times.
    * "article": a famous slow line, kept as a patient for the profiler: `grad_x[:, max_index] = grad`
      on zeros of (windows, pool²). It means to write one value a window, but indexes a block of
      windows × windows: its time grows with the square of the batch. And it is wrong: every window
      writes to every position that is the largest in any window.

    Args:
        I_shape: (C, H, W) of an image, or (H, W).
        pool: the side of the window.
        stride: a number or (down, across); the window's side by default.
        pad: a number, (vertical, horizontal) or "same"; less than the window's side.
        route: as above.
        name: a name of its own instead of a running one.
        mode, dtype: as in other layers; pooling has no parameters.

    Attributes:
        max_index: after a forward, for route "first" and "article" the position of the largest value
            in each window, (N·OH·OW·C,); for "ties" 1 at each largest value and 0 elsewhere,
            (N·OH·OW·C, pool²).
    """

    role = "Pool"

    def __init__(
        self,
        I_shape: Shape,
        pool: int,
        stride: Any = None,
        pad: Any = 0,
        route: str = "first",
        *,
        name: str | None = None,
        mode: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        who = name or self.role
        C, H, W = image_shape(f"{who}: I_shape", I_shape)
        self.pool = whole(f"{who}: pool", pool)
        self.F_shape = (self.pool, self.pool)
        stride = self.pool if stride is None else stride
        self.stride, self.pad_state, O_size = windows(who, (H, W), self.F_shape, stride, pad)
        if max(max(sides) for sides in self.pad_state) >= self.pool:
            raise ValueError(
                f"{who}: pad {pad!r} leaves windows of nothing but padding; use less than pool={self.pool}"
            )
        super().__init__((C, H, W), (C, *O_size), name=name, mode=mode, dtype=dtype)
        with naming(self.name):
            self.route = choose("route", route, dict(zip(ROUTES, ROUTES, strict=True)))
        self.max_index: Array = None

    def forward(self, x: Array, train: bool = False) -> Array:  # noqa: ARG002
        """(N, C, OH, OW) from (N, C, H, W); remembers in `max_index` where the largest values were."""
        x = self.check_input(x)
        C, OH, OW = self.O_shape
        cols, _, _ = im2col(x, self.F_shape, self.stride, self.pad_state, value=-float("inf"))
        places = cols.reshape(C, self.pool * self.pool, -1)  # NumPy is slow to reduce a short last axis
        y = places.max(axis=1)
        if self.route == "ties":  # in the gradient's dtype: integers would widen it
            mask = (places == y[:, None]).astype(x.dtype)
            self.max_index = mask.transpose(2, 0, 1).reshape(-1, self.pool * self.pool)
        else:
            self.max_index = places.argmax(axis=1).T.reshape(-1)
        self.y_shape = (len(x), C, OH, OW)
        return y.reshape(C, -1, OH, OW).transpose(1, 0, 2, 3)

    def backward(self, dy: Array) -> Array:
        """(N, C, H, W) from (N, C, OH, OW), each window's gradient sent as `route` says."""
        dy = self.check_gradient(dy)
        C = self.O_shape[0]
        grad = dy.transpose(0, 2, 3, 1).reshape(-1, 1)
        grad_x = self._routed(grad).reshape(-1, C * self.pool * self.pool).T
        return self.col2im(grad_x, (len(dy), *self.I_shape))

    def _routed(self, grad: Array) -> Array:
        """(windows, pool²) from (windows, 1)."""
        xp = get_array_module(grad)
        if self.route == "ties":
            return self.max_index * grad
        if self.route == "first":
            return (self.max_index[:, None] == xp.arange(self.pool * self.pool)) * grad
        grad_x = xp.zeros((grad.size, self.pool * self.pool), dtype=grad.dtype)
        grad_x[:, self.max_index] = grad
        return grad_x

    def col2im(
        self, cols: Array, I_shape: Shape, O_shape: Shape | None = None, stride: Any = None, pad: Any = None
    ) -> Array:
        """Columns back to images of `I_shape`, with this layer's window, stride and padding unless given.

        `O_shape` may be given to be checked: the size follows from the rest.
        """
        return layer_col2im(self, self.F_shape, cols, I_shape, O_shape, stride, pad)

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """Forward pool² - 1 comparisons an output, reads x, writes y; backward an addition an output.

        Backward reads dy and a position of the same size, and writes dx. This is what the task needs,
        whatever the route does.
        """
        if phase == "forward":
            return N * self.n * (self.pool**2 - 1), N * (self.prev + self.n)
        return N * self.n, N * (2 * self.n + self.prev)

    def kept(self) -> int:
        """Input, columns twice, outputs and positions (of 8 bytes)."""
        return self.prev + 2 * self.n * self.pool**2 + 3 * self.n
