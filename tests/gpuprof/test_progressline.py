"""The line that says how far a long cell is."""

from __future__ import annotations

import io
import itertools
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import gpuprof
from gpuprof.progressline import ProgressLine
from gpuprof.record.schedule import Mode, spoken
from gpuprof.testing import FakeClock

from .models import FakeModel
from .shell import shown


class Terminal(io.StringIO):
    """A stdout of which one sees what a terminal shows."""

    encoding = "koi8-r"
    color = "yes"

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return [_over(line) for line in self.getvalue().split("\n")]


def _over(text: str) -> str:
    """What is left of a line when each return has begun to write over it."""
    line = ""
    for part in text.split("\r"):
        line = part + line[len(part) :]
    return line.rstrip()


def said(write: Any) -> list[str]:
    """What a terminal shows in the end, when `write` was given a line to tell on."""
    with redirect_stdout(Terminal()) as out, ProgressLine() as line:
        write(line)
    return out.lines


def test_the_line_is_shown_written_over_and_wiped() -> None:
    with redirect_stdout(Terminal()) as out, ProgressLine() as line:
        line.tell("1 200 steps, 12 s")
        assert out.lines == ["measuring: 1 200 steps, 12 s"]
        line.tell("9 steps")
        assert out.lines == ["measuring: 9 steps"]
    assert out.lines == [""]


def test_what_the_user_prints_takes_the_lines_place() -> None:
    def write(line: ProgressLine) -> None:
        line.tell("1 step, 1 s")
        print("loss 3")
        line.tell("2 steps, 2 s")
        print("a", "b", sep="\n")
        sys.stdout.writelines(["c\n", "d\n"])

    assert said(write) == ["loss 3", "a", "b", "c", "d", ""]


def test_nothing_is_told_in_the_midst_of_a_line() -> None:
    def write(line: ProgressLine) -> None:
        print("....", end="")
        line.tell("2 steps, 2 s")
        print("....")
        print("\r10 % #", end="", file=sys.stderr)
        line.tell("3 steps, 3 s")

    with redirect_stderr(io.StringIO()):
        assert said(write) == ["........", ""]


def test_a_bar_on_stderr_takes_the_lines_place() -> None:
    with redirect_stderr(Terminal()) as both, redirect_stdout(both), ProgressLine() as line:
        line.tell("3 steps, 3 s")
        print("\r10 %", end="", file=sys.stderr)
        print("\r20 %", end="", file=sys.stderr)
    assert both.lines == ["20 %"]


def test_all_but_writing_is_the_real_ones() -> None:
    with redirect_stdout(Terminal()), ProgressLine():
        assert (sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.color) == (True, "koi8-r", "yes")
        assert sys.stdout.write("four") == 4


def test_afterwards_stdout_is_what_it_was_and_what_another_put_there_stays() -> None:
    real = sys.stdout, sys.stderr
    with pytest.raises(ZeroDivisionError), ProgressLine():
        sys.stdout.write(str(1 / 0))
    assert (sys.stdout, sys.stderr) == real
    theirs = io.StringIO()
    with ProgressLine():
        sys.stdout = theirs
    assert sys.stdout is theirs
    sys.stdout = real[0]


def test_without_a_console_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with ProgressLine() as line:
        line.tell("1 step")
    assert sys.stdout is None


# In a profile


def test_it_is_told_from_a_second_on_twice_a_second_between_steps() -> None:
    clock, found = FakeClock(), []
    model = FakeModel(clock, "A", "B", "C")
    run = gpuprof.layertime(model, clock=clock)
    run._log.telling = found.append
    with run:
        model.train(400)  # of 9 ms: after the first ones, the log is asked every 0.1 s
    assert [text.split(", ")[1] for text in found] == ["1 s (host times)", "2 s (host times)"] + [
        f"{second} s (host times)" for second in (2, 3, 3)
    ]
    steps = [int(text.split()[0]) for text in found]
    assert all(0.5 / 0.009 <= later - before < 0.62 / 0.009 for before, later in itertools.pairwise(steps))
    assert 1 / 0.009 <= steps[0] < 1.12 / 0.009


