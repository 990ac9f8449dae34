"""`python -m gpuprof selftest`: what agrees, what does not, what cannot be had; with clocks that lie."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from gpuprof import selftest
from gpuprof.__main__ import main
from gpuprof.selftest import Check, gpu_checks, host_checks
from gpuprof.testing import FakeClock


class FakeGpu:
    """Products of 1 ms and copies of 50 µs on a fake device."""

    name, l2 = "fake", 0

    def __init__(self, clock: FakeClock) -> None:
        self.clock: Any = clock

    def free(self) -> int:
        return 0

    def working(self, dtype: str) -> nullcontext[None]:
        return nullcontext()

    def copy(self, size: int) -> Callable[[], object]:
        return lambda: self.clock.launch(5e-5)

    def product(self, side: int, dtype: str) -> Callable[[], object]:
        return lambda: self.clock.launch(1e-3)


class Wrong(FakeClock):
    """A device whose marks say a tenth too much."""

    def resolve(self, marks: Any) -> Any:
        found = super().resolve(marks)
        return found + (found - 1_000_000_000) // 10


def outcome(checks: Any) -> dict[str, bool | None]:
    return {check.what: check.ok for check in checks}


def device(kind: type[FakeClock] = FakeClock) -> FakeClock:
    return kind(device=True, launch_cost=5e-6, latency=3e-6)


def test_on_the_host_two_clocks_the_rows_and_the_sums_agree() -> None:
    clock = FakeClock()
    found = list(host_checks(clock, clock.spend, clock.host))
    assert [(check.what, check.ok) for check in found] == [
        ("host clock", True),
        ("layers", True),
        ("layers", True),
        ("sums", True),
    ]
    assert found[2].told == "long: 400 µs by its row, 400 µs by its own clock"


def test_a_host_clock_that_runs_too_fast_fails() -> None:
    clock = FakeClock()
    assert outcome(host_checks(clock, clock.spend, lambda: clock.host() // 100 * 99))["host clock"] is False


def test_a_host_clock_that_stands_still_fails() -> None:
    clock = FakeClock()
    assert outcome(host_checks(clock, clock.spend, lambda: 0))["host clock"] is False


def test_on_a_gpu_events_records_and_rows_agree() -> None:
    found = {check.what: check for check in gpu_checks(FakeGpu(device()))}
    assert {what: check.ok for what, check in found.items()} == dict.fromkeys(
        ["events", "gate", "kernel records", "sums", "launches", "records and events"], True
    )
    assert found["launches"].told == "product 1 of 1, copies 3 of 3"


def test_a_host_that_is_late_once_is_no_fault_of_events() -> None:
    late = iter([0.0, 5e-3])

    class Late(FakeClock):
        def wait(self) -> None:
            super().wait()
            self.spend(next(late, 0.0))

    assert outcome(gpu_checks(FakeGpu(device(Late))))["events"]


def test_events_that_say_too_much_fail_and_so_does_what_is_held_against_them() -> None:
    found = outcome(gpu_checks(FakeGpu(device(Wrong))))
    assert found["events"] is found["kernel records"] is False


def test_without_records_what_needs_them_is_told_with_the_reason() -> None:
    clock = device()
    clock.no_records = "another tool has them"
    found = {check.what: check for check in gpu_checks(FakeGpu(clock))}
    assert found["events"].ok
    for what in ("kernel records", "layers' kernels"):
        assert found[what].ok is None
        assert "another tool has them" in found[what].told


def test_without_a_gate_the_reason_is_told() -> None:
    clock = device()
    clock.refusal = "launches are blocking"
    assert Check("gate", None, "launches are blocking") in list(gpu_checks(FakeGpu(clock)))


def test_a_gpu_that_fails_is_a_check_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(FakeGpu):
        def product(self, side: int, dtype: str) -> Callable[[], object]:
            raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(selftest, "current_gpu", lambda: Broken(device()))
    *_, last = selftest.checks()
    assert last == Check("GPU", False, "RuntimeError: an illegal memory access was encountered")


@pytest.mark.parametrize(("ok", "code", "says"), [(True, 0, "Nothing disagrees."), (False, 1, "1 check FAILED")])
def test_the_command_exits_with_1_where_something_disagrees(
    ok: bool, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest, "checks", lambda: iter([Check("sums", ok, "x"), Check("GPU", None, "none")]))
    assert main(["selftest"]) == code
    assert says in capsys.readouterr().out
