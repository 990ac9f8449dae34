"""Options at the front of a magic's line: values in brackets, shares, points."""

from typing import Any

import pytest

from gpuprof.options import parse, points, positive, share, variable, words

KNOWN: dict[str, Any] = {"n": positive, "q": None, "o": None, "width": share, "over": words, "bytes": words, "v": str}


@pytest.mark.parametrize(
    ("line", "found", "rest"),
    [
        ("--over n=[1, 2, 3] f(n)", {"over": "n=[1, 2, 3]"}, "f(n)"),
        ("--over n=range(1, 9) f(n)", {"over": "n=range(1, 9)"}, "f(n)"),
        ("--over n={1: 2, 3: 4} f(n)", {"over": "n={1: 2, 3: 4}"}, "f(n)"),
        ("--over n=['a b', ')'] f(n)", {"over": "n=['a b', ')']"}, "f(n)"),
        ("--over n=2**10:2**20 f(n)", {"over": "n=2**10:2**20"}, "f(n)"),
        ("--over=n=2**10:2**20 f(n)", {"over": "n=2**10:2**20"}, "f(n)"),
        ("--bytes '2 * x.nbytes' x + 1", {"bytes": "2 * x.nbytes"}, "x + 1"),
        ('--bytes "2 * x.nbytes" x + 1', {"bytes": "2 * x.nbytes"}, "x + 1"),
        ("--bytes (2 * x.nbytes) x + 1", {"bytes": "(2 * x.nbytes)"}, "x + 1"),
        ("--width 0.5% x", {"width": 0.005}, "x"),
        ("--width=2% x", {"width": 0.02}, "x"),
        ("-n5 --width 1% -qo x  +  1", {"n": 5, "width": 0.01, "q": True, "o": True}, "x  +  1"),
        ("-q f(-1, '--over')", {"q": True}, "f(-1, '--over')"),
        ("-- --x", {}, "--x"),
    ],
)
def test_a_value_may_hold_blanks_in_brackets_or_quotes(line: str, found: dict[str, object], rest: str) -> None:
    assert parse(line, KNOWN) == (found, rest)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-n x", "-n: expected a whole number from 1 up; got 'x'"),
        ("-n", "-n: expected a whole number from 1 up; got ''"),
        ("--width wide x", "--width: expected a share such as 1% or 0.01; got 'wide'"),
        ("--over", "--over: expected an expression; got nothing"),
        ("--n 5 x", "unknown option '--n'"),
        ("-x", "a statement that begins with - goes after --"),
    ],
)
def test_an_option_that_is_wrong_is_named(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(line, KNOWN)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("007", 7), ("10000", 10_000)])
def test_a_whole_number_is_read(text: str, value: int) -> None:
    assert positive(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "²", "1e3", "0x10"])
def test_what_is_no_whole_number_from_one_up_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a whole number from 1 up"):
        positive(text)


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.01", 0.01), ("99.5%", 0.995), (" 2 % ", 0.02)])
def test_a_share_is_per_cent_or_a_fraction(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0", "0%", "100%", "1", "-1%", "nan", "inf%", "", "%", "1 %%"])
def test_what_is_no_share_between_0_and_1_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a share such as 1% or 0\.01"):
        share(text)


@pytest.mark.parametrize("text", ["", "''", "' '"])
def test_an_expression_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected an expression; got nothing"):
        words(text)


@pytest.mark.parametrize("text", ["3x", "", "a b", "a.b"])
def test_what_is_no_variables_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a variable's name"):
        variable(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("n=2**10:2**12", [1024, 2048, 4096]),
        ("n=1:10", [1, 2, 4, 8]),
        ("n=1:100:10", [1, 10, 100]),
        ("n=0.5:2", [0.5, 1.0, 2.0]),
        ("n=3:3", [3]),
        ("n=[1, 5, 2]", [1, 5, 2]),
        ("n=range(3)", [0, 1, 2]),
        ("n=sizes", [7, 9]),
        ("n=first:last", [7, 14, 28]),
        ("n=(k * k for k in sizes)", [49, 81]),
        ("n={'a': 1}", ["a"]),
        ("n = [1]", [1]),
    ],
)
def test_points_are_doubled_or_listed(text: str, values: list[object]) -> None:
    assert points(text, {"sizes": [7, 9], "first": 7, "last": 28}) == ("n", values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n", r"expected n=2\*\*10:2\*\*20 or n=\[1, 2, 3\]; got 'n'"),
        ("n=", "expected n="),
        ("2=1:4", "expected n="),
        ("n=5", r"expected n=2\*\*10:2\*\*20 or n=\[1, 2, 3\]; got 'n=5'"),
        ("n=nobody", "'nobody': NameError"),
        ("n=[1", "SyntaxError"),
        ("n=:4", "expected both ends"),
        ("n=4:", "expected both ends"),
        ("n=0:4", "expected a:b with 0 < a ≤ b"),
        ("n=8:4", "got 8:4:2"),
        ("n=1:8:1", "a factor above 1; got 1:8:1"),
        ("n=1:float('inf')", "got 1:inf:2"),
        ("n=1:float('nan')", "got 1:nan:2"),
        ("n='a':'b'", "TypeError"),
        ("n=[]", r"expected values of n to go over; '\[\]' holds none"),
    ],
)
def test_points_that_are_none_are_answered_with_what_was_expected(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        points(text, {})
