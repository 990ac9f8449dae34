"""The statements of a function, followed while it runs.

A trail is read so: "+2" the statement on the second line below `def` begins, "-2" it ends, "!2" an exception ends it.
"""

# ruff: noqa: E701, E702, E731, RET504, UP033  (the layout of these functions is what is tested)

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

from gpuprof.hooks.lines import WAYS, LineHook, following

from .models import plainly

MONITORED = hasattr(sys, "monitoring")
UNLESS: Any = () if MONITORED else pytest.mark.skip(reason="sys.monitoring came with Python 3.12")


@pytest.fixture(params=[pytest.param(way, marks=UNLESS if way == "sys.monitoring" else ()) for way in WAYS])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each way that this Python has; afterwards nothing of it is left."""
    before, before_threads = sys.gettrace(), threading.gettrace()
    yield request.param
    assert sys.gettrace() is before
    assert threading.gettrace() is before_threads
    assert not MONITORED or all(sys.monitoring.get_tool(tool) is None for tool in (2, 3, 4))


class Trail:
    """What the hook said, as text."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.threads: list[int] = []

    def begin(self, code: CodeType, line: int) -> int:
        self.steps.append(f"+{line - code.co_firstlineno}")
        self.threads.append(threading.get_ident())
        return line - code.co_firstlineno

    def end(self, token: int, raised: bool) -> None:
        self.steps.append(f"{'!' if raised else '-'}{token}")

    def __str__(self) -> str:
        return " ".join(self.steps)


def trail(way: str, function: Any, *args: Any, call: Callable[..., Any] | None = None) -> str:
    """The trail of a call of `call`, by default of `function`, with `function` followed; what is raised is dropped."""
    found = Trail()
    with following([function], found.begin, found.end, way=way), contextlib.suppress(ZeroDivisionError):
        (call or function)(*args)
    return str(found)


def straight(x: int) -> int:
    y = x + 1
    z = y * 2

    return z


def test_each_statement_begins_and_ends_in_its_turn(way: str) -> None:
    assert trail(way, straight, 1) == "+1 -1 +2 -2 +4 -4"


def test_the_function_returns_what_it_returns_without_us(way: str) -> None:
    trailed = Trail()
    with following([straight], trailed.begin, trailed.end, way=way):
        assert straight(1) == 4


# fmt: off
def long(x: int) -> int:
    y = max(
        x,
        min(x, 3),
        # a comment in the middle
        abs(x),
    )
    text = """of
    two lines"""
    return y + len(
        text)
# fmt: on


def test_a_statement_of_several_lines_is_one_by_its_first(way: str) -> None:
    assert trail(way, long, 1) == "+1 -1 +7 -7 +9 -9"


def looped(n: int) -> int:
    total = 0
    for i in range(n):
        total += i
    return total


def test_each_pass_of_a_loops_body_is_a_hit_and_so_is_each_look_for_a_next(way: str) -> None:
    assert trail(way, looped, 2) == "+1 -1 +2 -2 +3 -3 +2 -2 +3 -3 +2 -2 +4 -4"


def looped_by_while(n: int) -> None:
    while n:
        n = max(
            n - 1,
            0,
        )


def test_a_while_loop_is_hit_by_pass_too(way: str) -> None:
    assert trail(way, looped_by_while, 2) == "+1 -1 +2 -2 +1 -1 +2 -2 +1 -1"


def endless(steps: Iterator[int]) -> None:
    while True:
        1 / next(steps)


def test_a_loop_of_one_statement_without_a_condition_is_hit_by_pass(way: str) -> None:
    assert trail(way, endless, iter([1, 1, 0])) == "+1 -1 +2 -2 +1 -1 +2 -2 +1 -1 +2 !2"


# fmt: off
def comprehension(n: int) -> list[int]:
    squares = [i * i for i in range(n)]
    return [
        square
        for square in squares
        if square
    ]
