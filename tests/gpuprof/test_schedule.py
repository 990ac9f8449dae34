"""Which steps are measured how."""

import itertools

import pytest

from gpuprof.record.schedule import KERNELS, Block, Mode, Plan, Schedule

PLAIN, EVENTS, RECORDS, LINES, INSPECT = Mode.PLAIN, Mode.EVENTS, Mode.RECORDS, Mode.LINES, Mode.INSPECT
SKIPPED, WARMUP = Mode.TURNING, EVENTS | Mode.TURNING


def modes(schedule: Schedule, steps: int, each: float = 1e-3) -> list[tuple[Mode, int]]:
    """The modes of steps of `each` seconds, with how many follow each other; nothing turns between them."""
    found = [schedule.mode]
    for step in range(1, steps):
        schedule.turn(step * each)
        found.append(schedule.mode)
    return [(mode, len(list(group))) for mode, group in itertools.groupby(found)]


def test_a_short_cell_on_a_device_has_all_its_steps_marked() -> None:
    assert modes(Schedule(device=True), 8) == [(EVENTS, 8)]


def test_marked_steps_and_plain_ones_take_turns() -> None:
    found = modes(Schedule(device=True), 200)
    assert [mode for mode, _ in found[:4]] == [EVENTS, PLAIN, EVENTS, PLAIN]


def test_without_a_device_every_step_is_timed_on_the_host() -> None:
    assert modes(Schedule(device=False), 500) == [(EVENTS, 500)]


def test_with_kernels_a_dozen_steps_have_something_of_each() -> None:
    assert modes(Schedule(device=True, kernels=True), 12) == [(KERNELS, 4), (INSPECT, 2), (EVENTS, 3), (PLAIN, 3)]


def test_kernels_come_again_and_again_where_they_are_wanted() -> None:
    found = [mode for mode, _ in modes(Schedule(device=True, kernels=True), 400, each=1e-4)]
    assert found[:9] == [KERNELS, INSPECT, EVENTS, PLAIN, KERNELS, INSPECT, EVENTS, PLAIN, KERNELS]


def test_a_long_cell_has_some_steps_recorded_unasked_once_it_has_lasted_a_second() -> None:
    found = modes(Schedule(device=True), 3000)
    before = sum(number for _, number in itertools.takewhile(lambda row: row[0] != KERNELS, found))
    assert 1000 <= before < 1000 + 2 * 64
    assert (KERNELS, 20) in found
    assert found[[mode for mode, _ in found].index(KERNELS) + 1] == (INSPECT, 2)


def test_unasked_records_become_rarer_as_the_cell_goes_on() -> None:
    found = modes(Schedule(device=True), 30_000)
    at = itertools.accumulate(number for _, number in found)
    begun = [end - number for end, (mode, number) in zip(at, found, strict=True) if mode == KERNELS]
    assert len(begun) == 3
    assert all(4 * one <= other <= 4 * one + 150 for one, other in itertools.pairwise(begun))


def test_kernels_that_are_refused_never_come() -> None:
    assert {mode for mode, _ in modes(Schedule(device=True, kernels=False), 10_000)} == {EVENTS, PLAIN}


def test_where_lines_are_wanted_the_first_steps_have_records_then_lines_with_records_then_lines_alone() -> None:
    assert modes(Schedule(device=True, lines=True), 16) == [
        (KERNELS, 4),
        (KERNELS | LINES, 4),
        (EVENTS | LINES | INSPECT, 2),
        (EVENTS, 3),
        (PLAIN, 3),
    ]


def test_lines_without_a_device_take_turns_with_steps_of_none() -> None:
    assert modes(Schedule(device=False, lines=True), 11) == [
        (EVENTS, 1),
        (EVENTS | LINES, 2),
        (EVENTS, 3),
        (EVENTS | LINES, 2),
        (EVENTS, 3),
    ]


def test_hot_lines_are_followed_in_steps_with_records_that_are_watched() -> None:
    assert modes(Schedule(device=True, hot=True), 8) == [(KERNELS, 4), (KERNELS | INSPECT, 4)]


