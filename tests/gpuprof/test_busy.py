"""When the device worked, and for whom."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprof.judge.busy import busy_ns, gaps, union_ns

from .records import called, kernels


def test_a_kernel_alone_has_all_its_time() -> None:
    found = kernels([(0, 10), (10, 30), (50, 51)])
    assert busy_ns(found).tolist() == [10, 20, 1]
    assert union_ns(found) == 31


def test_two_at_once_share_the_instants_in_which_both_ran() -> None:
    found = kernels([(0, 10), (6, 20)])
    assert busy_ns(found).tolist() == [6 + 2, 2 + 10]
    assert union_ns(found) == 20


def test_one_inside_another_shares_all_of_its_own() -> None:
    assert busy_ns(kernels([(0, 100), (40, 60)])).tolist() == [90, 10]


def test_three_at_once_have_a_third_each() -> None:
    assert busy_ns(kernels([(0, 30), (0, 30), (0, 30)])).tolist() == [10, 10, 10]


def test_what_does_not_divide_goes_to_the_one_that_ends_last() -> None:
    assert busy_ns(kernels([(0, 5), (0, 10)])).tolist() == [2, 8]


def test_a_long_one_over_several_short_ones_is_one_group() -> None:
    found = kernels([(0, 100), (10, 20), (30, 40), (200, 210)])
    assert busy_ns(found).tolist() == [90, 5, 5, 10]


def test_kernels_need_not_come_in_order() -> None:
    assert busy_ns(kernels([(40, 60), (0, 100)])).tolist() == [10, 90]


def test_on_two_devices_nothing_is_shared() -> None:
    found = kernels([(0, 10, 0), (0, 10, 1), (5, 10, 1)], "start end device")
    assert busy_ns(found).tolist() == [10, 7, 3]
    assert union_ns(found) == 20


def test_without_kernels_nothing_was_busy() -> None:
    assert busy_ns(kernels([])).tolist() == []
    assert union_ns(kernels([])) == 0
    assert [part.tolist() for part in gaps(kernels([]), np.zeros(0, dtype=np.int64))] == [[], [], []]


intervals = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 25), st.integers(0, 1)), max_size=12)


@given(intervals)
def test_shares_are_those_counted_instant_by_instant(rows: list[tuple[int, int, int]]) -> None:
    found = kernels([(start, start + length, device) for start, length, device in rows], "start end device")
    wanted = np.zeros(len(rows))
    for device in (0, 1):
        for instant in range(100):
            running = [i for i, (s, n, d) in enumerate(rows) if d == device and s <= instant < s + n]
            wanted[running] += 1 / max(1, len(running))
    assert np.abs(busy_ns(found) - wanted).max(initial=0) <= 60  # what does not divide: less than 1 ns an instant
    assert busy_ns(found).sum() == union_ns(found) == round(wanted.sum())


@given(intervals)
def test_shares_scale_with_time(rows: list[tuple[int, int, int]]) -> None:
    """With lengths that divide, shares are exact."""
    scale = 27_720  # what 1 to 12 divide
    one = kernels([(s * scale, (s + n) * scale, d) for s, n, d in rows], "start end device")
    wanted = np.zeros(len(rows))
    for device in (0, 1):
        for instant in range(100):
            running = [i for i, (s, n, d) in enumerate(rows) if d == device and s <= instant < s + n]
            wanted[running] += scale / max(1, len(running))
    assert busy_ns(one).tolist() == np.rint(wanted).astype(int).tolist()


# Gaps


def whose(rows: list[tuple[int, int, int]], tree: list[object]) -> list[tuple[int, int]]:
    found = gaps(kernels(rows, "start end call"), called(tree).parents)
    return list(zip(found.lengths.tolist(), found.calls.tolist(), strict=True))


def test_a_gap_between_two_kernels_of_a_call_is_its_own() -> None:
    assert whose([(0, 10, 0), (15, 20, 0)], ["A"]) == [(5, 0)]


def test_a_gap_between_two_calls_side_by_side_is_nobodys() -> None:
    assert whose([(0, 10, 0), (15, 20, 1)], ["A", "B"]) == [(5, -1)]


def test_a_gap_between_two_calls_inside_a_third_is_that_ones() -> None:
    assert whose([(0, 10, 1), (15, 20, 2)], [("block", ["A", "B"])]) == [(5, 0)]


def test_a_gap_between_a_call_and_one_inside_it_is_the_outer_ones() -> None:
    assert whose([(0, 10, 0), (15, 20, 1), (22, 30, 0)], [("block", ["A"])]) == [(5, 0), (2, 0)]


def test_the_innermost_that_holds_both_is_found_at_any_depth() -> None:
    tree = [("a", [("b", [("c", ["d"]), "e"]), "f"])]  # a 0, b 1, c 2, d 3, e 4, f 5
    assert whose([(0, 10, 3), (12, 20, 4), (25, 30, 5)], tree) == [(2, 1), (5, 0)]


def test_a_gap_beside_a_kernel_of_nobody_is_nobodys() -> None:
    assert whose([(0, 10, 0), (15, 20, -1), (25, 30, 0)], ["A"]) == [(5, -1), (5, -1)]


def test_a_gap_beside_a_kernel_of_unknown_origin_is_nobodys() -> None:
    assert whose([(0, 10, 0), (15, 20, -2), (25, 30, 0)], ["A"]) == [(5, -1), (5, -1)]


def test_kernels_that_touch_or_overlap_leave_no_gap() -> None:
    assert whose([(0, 10, 0), (10, 20, 0), (15, 30, 0)], ["A"]) == []


def test_a_gap_lies_after_the_kernel_that_ended_last() -> None:
    found = gaps(kernels([(0, 100, 0), (10, 20, 1), (110, 120, 0)], "start end call"), called(["A", "B"]).parents)
    assert (found.lengths.tolist(), found.calls.tolist(), found.before.tolist()) == ([10], [0], [0])


def test_between_two_blocks_of_records_there_is_no_gap() -> None:
    found = kernels([(0, 10, 0, 0), (500, 510, 0, 1), (512, 515, 0, 1)], "start end call block")
    assert gaps(found, called(["A"]).parents).lengths.tolist() == [2]


def test_each_device_has_gaps_of_its_own() -> None:
    found = kernels([(0, 10, 0, 0), (4, 8, 0, 1), (13, 20, 0, 0), (9, 10, 0, 1)], "start end call device")
    assert gaps(found, called(["A"]).parents).lengths.tolist() == [3, 1]


def test_shares_are_not_to_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        busy_ns(kernels([(0, 1)]))[0] = 5