def test_a_script_is_told_on_stderr_if_it_asks() -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A")
    for asked in (False, True):
        with redirect_stderr(Terminal()) as err, gpuprof.layertime(model, clock=clock, progress=asked):
            model.train(1000)
            assert [line.startswith("measuring: ") for line in err.lines] == [asked]
        assert err.lines == [""]


def test_a_line_that_cannot_be_written_ends_the_telling_and_not_the_run() -> None:
    clock, out = FakeClock(), Terminal()
    model = FakeModel(clock, "A")
    with redirect_stdout(out), redirect_stderr(io.StringIO()) as err:
        run = gpuprof.layertime(model, clock=clock, progress=True)
        with run:
            err.close()
            model.train(1000)
            sys.stderr = io.StringIO()
    assert run.profile["A", "forward"].calls == 1000


def test_the_time_it_takes_to_tell_is_not_the_hosts() -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A")
    run = gpuprof.layertime(model, clock=clock)
    run._log.telling = lambda text: clock.spend(5e-3)
    with run:
        model.train(2000)
    assert run.profile["A", "forward"].median_us == 1000
    assert run.profile.pace.step == pytest.approx(3e-3)
    assert run.profile["A", "forward"].total_ms == pytest.approx(2000)


def test_the_modes_in_words() -> None:
    assert spoken(Mode.PLAIN, True) == spoken(Mode.EVENTS, False) == "host times"
    assert spoken(Mode.EVENTS, True) == "events"
    assert spoken(Mode.EVENTS | Mode.RECORDS | Mode.LINES, True) == "kernel records and lines"
    assert spoken(Mode.INSPECT, True) == "waits and memory"
    assert spoken(Mode.TURNING, True) == "not measured"
    assert spoken(Mode.TURNING | Mode.EVENTS, False) == "warming up"


# In a notebook


def test_a_long_cell_tells_how_far_it_is(ip: InteractiveShell, capsys: Any) -> None:
    ip.user_ns["lm"] = FakeModel(FakeClock(), "A")
    ip.user_ns["FakeClock"] = FakeClock
    ip.run_cell("%%layertime --no-chart lm\nlm.train(3)")
    assert "measuring" not in capsys.readouterr().out
    import time

    lm = ip.user_ns["lm"]
    vars(lm.layers[0])["update"] = lambda: time.sleep(0.02)
    ip.run_cell("%%layertime --no-chart lm\nlm.train(70)\nprint('done')")
    out = capsys.readouterr().out
    assert "measuring: " in out
    assert [line for line in map(_over, out.split("\n")) if line] == ["done"]


def test_what_the_cell_displays_wipes_the_line_and_quiet_tells_nothing(ip: InteractiveShell, capsys: Any) -> None:
    publish = ip.display_pub.publish
    ip.run_cell("%%layertime --no-chart -q lm\nimport sys\nplain = type(sys.stdout).__module__")
    assert not ip.user_ns["plain"].startswith("gpuprof")
    with ProgressLine(publisher=ip.display_pub) as line:
        line.tell("1 step")
        ip.run_cell("display('seen')")
        assert capsys.readouterr().out.endswith("\r")
    assert "seen" in shown(ip)
    assert ip.display_pub.publish == publish
    assert "publish" not in vars(ip.display_pub)


def test_an_interrupt_shows_the_table_the_error_and_no_line(ip: InteractiveShell, capsys: Any) -> None:
    import time

    lm = ip.user_ns["lm"]
    vars(lm.layers[0])["update"] = lambda: time.sleep(0.02)
    result = ip.run_cell("%%layertime --no-chart lm\nlm.train(70)\nraise KeyboardInterrupt")
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "The cell ended early (KeyboardInterrupt)" in shown(ip)
    assert gpuprof.last["A", "forward"].calls == 70
    assert all("measuring" not in _over(line) for line in capsys.readouterr().out.split("\n"))
