"""Which steps are measured how."""

import itertools

import pytest

from gpuprof.record.schedule import KERNELS, Block, Mode, Schedule

PLAIN, EVENTS, RECORDS, LINES, INSPECT = Mode.PLAIN, Mode.EVENTS, Mode.RECORDS, Mode.LINES, Mode.INSPECT


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