def test_lines_and_hot_lines_are_followed_apart() -> None:
    found = [mode for mode, _ in modes(Schedule(device=True, lines=True, hot=True), 17)]
    assert found[:4] == [KERNELS, KERNELS | LINES, EVENTS | LINES | INSPECT, KERNELS | INSPECT]


@pytest.mark.parametrize("wish", ["lines", "hot"])
def test_hot_lines_mean_nothing_without_a_device_and_lines_are_no_records(wish: str) -> None:
    found = modes(Schedule(device=False, **{wish: True}), 30)
    assert all(not mode & (RECORDS | INSPECT) for mode, _ in found)


def test_lines_are_followed_by_events_alone_where_kernels_are_refused() -> None:
    found = modes(Schedule(device=True, lines=True, kernels=False), 100)
    assert all(not mode & RECORDS for mode, _ in found)
    assert sum(number for mode, number in found if mode & LINES) >= 6


def test_a_block_ends_early_once_it_has_taken_its_time() -> None:
    assert modes(Schedule(device=True, kernels=True), 6, each=0.3)[0] == (KERNELS, 2)


def test_a_block_has_two_steps_however_long_they_take() -> None:
    assert [n for _, n in modes(Schedule(device=True, kernels=True), 8, each=100.0)] == [2, 2, 2, 2]


def test_given_blocks_are_followed_by_plain_steps() -> None:
    blocks = [Block(EVENTS, 2), Block(KERNELS, 1)]
    assert modes(Schedule(device=True, blocks=blocks), 50) == [(EVENTS, 2), (KERNELS, 1), (PLAIN, 47)]


def test_plain_steps_after_the_given_blocks_never_end() -> None:
    assert modes(Schedule(device=True, blocks=[Block(EVENTS, 1)]), 100, each=3600.0)[-1] == (PLAIN, 99)


def test_records_that_cannot_be_had_leave_what_else_the_steps_are_for() -> None:
    schedule = Schedule(device=True, lines=True)
    schedule.without_records()
    found = modes(schedule, 100)
    assert found[0] == (EVENTS, 4)
    assert found[1] == (EVENTS | LINES, 4)
    assert all(not mode & RECORDS for mode, _ in found)


def test_lines_come_again_where_records_cannot_be_had() -> None:
    schedule = Schedule(device=True, lines=True)
    schedule.without_records()
    found = [mode for mode, _ in modes(schedule, 400)]
    assert found.count(EVENTS | LINES) > 2


def test_a_turn_says_whether_another_block_has_begun() -> None:
    schedule = Schedule(device=True, blocks=[Block(EVENTS, 2), Block(KERNELS, 2)])
    assert [schedule.turn(step * 1e-3) for step in range(1, 5)] == [False, True, False, True]


def test_a_delayed_block_has_all_its_steps_from_then_on() -> None:
    schedule = Schedule(device=True, blocks=[Block(EVENTS, 1), Block(KERNELS, 3)])
    assert schedule.turn(0.1)
    schedule.delayed(5.0)
    assert [schedule.turn(5.0 + step * 1e-3) for step in range(1, 4)] == [False, False, True]


def test_a_delayed_block_has_all_its_time_from_then_on() -> None:
    schedule = Schedule(device=True, blocks=[Block(EVENTS, 1), Block(KERNELS, 100, 0.5)])
    assert schedule.turn(0.1)
    schedule.delayed(5.0)
    assert [schedule.turn(now) for now in (5.2, 5.4, 5.6)] == [False, False, True]


def test_a_block_that_is_skipped_is_over() -> None:
    schedule = Schedule(device=True, blocks=[Block(EVENTS, 9), Block(KERNELS, 9)])
    schedule.skip(0.1)
    assert schedule.mode == KERNELS


def test_lengths_follow_no_rhythm_and_yet_are_the_same_each_time() -> None:
    one, other = (modes(Schedule(device=True), 2000) for _ in range(2))
    assert one == other
    assert len({number for _, number in one}) > 8


# A plan: which steps are measured at all