# fmt: on


def test_a_comprehension_is_one_hit_however_many_its_items(way: str) -> None:
    assert trail(way, comprehension, 5) == "+1 -1 +2 -2"


# fmt: off
def on_one_line(n: int) -> int:
    for i in range(n): i += 1
    a = 1; b = max(a,
                   2)
    return b
# fmt: on


def test_of_several_statements_on_a_line_the_outermost_has_it_all(way: str) -> None:
    assert trail(way, on_one_line, 3) == "+1 -1 +2 -2 +4 -4"


# fmt: off
def nested(n: int) -> int:
    @functools.lru_cache(
        maxsize=None,
    )
    def inner(
        x: int,
    ) -> int:
        y = x + 1
        return y

    return inner(n) + (lambda x: x)(
        n
    )
# fmt: on


def test_a_nested_function_counts_into_the_line_that_defines_or_calls_it(way: str) -> None:
    assert trail(way, nested, 1) == "+1 -1 +10 -10"


def test_a_nested_function_that_is_given_too_has_lines_of_its_own(way: str) -> None:
    def outer(x: int) -> int:
        y = inner(x)
        return y

    def inner(x: int) -> int:
        return x

    found = Trail()
    with following([outer, inner], found.begin, found.end, way=way):
        outer(1)
    assert str(found) == "+1 +1 -1 -1 +2 -2"


# fmt: off
def test_a_lambda_is_one_statement(way: str) -> None:
    half = (lambda x:
            x / 2)
    assert trail(way, half, 2) == "+0 -0"
# fmt: on


@plainly
@plainly
def decorated(x: int) -> int:
    y = x
    return y


def test_a_decorated_function_is_followed_below_its_decorators(way: str) -> None:
    assert trail(way, decorated, 1) == "+3 -3 +4 -4"


def factorial(n: int) -> int:
    if n == 0:
        return 1
    return n * factorial(n - 1)


def test_under_recursion_the_inner_statements_lie_inside_the_outer_one(way: str) -> None:
    assert trail(way, factorial, 1) == "+1 -1 +3 +1 -1 +2 -2 -3"


def failing(x: int) -> float:
    y = 1 / x
    return y


def test_an_exception_that_leaves_the_function_ends_the_line_as_raised(way: str) -> None:
    assert trail(way, failing, 0) == "+1 !1"


def test_an_exception_passes_through_to_the_caller(way: str) -> None:
    found = Trail()
    with pytest.raises(ZeroDivisionError), following([failing], found.begin, found.end, way=way):
        failing(0)
    assert str(found) == "+1 !1"


def test_an_exception_through_two_frames_ends_a_line_in_each(way: str) -> None:
    def outer() -> None:
        failing(0)

    found = Trail()
    with following([outer, failing], found.begin, found.end, way=way), pytest.raises(ZeroDivisionError):
        outer()
    assert str(found) == "+1 +1 !1 !1"


def catching(x: int) -> float:
    try:
        y = 1 / x
    except ZeroDivisionError:
        y = 0.0
    else:
        y += 1
    return y


def test_a_line_whose_exception_is_caught_ends_as_raised_and_the_except_line_begins(way: str) -> None:
    assert trail(way, catching, 0) == "+1 -1 +2 !2 +3 -3 +4 -4 +7 -7"


def test_without_an_exception_the_else_branch_is_followed(way: str) -> None:
    assert trail(way, catching, 1) == "+1 -1 +2 -2 +6 -6 +7 -7"


def cleaning(x: int) -> float:
    try:
        return 1 / x
    finally:
        x = 2


def test_finally_is_followed_after_a_return(way: str) -> None:
    assert trail(way, cleaning, 1).startswith("+1 -1 +2 -2 +4 -4")


def test_finally_ends_as_raised_where_the_exception_goes_on_from_there(way: str) -> None:
    assert trail(way, cleaning, 0) == "+1 -1 +2 !2 +4 !4"


