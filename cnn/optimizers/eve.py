"""Eve: Adam whose learning rate follows the loss."""

from __future__ import annotations

from dataclasses import dataclass

from cnn.optimizers.adam import Adam, Averages
from cnn.optimizers.base import Told


@dataclass
class Eve(Averages):
    """Adam with α / d, where d tells how much the loss moves. Hayashi, Koushik and Neubig (2016), arXiv 1611.01505v3.

    d = β₃ d + (1 - β₃) clip(|f - f'| / (min(f, f') - f*), 1/c, c) with the losses f of this step and f' of the one
    before, d = 1 in the first step; then Adam. `lm.update` works the loss out once a step, and the host
    waits for it. A loss at f* or below it counts as infinitely near: the clip makes that c. The author's
    LayerManager hands no loss in, so that his d means nothing.

    Args:
        alpha, beta1, beta2, beta3, eps: as above.
        c: the most that the loss may weigh, 1 or more.
        f_star: the loss at the minimum.
    """

    slots = fading = Adam.slots
    numbers = ("d", "loss")
    operations = Adam.operations
    wants_loss = True
    rule = staticmethod(Adam.rule)

    beta3: float = 0.999
    c: float = 10.0
    f_star: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.d = 1.0
        self.loss = 0.0  # of the step before
        self.heard = 0.0  # of this step

    def hear(self, told: Told) -> None:
        """Take the loss of this step."""
        if told.loss is None:
            raise RuntimeError(
                "Eve needs the loss of this step, which a layer or an optimizer that is updated alone does not know: "
                "call lm.forward(x), lm.backward(t) and lm.update(), or lm.training"
            )
        self.heard = told.loss

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        if self.t > 1:
            moved, left = abs(self.heard - self.loss), min(self.heard, self.loss) - self.f_star
            change = moved / left if left > 0 else self.c * (moved > 0)
            self.d += (1 - self.beta3) * (min(max(change, 1 / self.c), self.c) - self.d)
        self.loss = self.heard
        return super().plan(factor / self.d)