def test_a_plan_skips_warms_up_and_measures_and_does_so_again() -> None:
    found = modes(Schedule(device=False, plan=Plan(10, 5, 100, 3)), 400)
    assert found == [(SKIPPED, 10), (WARMUP, 5), (EVENTS, 100)] * 3 + [(SKIPPED, 55)]


def test_a_plan_that_repeats_0_times_goes_on_for_ever() -> None:
    found = modes(Schedule(device=False, plan=Plan(2, 0, 1)), 3000)
    assert found == [(SKIPPED, 2), (EVENTS, 1)] * 1000


def test_a_plan_without_steps_to_skip_is_as_if_there_were_none() -> None:
    found = modes(Schedule(device=True, kernels=True, plan=Plan(0, 0, 10**6)), 400)
    assert found == modes(Schedule(device=True, kernels=True), 400)


def test_passes_take_turns_in_active_steps_and_go_on_where_they_were() -> None:
    found = modes(Schedule(device=True, kernels=True, plan=Plan(3, 1, 6, 2)), 40)
    aside = [(SKIPPED, 3), (WARMUP, 1)]
    assert found == [*aside, (KERNELS, 4), (INSPECT, 2), *aside, (EVENTS, 3), (PLAIN, 3), (SKIPPED, 20)]


def test_a_block_is_cut_where_active_steps_end() -> None:
    found = modes(Schedule(device=True, blocks=[Block(KERNELS, 8), Block(EVENTS, 8)], plan=Plan(2, 0, 5, 2)), 20)
    assert found == [(SKIPPED, 2), (KERNELS, 5), (SKIPPED, 2), (EVENTS, 5), (SKIPPED, 6)]


def test_steps_that_records_take_to_end_are_of_the_plan_too() -> None:
    schedule = Schedule(device=True, blocks=[Block(KERNELS, 2), Block(EVENTS, 8)], plan=Plan(0, 0, 6, 1))
    assert [schedule.turn(each) for each in (0.1, 0.2)] == [False, True]
    schedule.delayed(0.4, 3)
    assert (schedule.mode, schedule.turn(0.5), schedule.mode) == (EVENTS, True, SKIPPED)  # 2 and 3 and 1 are 6


def test_records_that_end_later_than_the_active_steps_leave_the_rest_of_what_is_skipped() -> None:
    schedule = Schedule(device=True, blocks=[Block(KERNELS, 2), Block(EVENTS, 8)], plan=Plan(4, 0, 3, 2))
    for step in range(1, 6):
        schedule.turn(step * 0.1)
    assert schedule.mode == KERNELS
    assert schedule.turn(0.6)
    schedule.delayed(0.8, 3)  # of which one was active
    assert schedule.mode == SKIPPED
    assert [schedule.turn(1.0 + step * 0.1) for step in range(4)] == [False, False, False, True]
    assert schedule.mode == EVENTS


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((1, 2), "whole numbers of steps; got \\(1, 2\\)"),
        ((1, 2, 3, 4, 5), "schedule is"),
        ((1, 2.0, 3), "schedule is"),
        ((0, 0, 0, 1), "needs an active step"),
        ((-1, 0, 1), "no number below 0"),
    ],
)
def test_what_is_no_plan_is_refused(given: tuple[object, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Plan.of(given)


def test_three_numbers_are_a_plan_that_goes_on_for_ever() -> None:
    assert Plan.of([1, 2, 3]) == (1, 2, 3, 0)


# Enough


def test_when_enough_is_recorded_more_comes_as_rarely_as_unasked() -> None:
    schedule = Schedule(device=True, kernels=True)
    before = [mode for mode, _ in modes(schedule, 1000)]
    schedule.enough()
    after = [mode for mode, _ in modes(schedule, 1000)]
    assert before.count(KERNELS) > 8
    assert after.count(KERNELS) <= 1


def test_when_enough_lines_are_followed_more_come_rarely() -> None:
    schedule = Schedule(device=False, lines=True)
    schedule.enough()
    found = modes(schedule, 3000)
    assert 3 <= sum(mode == EVENTS | LINES for mode, _ in found) <= 8
