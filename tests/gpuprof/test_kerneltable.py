"""Kernel records as figures of rows."""

import math

import numpy as np
import pytest

from gpuprof.judge.account import account
from gpuprof.judge.pace import spacing, work_of_a_step
from gpuprof.record.calls import Calls
from gpuprof.record.launches import Kernels
from gpuprof.record.schedule import KERNELS, Mode
from gpuprof.results.kerneltable import KernelFigures, by_name, kernel_figures, recorded_calls

from .records import called, kernels

STEP = ["A", ("B", ["C"])]
RECORDED = int(KERNELS)


def logged(steps: int, modes: list[int] | None = None) -> Calls:
    """Steps of A, B and C inside B; each call is a step's in the mode given, recorded unless said."""
    calls = called(STEP * steps)
    calls.columns["mode"] = np.repeat(modes or [RECORDED] * steps, 3)
    return calls


def figures(calls: Calls, found: Kernels) -> dict[str, KernelFigures]:
    accounted = account(calls)
    return {accounted.rows[row].path: each for row, each in kernel_figures(calls, accounted, found).items()}


def launched(*rows: tuple[int, int, int]) -> Kernels:
    return kernels(rows, "start end call")


def test_a_calls_kernels_are_added_up() -> None:
    found = figures(logged(1), launched((0, 1000, 0), (1000, 3000, 0), (3000, 7000, 1)))
    assert (found["A"].busy_us, found["A"].launches) == (3, 2)
    assert (found["B"].busy_us, found["B"].launches) == (4, 1)


def test_a_call_has_its_own_kernels_without_those_of_the_calls_inside() -> None:
    found = figures(logged(1), launched((0, 1000, 1), (1000, 5000, 2), (5000, 6000, 1)))
    assert (found["B"].busy_us, found["C"].busy_us) == (2, 4)


def test_a_call_that_launches_nothing_was_busy_for_no_time() -> None:
    found = figures(logged(1), launched((0, 1000, 0)))
    assert found["C"] == KernelFigures(0, 0, 0, 0)


def test_busy_is_the_median_and_launches_are_the_mean_of_the_later_calls() -> None:
    rows = [(0, 9000, 0), (10_000, 11_000, 3), (12_000, 14_000, 6), (15_000, 25_000, 9), (25_000, 26_000, 9)]
    found = figures(logged(4), launched(*rows))
    assert found["A"].busy_us == 2  # of 1, 2 and 11
    assert found["A"].launches == pytest.approx(4 / 3)


def test_a_first_call_is_used_where_there_is_no_other() -> None:
    assert figures(logged(1), launched((0, 9000, 0)))["A"].busy_us == 9


def test_the_first_call_is_left_out_wherever_it_lies() -> None:
    """The first of the log, not the first of those that were recorded."""
    calls = logged(3, [int(Mode.EVENTS), RECORDED, RECORDED])
    found = figures(calls, launched((0, 1000, 3), (2000, 4000, 6)))
    assert found["A"].busy_us == 1.5


def test_idle_is_the_time_between_a_calls_kernels_in_which_nothing_ran() -> None:
    rows = [(0, 1000, 1), (3000, 4000, 2), (9000, 10_000, 2), (10_500, 11_000, 1)]
    found = figures(logged(1), launched(*rows))
    assert (found["B"].idle_us, found["C"].idle_us) == (2.5, 5)


def test_threads_are_the_most_of_one_kernel_even_in_the_first_call() -> None:
    rows = [(0, 1, 0, 512), (1, 2, 0, 64), (2, 3, 3, 32)]
    assert figures(logged(2), kernels(rows, "start end call threads"))["A"].threads == 512


def test_a_row_that_was_never_recorded_has_no_figures() -> None:
    calls = logged(2, [int(Mode.EVENTS), int(Mode.EVENTS)])
    calls.columns["mode"][:2] = RECORDED  # the first A and B
    assert "C" not in figures(calls, launched((0, 1000, 0)))


def test_without_kernels_there_are_no_figures() -> None:
    assert figures(logged(2), launched()) == {}


def test_kernels_of_unknown_origin_are_in_no_row() -> None:
    found = figures(logged(1), launched((0, 1000, 0), (1000, 9000, -2)))
    assert sum(row.busy_us for row in found.values()) == 1


# Outside


def outside(steps: int, *rows: tuple[int, int, int, int], modes: list[int] | None = None) -> KernelFigures:
    """The row outside, of kernels as (start, end, call, after)."""
    table = np.array(rows)
    return figures(logged(steps, modes), kernels(rows, "start end call after", after=table[:, 3]))["(outside)"]


def test_what_is_launched_outside_is_of_a_step() -> None:
    rows = [(10_000 * step + at, 10_000 * step + at + 500, -1, 3 * step + 2) for step in range(5) for at in (0, 1000)]
    assert outside(5, *rows) == KernelFigures(1, pytest.approx(9), 2, 0)


def test_the_first_step_and_the_last_are_left_out() -> None:
    rows = [(0, 500_000, -1, 2), (510_000, 511_000, -1, 5), (520_000, 980_000, -1, 8)]
    assert outside(3, *rows).busy_us == 1


