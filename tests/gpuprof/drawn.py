"""What is asked of every chart: nothing over anything else, nothing cut off, all of it read on its paper."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Text

from gpuprof.views.axes import paper
from gpuprof.views.colours import contrast


def texts_of(ax: Axes) -> list[Text]:
    """Every text that is seen: labels, ticks, title, legend, notes."""
    ax.figure.canvas.draw()
    found = [text for text in ax.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in found if not _off_the_axis(ax, text)]


def _off_the_axis(ax: Axes, text: Text) -> bool:
    """Ticks beyond the limits have labels that are not drawn."""
    for axis in [axis for each in [ax, *ax.child_axes] for axis in (each.xaxis, each.yaxis)]:
        limits = axis.get_view_interval()
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if text in (tick.label1, tick.label2):
                low, high = sorted(limits)
                return not low - 1e-9 * abs(low) <= tick.get_loc() <= high + 1e-9 * abs(high)
    return False


def overlapping(ax: Axes) -> list[tuple[str, str]]:
    """The texts of which one lies over the other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(ax)]
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if _overlap(one, other)]


def _overlap(one: Any, other: Any) -> bool:
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide > 1 and high > 1


def cut_off(ax: Axes) -> list[str]:
    """The texts that reach beyond the figure."""
    figure = ax.figure.bbox
    return [
        text.get_text()
        for text in texts_of(ax)
        if not (
            figure.x0 - 1 <= (box := text.get_window_extent()).x0
            and box.x1 <= figure.x1 + 1
            and figure.y0 - 1 <= box.y0
            and box.y1 <= figure.y1 + 1
        )
    ]


def least_contrast(ax: Axes) -> float:
    """Of the texts against what is behind the Axes."""
    return min(contrast(str(to_hex(text.get_color())), paper(ax)) for text in texts_of(ax))
