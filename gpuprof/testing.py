"""For your tests and ours: time that can be faked, and launches a test may count. PYTEST_DONT_REWRITE.

from gpuprof.testing import layer_profile     # or pytest_plugins = ["gpuprof.testing"]

def test_pooling_launches_few_kernels(layer_profile):
    profile = layer_profile(model, train_step, batch)
    assert profile["Pool1", "backward"].launches <= 3
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpuprof.fakeclock import FakeClock, FakeGate

if TYPE_CHECKING:
    from gpuprof.fixtures import layer_profile

__all__ = ["FakeClock", "FakeGate", "layer_profile"]


def __getattr__(name: str) -> Any:
    """The fixture, for which pytest is imported when it is first asked for."""
    if name == "layer_profile":
        from gpuprof.fixtures import layer_profile

        return layer_profile
    raise AttributeError(f"module 'gpuprof.testing' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    """Where pytest looks for fixtures."""
    return sorted({*globals(), *__all__})
