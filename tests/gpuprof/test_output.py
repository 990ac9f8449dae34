"""What a statement prints, shown once."""

import io
import sys
import threading
from contextlib import redirect_stdout

import pytest

from gpuprof.output import Output


def test_output_passes_until_it_is_hidden_and_is_counted_from_then_on(capsys) -> None:
    with Output() as output:
        print("seen", end="")
        output.hide()
        print("unseen", end="")
        print("unseen", end="")
    assert capsys.readouterr().out == "seen"
    assert output.hidden == 2


def test_nothing_is_counted_where_nothing_is_printed(capsys) -> None:
    with Output() as output:
        print("seen")
        output.hide()
    assert output.hidden == 0


def test_progress_bars_on_stderr_are_shown_once_too(capsys) -> None:
    with Output() as output:
        print("seen", end="", file=sys.stderr)
        output.hide()
        print("unseen", end="", file=sys.stderr)
    assert capsys.readouterr().err == "seen"
    assert output.hidden == 1


def test_afterwards_output_is_shown_again(capsys) -> None:
    with Output() as output:
        output.hide()
    print("seen", end="")
    assert capsys.readouterr().out == "seen"


def test_after_an_error_output_is_shown_again(capsys) -> None:
    real = sys.stdout
    with pytest.raises(ZeroDivisionError), Output():
        1 / 0  # noqa: B018
    assert sys.stdout is real


def test_a_writer_is_told_how_much_it_wrote() -> None:
    with redirect_stdout(io.StringIO()), Output() as output:
        assert sys.stdout.write("four") == 4
        output.hide()
        assert sys.stdout.write("four") == 4


def test_what_else_a_stdout_has_is_the_real_ones(tmp_path) -> None:
    with (tmp_path / "out").open("w") as file, redirect_stdout(file), Output():
        sys.stdout.flush()
        assert sys.stdout.fileno() == file.fileno()
        assert sys.stdout.buffer is file.buffer


def test_what_other_threads_print_is_theirs(capsys) -> None:
    with Output() as output:
        output.hide()
        thread = threading.Thread(target=print, args=("from elsewhere",))
        thread.start()
        thread.join()
    assert "from elsewhere" in capsys.readouterr().out
    assert output.hidden == 0


def test_outputs_that_end_in_the_order_they_began_leave_the_real_one_in_use_at_last(capsys) -> None:
    first, second = Output(), Output()
    first.__enter__()
    first.hide()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    print("shown")
    assert "shown" in capsys.readouterr().out
