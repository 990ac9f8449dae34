"""JAX as a clock: its streams are its own, so the host's time is taken and the wait is JAX's."""

from __future__ import annotations

from typing import Any

from gpuprof.record.clocks import HostClock
from gpuprof.record.kernels import recording


class JaxClock(HostClock):
    """The host's clock, waiting until JAX's device has done what was queued: one computation runs after another."""

    name = "host clock, waiting through JAX"
    asynchronous = True
    recording = staticmethod(recording)

    def __init__(self) -> None:
        super().__init__()
        import jax

        self._jax: Any = jax
        self._last = jax.jit(lambda x: x + 1)
        self._zero = jax.numpy.zeros(())
        self.wait()  # compiles it

    def wait(self) -> None:
        """Return when everything queued on JAX's default device so far has been done."""
        self._last(self._zero).block_until_ready()