def test_a_step_that_is_the_only_one_is_used() -> None:
    assert outside(1, (0, 5000, -1, 2)).busy_us == 5


def test_what_is_launched_before_any_call_is_in_no_step() -> None:
    assert outside(1, (0, 5000, -1, -1)).busy_us == 0


def test_what_is_launched_in_steps_of_another_kind_does_not_count() -> None:
    modes = [RECORDED] * 3 + [int(KERNELS | Mode.LINES)] * 3
    rows = [(1000 * step, 1000 * step + 100, -1, 3 * step + 2) for step in range(6)]
    assert (outside(6, *rows, modes=modes).launches, outside(6, *rows, modes=modes).busy_us) == (1, 0.1)


# Which calls


@pytest.mark.parametrize(
    ("modes", "wanted"),
    [
        ([KERNELS, KERNELS | Mode.LINES], [True, False]),
        ([KERNELS | Mode.LINES, KERNELS | Mode.INSPECT], [True, False]),
        ([Mode.EVENTS, KERNELS | Mode.INSPECT], [False, True]),
        ([KERNELS | Mode.LINES | Mode.INSPECT, Mode.PLAIN], [True, False]),
        ([Mode.EVENTS, Mode.PLAIN], [False, False]),
    ],
)
def test_the_purest_of_the_recorded_steps_are_taken(modes: list[Mode], wanted: list[bool]) -> None:
    calls = logged(2, [int(mode) for mode in modes])
    assert recorded_calls(calls, launched((0, 1, 0)))[::3].tolist() == wanted


# By name


def named(steps: int, *rows: tuple[int, int, int, int]) -> list[tuple[object, ...]]:
    calls = logged(steps)
    table = by_name(calls, account(calls), kernels(rows, "start end call name"))
    return list(table[["path", "name", "launches", "busy_us"]].itertuples(index=False, name=None))


def test_kernels_of_one_name_are_one_row_a_layer_the_longest_first() -> None:
    rows = [(0, 1000, 0, 0), (1000, 2000, 0, 0), (2000, 9000, 0, 1), (9000, 9500, 1, 0)]
    assert named(1, *rows) == [("A", "add", 1, 7), ("A", "gemm", 2, 2), ("B", "gemm", 1, 0.5)]


def test_a_names_figures_are_of_a_call_whether_that_launched_it_or_not() -> None:
    assert named(4, (0, 1000, 0, 0), (1000, 4000, 3, 0)) == [("A", "gemm", 0.5, 1)]


def test_a_name_has_the_most_threads_registers_and_bytes_of_its_kernels() -> None:
    calls = logged(1)
    rows = [(0, 1, 0, 32, 10, 0), (1, 2, 0, 64, 8, 4096)]
    found = by_name(calls, account(calls), kernels(rows, "start end call threads registers bytes"))
    assert found[["threads", "registers", "bytes"]].to_numpy().tolist() == [[64, 10, 4096]]


def test_without_kernels_the_table_has_its_columns_and_no_rows() -> None:
    calls = logged(1)
    found = by_name(calls, account(calls), launched())
    assert list(found.columns) == ["path", "phase", "name", "launches", "busy_us", "threads", "registers", "bytes"]
    assert len(found) == 0


def test_kernels_outside_and_of_unknown_origin_have_no_name_here() -> None:
    assert named(1, (0, 1, -1, 0), (1, 2, -2, 1)) == []


# The work of a step


def test_the_work_of_a_step_is_the_median_over_steps_but_the_first_and_the_last() -> None:
    calls = logged(5)
    rows = [(90_000 * step, 90_000 * step + took, 3 * step) for step, took in enumerate([9000, 1000, 2000, 3000, 9000])]
    work, launches = work_of_a_step(account(calls), launched(*rows)) or pytest.fail("no work")
    assert work.tolist() == pytest.approx([2e-6, 0, 0, 0])
    assert launches.tolist() == [1, 0, 0, 0]


def test_rows_that_are_missing_from_some_steps_count_by_the_mean() -> None:
    calls = logged(6)
    rows = [(90_000 * step, 90_000 * step + 1000, 3 * step) for step in range(6)] + [(95_000, 99_000, 4)]
    work, _ = work_of_a_step(account(calls), launched(*sorted(rows))) or pytest.fail("no work")
    assert work.tolist() == pytest.approx([1e-6, 1e-6, 0, 0])


def test_without_a_recorded_step_the_work_is_not_known() -> None:
    calls = logged(3, [int(Mode.EVENTS)] * 3)
    assert work_of_a_step(account(calls), launched((0, 1, 0))) is None
    assert work_of_a_step(account(logged(3)), launched()) is None


def test_kernels_that_follow_each_other_closely_show_the_devices_own_gap() -> None:
    assert spacing(kernels([(2000 * i, 2000 * i + 1300) for i in range(20)])) == 700


def test_gaps_in_which_the_device_waited_for_the_host_are_not_its_own() -> None:
    assert spacing(kernels([(90_000 * i, 90_000 * i + 1300) for i in range(20)])) == 0


def test_one_kernel_has_no_gap() -> None:
    assert spacing(kernels([(0, 10)])) == 0


def test_figures_without_records_are_empty() -> None:
    assert all(math.isnan(value) for value in KernelFigures())