def early(x: int) -> int:
    for i in range(x):
        if i == 1:
            return i
    return 0


def test_an_early_return_ends_its_line(way: str) -> None:
    assert trail(way, early, 3) == "+1 -1 +2 -2 +1 -1 +2 -2 +3 -3"


# fmt: off
def matching(x: object) -> int:
    match x:
        case 1:
            return 1
        case (
            2 | 3
        ):
            return 2
    return 3
# fmt: on


def test_a_match_goes_through_its_cases(way: str) -> None:
    assert trail(way, matching, 3).endswith("+7 -7")
    assert trail(way, matching, 1).endswith("+3 -3")


def within(x: int) -> None:
    with contextlib.suppress(ZeroDivisionError):
        1 / x
    x = 2


def test_the_with_line_is_hit_again_where_it_is_left(way: str) -> None:
    assert trail(way, within, 1) == "+1 -1 +2 -2 +1 -1 +3 -3"


def test_a_with_that_swallows_an_exception_goes_on_behind(way: str) -> None:
    assert trail(way, within, 0) == "+1 -1 +2 !2 +1 -1 +3 -3"


class Countdown:
    """An iterator in Python, whose end is an exception."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Countdown:
        return self

    def __next__(self) -> int:
        if self.n == 0:
            raise StopIteration
        self.n -= 1
        return self.n


def over(items: Countdown) -> None:
    for _ in items:
        pass


def test_the_end_of_a_loop_is_no_exception(way: str) -> None:
    assert trail(way, over, Countdown(1)) == "+1 -1 +2 -2 +1 -1"


def yielding(n: int) -> Iterator[int]:
    a = yield n
    yield a or 2
    n = 3


def test_a_generators_line_ends_at_its_yield_and_begins_again_when_it_is_resumed(way: str) -> None:
    assert trail(way, yielding, 1, call=lambda n: list(yielding(n))) == "+1 -1 +1 -1 +2 -2 +2 -2 +3 -3"


def test_a_generator_that_is_not_resumed_has_nothing_open(way: str) -> None:
    assert trail(way, yielding, 1, call=lambda n: next(yielding(n))).startswith("+1 -1")


def test_an_exception_thrown_into_a_generator_ends_its_line_as_raised(way: str) -> None:
    def throw() -> None:
        steps = yielding(1)
        next(steps)
        steps.throw(ZeroDivisionError)

    assert trail(way, yielding, call=throw) == "+1 -1 +1 !1"


def test_a_coroutine_is_followed_from_await_to_await(way: str) -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 1

    assert trail(way, work, call=lambda: asyncio.run(work())) == "+1 -1 +1 -1 +2 -2"


def test_the_end_of_an_asynchronous_loop_is_no_exception(way: str) -> None:
    async def numbers() -> Any:
        yield 1

    async def work() -> None:
        async for _ in numbers():
            pass

    assert trail(way, work, call=lambda: asyncio.run(work())) == "+1 -1 +2 -2 +1 -1"


def test_an_execution_that_is_not_active_is_not_followed(way: str) -> None:
    found, answers = Trail(), iter([False, True, False])
    with following([failing], found.begin, found.end, lambda code, *_: next(answers) and code, way=way):
        for x in (1, 2, 4):
            failing(x)
    assert str(found) == "+1 -1 +2 -2"


def test_under_recursion_each_start_is_asked_about(way: str) -> None:
    found, answers = Trail(), iter([True, False])
    with following([factorial], found.begin, found.end, lambda code, *_: next(answers) and code, way=way):
        factorial(1)
    assert str(found) == "+1 -1 +3 -3"


def test_each_start_is_asked_about_with_its_first_argument_and_what_is_answered_goes_with_its_lines(way: str) -> None:
    asked, begun = [], []

    def active(code: CodeType, first: Any, resumed: bool) -> Any:
        asked.append((code.co_name, first, resumed))
        return [first]

    given: Any = (lambda key, _line: begun.append(key), lambda *_: None, active)
    with following([straight, looped_by_while, yielding, all_named], *given, way=way):
        straight(5)
        looped_by_while(0)
        next(yielding(7))
        all_named(x=1)
    names = ("straight", 5, False), ("looped_by_while", 0, False), ("yielding", 7, False), ("all_named", None, False)
    assert [each for each in asked if not each[2]] == list(names)
    assert begun[:4] == [[5], [5], [5], [0]]


def all_named(*, x: int) -> int:
    return x


def test_a_first_argument_that_a_nested_function_uses_is_told_too(way: str) -> None:
    def holding(x: int) -> Any:
        return lambda: x

    told: list[Any] = []
    given: Any = (lambda *_: None, lambda *_: None, lambda _, first, __: told.append(first))
    with following([holding], *given, way=way):
        holding(3)
    assert told == [3]


def test_asking_keeps_no_argument_alive(way: str) -> None:
    class Big:
        pass

    def dropping(big: Any) -> list[Any]:
        del big
        gc.collect()
        return [thing for thing in gc.get_objects() if type(thing) is Big]

    with following([dropping], Trail().begin, Trail().end, way=way):
        left = dropping(Big())
    assert way == "trace function" or not left  # frames that are traced have a copy, on 3.11 and 3.12


def test_two_threads_do_not_mix(way: str) -> None:
    found, both = {}, threading.Barrier(2)

    def meeting() -> int:
        both.wait(10)
        x = 1
        both.wait(10)
        return x

    def begin(code: CodeType, line: int) -> int:
        found.setdefault(threading.get_ident(), []).append(line - code.co_firstlineno)
        return line - code.co_firstlineno

    def end(token: int, raised: bool) -> None:
        found[threading.get_ident()].append(-token)

    with following([meeting], begin, end, way=way):
        other = threading.Thread(target=meeting)
        other.start()
        meeting()
        other.join()
    assert list(found.values()) == [[1, -1, 2, -2, 3, -3, 4, -4]] * 2


def test_a_thread_that_outlives_the_hook_goes_on_unfollowed(way: str) -> None:
    started, go, tracers = threading.Event(), threading.Event(), []

    def waiting() -> None:
        started.set()
        go.wait(10)

    def work() -> None:
        waiting()
        straight(1)
        tracers.append(sys.gettrace())

    found = Trail()
    with following([waiting, straight], found.begin, found.end, way=way):
        thread = threading.Thread(target=work)
        thread.start()
        started.wait(10)
    go.set()
    thread.join()
    assert not any(type(tracer).__module__.startswith("gpuprof") for tracer in tracers)
    assert "+3" not in found.steps
    assert "-4" not in found.steps


def test_a_run_still_going_on_when_the_hook_is_left_is_cut_innermost_first(way: str) -> None:
    found, cut = Trail(), []
    hook = following([straight, leaving, outer_of_leaving], found.begin, found.end, cut=cut.append, way=way)

    hook.__enter__()
    outer_of_leaving(hook)
    assert str(found) == "+1 +1 +1 -1 +2 -2 +4 -4 -1 +2"  # that of the outer function and the last have no end
    assert [code.co_name for code in cut] == ["leaving", "outer_of_leaving"]


def leaving(hook: Any) -> int:
    y = straight(1)
    hook.__exit__(None, None, None)
    y = straight(2)
    return y


def outer_of_leaving(hook: Any) -> int:
    y = leaving(hook)
    return y


def test_a_run_that_had_begun_before_the_hook_is_not_followed(way: str) -> None:
    found = Trail()
    hook = following([entering, straight], found.begin, found.end, way=way)
    entering(hook)
    assert str(found) == "+1 -1 +2 -2 +4 -4"


def entering(hook: Any) -> int:
    hook.__enter__()
    y = straight(1)
    hook.__exit__(None, None, None)
    return y


def test_a_run_on_another_thread_is_cut_too(way: str) -> None:
    started, go, cut = threading.Event(), threading.Event(), []

    def waiting() -> None:
        started.set()
        go.wait(10)

    with following([waiting], Trail().begin, Trail().end, cut=cut.append, way=way):
        thread = threading.Thread(target=waiting)
        thread.start()
        started.wait(10)
    go.set()
    thread.join()
    assert [code.co_name for code in cut] == ["waiting"]


def test_an_interrupt_in_the_followed_code_ends_its_line_and_rises(way: str) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    found = Trail()
    with pytest.raises(KeyboardInterrupt), following([interrupted], found.begin, found.end, way=way):
        interrupted()
    assert str(found) == "+1 !1"


def test_an_interrupt_inside_a_hook_rises_and_what_is_open_ends(way: str) -> None:
    found = Trail()

    def begin(code: CodeType, line: int) -> int:
        if "+1" in found.steps:
            raise KeyboardInterrupt
        return found.begin(code, line)

    def outer() -> None:
        straight(1)

    with pytest.raises(KeyboardInterrupt), following([outer, straight], begin, found.end, way=way):
        outer()
    assert str(found) == "+1 !1"


def test_an_error_of_cut_rises_at_the_end(way: str) -> None:
    def broken(_: object) -> None:
        raise LookupError("ours")

    hook = following([leaving], Trail().begin, Trail().end, cut=broken, way=way)
    hook.__enter__()
    with pytest.raises(LookupError, match="ours"):
        leaving(hook)


@pytest.mark.parametrize("where", ["begin", "end", "active"])
def test_an_error_of_what_was_given_rises_at_the_end_and_not_in_the_followed_code(way: str, where: str) -> None:
    def broken(*_: object) -> Any:
        raise LookupError("ours")

    given: dict[str, Any] = {"begin": lambda *_: None, "end": lambda *_: None, where: broken}
    hook, answers = LineHook([straight], **given, way=way), []
    with pytest.raises(LookupError, match="ours"), hook:
        answers += [straight(1), straight(2)]
    assert answers == [4, 6]


def test_after_an_error_of_what_was_given_nothing_more_is_asked_of_it(way: str) -> None:
    asked: list[int] = []

    def broken(code: CodeType, line: int) -> None:
        asked.append(line)
        raise LookupError

    with pytest.raises(LookupError), following([straight], broken, broken, way=way):
        straight(1)
    assert len(asked) == 1


def test_the_followed_codes_own_error_comes_before_ours(way: str) -> None:
    def broken(*_: object) -> None:
        raise LookupError

    with pytest.raises(ZeroDivisionError), following([failing], broken, broken, way=way):
        failing(0)


def test_a_hook_can_be_entered_again(way: str) -> None:
    found = Trail()
    hook = following([failing], found.begin, found.end, way=way)
    with hook:
        failing(1)
    failing(2)
    with hook:
        failing(4)
    assert str(found) == "+1 -1 +2 -2 +1 -1 +2 -2"


def test_a_hook_that_is_on_refuses_to_be_entered(way: str) -> None:
    hook = following([failing], Trail().begin, Trail().end, way=way)
    with hook, pytest.raises(RuntimeError, match="is on already"):
        hook.__enter__()


def test_two_hooks_at_once_follow_one_function_each(way: str) -> None:
    one, two = Trail(), Trail()
    with following([failing], one.begin, one.end, way=way), following([straight], two.begin, two.end, way=way):
        failing(1)
        straight(1)
    assert (str(one), str(two)) == ("+1 -1 +2 -2", "+1 -1 +2 -2 +4 -4")


def test_two_hooks_at_once_can_follow_the_same_function(way: str) -> None:
    one, two = Trail(), Trail()
    with following([failing], one.begin, one.end, way=way), following([failing], two.begin, two.end, way=way):
        failing(1)
    assert str(one) == str(two) == "+1 -1 +2 -2"


def test_the_hook_says_which_way_it_went(way: str) -> None:
    with following([failing], Trail().begin, Trail().end, way=way) as hook:
        assert hook.way == way
        assert bool(hook.note) == (way == "trace function")


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match=r"way must be 'sys\.monitoring' or 'trace function'"):
        following([failing], Trail().begin, Trail().end, way="bytecode")


def test_nothing_holds_the_frames_that_were_followed(way: str) -> None:
    class Big:
        pass

    def holding() -> None:
        big = Big()
        del big
        local = Big()
        assert local

    trail(way, holding)
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Big]


@pytest.mark.skipif(not MONITORED, reason="sys.monitoring came with Python 3.12")
def test_without_a_free_tool_id_a_trace_function_follows_and_says_so() -> None:
    found = Trail()
    try:
        for tool in (2, 3, 4):
            sys.monitoring.use_tool_id(tool, "somebody")
        with following([failing], found.begin, found.end) as hook:
            failing(1)
    finally:
        for tool in (2, 3, 4):
            sys.monitoring.free_tool_id(tool)
    assert hook.way == "trace function"
    assert "somebody" in hook.note
    assert str(found) == "+1 -1 +2 -2"


class Tracer:
    """Somebody's trace function, such as a debugger's."""

    def __init__(self, replaces_itself: bool = False) -> None:
        self.events: list[tuple[str, int]] = []
        self.replaces_itself = replaces_itself

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code is failing.__code__:
            self.events.append((event, frame.f_lineno - frame.f_code.co_firstlineno))
        if self.replaces_itself and event == "call":  # coverage's does
            sys.settrace(self)
        return self


@contextlib.contextmanager
def traced(tracer: Any) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        yield
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("replaces_itself", [False, True])
def test_a_tracer_that_was_there_gets_its_events_and_its_place_back(way: str, replaces_itself: bool) -> None:
    tracer, found = Tracer(replaces_itself), Trail()
    with traced(tracer), following([failing], found.begin, found.end, way=way):
        failing(1)
    assert tracer.events == [("call", 0), ("line", 1), ("line", 2), ("return", 2)]
    assert str(found) == "+1 -1 +2 -2"


def test_a_tracer_that_wants_no_lines_of_a_function_gets_none_and_we_do(way: str) -> None:
    events, found = [], Trail()

    def tracer(frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code is failing.__code__:
            events.append(event)
            frame.f_trace_lines = False
        return tracer

    with traced(tracer), following([failing], found.begin, found.end, way=way):
        failing(1)
    assert events == ["call", "return"]
    assert str(found) == "+1 -1 +2 -2"


def test_a_tracer_that_was_there_traces_what_is_not_followed(way: str) -> None:
    tracer, found = Tracer(), Trail()
    with traced(tracer), following([straight], found.begin, found.end, way=way):
        failing(1)
    assert [event for event, _ in tracer.events] == ["call", "line", "line", "return"]


def test_a_tracer_that_takes_itself_off_stays_off(way: str) -> None:
    def once(frame: FrameType, event: str, arg: object) -> None:
        sys.settrace(None)

    before, found = sys.gettrace(), Trail()
    sys.settrace(once)
    try:
        with following([failing], found.begin, found.end, way=way):
            failing(1)
        assert sys.gettrace() is None
    finally:
        sys.settrace(before)
    assert str(found) == "+1 -1 +2 -2"


def test_a_tracer_put_on_meanwhile_is_left_on(way: str) -> None:
    def other(*_: object) -> None:
        return None

    before = sys.gettrace()
    try:
        with following([failing], Trail().begin, Trail().end, way=way):
            sys.settrace(other)
        assert sys.gettrace() is other
    finally:
        sys.settrace(before)
