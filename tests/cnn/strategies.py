"""What hypothesis draws for the tests of layers: sizes of images, windows that fit them, padding."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# A run of the suite is the same run each time; a failing case is printed and needs no data base. The fixtures
# `xp` and `mode` are values that no example changes.
REPEATABLE = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
seeds = st.integers(0, 2**16)
dtypes = st.sampled_from(["float32", "float64"])


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    """Keywords of a Conv2d whose windows fit."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    F_size, dilation = draw(st.tuples(st.integers(1, 4), st.integers(1, 4))), draw(pairs)
    reach = [d * (k - 1) + 1 for k, d in zip(F_size, dilation, strict=True)]
    pad: Any = draw(
        st.one_of(
            st.sampled_from(["same", "valid", 0, 1]),
            st.tuples(st.integers(0, 3), st.integers(0, 3)),
            st.tuples(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.tuples(st.integers(0, 2), st.integers(0, 2))),
        )
    )
    least = [1, 1] if pad == "same" else reach
    size = [draw(st.integers(low, low + 7)) for low in least]
    return {
        "I_shape": (groups * draw(st.integers(1, 3)), *size),
        "F_shape": (groups * draw(st.integers(1, 3)), *F_size),
        "stride": draw(st.one_of(st.integers(1, 4), pairs)),
        "pad": pad,
        "dilation": dilation,
        "groups": groups,
    }


@st.composite
def poolings(draw: st.DrawFn) -> dict[str, Any]:
    """Keywords of a MaxPool2d or AvgPool2d whose windows fit."""
    pool = draw(st.one_of(st.integers(1, 4), pairs))
    sides = pool if isinstance(pool, tuple) else (pool, pool)
    pads = st.tuples(*(st.integers(0, side // 2) for side in sides))  # PyTorch takes no more than half a window
    size = [draw(st.integers(side, side + 7)) for side in sides]
    return {
        "I_shape": (draw(st.integers(1, 3)), *size),
        "pool": pool,
        "stride": draw(st.one_of(st.none(), st.integers(1, 4), pairs)),
        "pad": draw(st.one_of(pads, st.sampled_from(["same", "valid"]))),
    }
