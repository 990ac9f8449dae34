"""Where a magic's options may stand, and what is left to the user."""

import pytest

from gpuprof.words import WordsError, call_words, layertime_words, timeit_words


@pytest.mark.parametrize(
    ("line", "options", "model"),
    [
        ("lm", {}, "lm"),
        ("lm --lines Pool1.backward", {"lines": "Pool1.backward"}, "lm"),
        ("lm --hot", {"hot": True}, "lm"),
        ("--hot lm", {"hot": True}, "lm"),
        ("--kernels -v p lm", {"kernels": True, "v": "p"}, "lm"),
        ("-v p lm --hot", {"v": "p", "hot": True}, "lm"),
        ("--kernels -q lm, a.encode --lines lm[0].f -r 2", {"kernels": 1, "q": 1, "lines": "lm[0].f", "r": 2}, None),
        ("lm --lines=Pool1.backward", {"lines": "Pool1.backward"}, "lm"),
        ('lm --lines lm["a b"].f', {"lines": 'lm["a b"].f'}, "lm"),
        ("lm --hot  # mine", {"hot": True}, "lm"),
        ("lm  # mine --hot", {}, "lm  # mine --hot"),
        ("models['a --hot b']", {}, "models['a --hot b']"),
        (r"models['it\'s --hot b']", {}, r"models['it\'s --hot b']"),
        ('models["a --hot b"] --hot', {"hot": True}, 'models["a --hot b"]'),
        ("[lm, x --y]", {}, "[lm, x --y]"),
        ("a - -b", {}, "a - -b"),
        ("-- -lm", {}, "-lm"),
    ],
)
def test_options_stand_before_the_model_and_long_ones_after_it(line: str, options: dict, model: str | None) -> None:
    found, rest = layertime_words(line)
    assert (found, rest.strip()) == (options, model or "lm, a.encode")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("lm --frobnicate", "unknown option '--frobnicate'; known are -o, -q"),
        ("lm --hot other", "the model stands before the options or after them; got 'other' besides"),
        ("lm --lines", "--lines: expected an expression; got nothing"),
        ("lm --hot -r x", "-r: expected a whole number from 1 up; got 'x'"),
    ],
)
def test_options_after_the_model_that_are_wrong_are_answered(line: str, says: str) -> None:
    with pytest.raises(WordsError, match=says):
        layertime_words(line)


@pytest.mark.parametrize(
    ("line", "options", "call"),
    [
        ('--lines lm["Pool1"].backward(dy)', {}, 'lm["Pool1"].backward(dy)'),
        ("-q -r 2 --lines f(x, y = 2)", {"q": True, "r": 2}, "f(x, y = 2)"),
        ("--lines f(*xs, **kw) -o -v found", {"o": True, "v": "found"}, "f(*xs, **kw)"),
        ("--lines f('a --hot b', -1)", {}, "f('a --hot b', -1)"),
        ("--lines f (x)", {}, "f (x)"),
    ],
)
def test_a_call_is_what_stands_after_lines(line: str, options: dict, call: str) -> None:
    found, text = call_words(line)
    del found["lines"]
    assert (found, text) == (options, call)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "needs --lines and a call: %layertime --lines lm"),
        ("lm", "needs --lines and a call"),
        ("--hot --lines f(x)", "goes with -o, -q, -r and -v; not with hot"),
        ("--lines f(x) --kernels", "not with kernels"),
    ],
)
def test_a_line_without_a_call_is_answered(line: str, says: str) -> None:
    with pytest.raises(WordsError, match=says):
        call_words(line)


def test_vs_stands_alone_outside_of_strings() -> None:
    assert timeit_words("-n 3 f(x) --vs g(x)") == ({"n": 3}, "f(x)", "g(x)")
    assert timeit_words(r"f('it\'s --vs b')") == ({}, r"f('it\'s --vs b')", "")
