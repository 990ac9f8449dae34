"""One quantity's batches, sorted into bins and drawn as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from gpuprof.judge.stats import batch_interval, quartiles

_MOST_BINS = 40
_FAR = 0.05  # at most this share of the batches is left out on the right
_WIDTH, _HEIGHT = 160, 34
_LINE = 'stroke="currentColor" vector-effect="non-scaling-stroke"'


class Bins(NamedTuple):
    """How many batches lie where; seconds."""

    counts: tuple[int, ...]
    low: float
    """The left edge of the first bin."""
    high: float
    """The right edge of the last; equals `low` where all shown batches are equal."""
    middle: float
    beyond: int
    """Batches further right than `high`, which are not among the counts."""


def binned(samples: Sequence[float]) -> Bins:
    """At most 40 bins of one width, about 2 √n of them; a far right tail is counted, and not among them.

    Far is what `judge.stats.outliers` calls so, 3 interquartile ranges away, unless that were more than 1 batch in
    20: a second mode stays in sight.
    """
    values = np.sort(np.asarray(samples, dtype=float))
    low, high = quartiles(values)
    usual = values[int((1 - _FAR) * (len(values) - 1))]
    shown = values[values <= max(high + 3 * (high - low), usual)]
    start, end = float(shown[0]), float(shown[-1])
    number = min(_MOST_BINS, math.ceil(2 * math.sqrt(len(shown)))) if end > start else 1
    counts = np.histogram(shown, number, (start, end))[0] if number > 1 else [len(shown)]
    middle = batch_interval(values).median
    return Bins(tuple(int(count) for count in counts), start, end, middle, len(values) - len(shown))


def histogram(bins: Bins, colour: str, label: str) -> str:
    """The bins as an SVG that takes its width from the page; the middle is the line in the colour of the text.

    `label` is read out to those who do not see it, and shown under the pointer.
    """
    text = escape(label)
    place = _place(bins)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{text}" '
        f'style="display:block;width:100%;height:{_HEIGHT}px;overflow:visible"><title>{text}</title>'
        f'<path d="{_outline(bins)}" fill="{colour}"/>'
        f'<path d="M0 {_HEIGHT}H{_WIDTH}" stroke-opacity=".45" {_LINE}/>'
        f'<path d="M{place:.1f} 0V{_HEIGHT}" stroke-width="1.5" {_LINE}/>'
        "</svg>"
    )


def _place(bins: Bins) -> float:
    """Where the middle lies, from the left."""
    share = (bins.middle - bins.low) / (bins.high - bins.low) if bins.high > bins.low else 0.5
    return _WIDTH * min(1.0, max(0.0, share))


def _outline(bins: Bins) -> str:
    """One path around all bars; a bin with anything in it is at least a pixel and a half high."""
    if len(bins.counts) == 1:
        return f"M{0.47 * _WIDTH:.0f} {_HEIGHT}V4h{0.06 * _WIDTH:.0f}V{_HEIGHT}z"
    step, most = _WIDTH / len(bins.counts), max(bins.counts)
    heights = [max(1.5, (_HEIGHT - 4) * count / most) if count else 0 for count in bins.counts]
    bars = "".join(f"V{_HEIGHT - height:.1f}H{(i + 1) * step:.1f}" for i, height in enumerate(heights))
    return f"M0 {_HEIGHT}{bars}V{_HEIGHT}z"
