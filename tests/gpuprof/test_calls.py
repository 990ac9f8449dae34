"""Finished calls: what was around each, and the log without some of them."""

from __future__ import annotations

import numpy as np

from gpuprof.record.calls import LINE, Calls
from gpuprof.record.log import CallLog
from gpuprof.testing import FakeClock


def made(words: str) -> Calls:
    """The log of calls as text: "a(l(b))" is a forward b in a line l in a forward a; l and m are lines."""
    log, stack = CallLog(FakeClock()), []
    with log:
        for letter in words:
            if letter.isalpha():
                stack.append(log.enter(log.scope(letter, LINE if letter in "lm" else "forward")))
            elif letter == ")":
                log.leave(stack.pop())
    return log.calls


def names(calls: Calls, positions: np.ndarray) -> str:
    return "".join("-" if at < 0 else calls.scopes[calls["scope"][at]].path for at in positions)


def test_around_each_call_is_the_innermost_of_those_wanted_that_holds_it() -> None:
    calls = made("a(l(b(m())))c()")
    lines = np.array([scope.phase == LINE for scope in calls.scopes])[calls["scope"]]
    assert names(calls, np.arange(5)) == "albmc"
    assert names(calls, calls.around(lines)) == "--ll-"
    assert names(calls, calls.around(~lines)) == "-aab-"


def test_without_a_phase_its_calls_parents_are_those_of_what_they_held() -> None:
    calls, moved = made("a(l(b(m(c()))))").without(LINE)
    assert names(calls, np.arange(3)) == "abc"
    assert names(calls, calls.parents) == "-ab"
    assert names(calls, moved) == "aabbc"


def test_a_call_left_out_with_nothing_around_it_goes_nowhere() -> None:
    before = made("l(m(a()))")
    calls, moved = before.leaving_out(np.array([True, False, False]))
    assert names(calls, np.arange(2)) == "ma"
    assert names(calls, moved) == "-ma"


def test_where_nothing_is_left_out_the_log_is_itself() -> None:
    for calls in (made("a()b()"), made("")):
        same, moved = calls.without(LINE)
        assert same is calls
        assert moved.tolist() == list(range(len(calls)))
