"""The door from IPython: options off the front, the user's words passed through untouched, a value handed back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
    output_can_be_silenced,
)
from IPython.display import display

from gpuprof import device, measure
from gpuprof.cells import Cells
from gpuprof.hooks.source import Source
from gpuprof.latest import Result, asked
from gpuprof.notebook import NotebookOutput, UsersFrames, progress
from gpuprof.progressline import ProgressLine
from gpuprof.record.gate import CaptureError
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.timings import Timings
from gpuprof.words import WordsError, call_words, layertime_words, timeit_words


@magics_class
class GpuprofMagics(Magics):  # type: ignore[misc] # IPython is not typed
    """%gpu_timeit, %%layertime and %gpu_info."""

    @property
    def _cells(self) -> Cells:
        return Cells(self.shell)

    @no_var_expand  # type: ignore[untyped-decorator]
    @needs_local_scope  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def gpu_timeit(
        self, line: str = "", cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Result | None:
        """Time a statement on the host and on the GPU.

            %gpu_timeit [-n N] [-r R] [-p P] [-q] [-o] [-v NAME] [--width 1%] [--cold] [--bytes B] [--flops F] STATEMENT
            %gpu_timeit [OPTIONS] STATEMENT --vs STATEMENT
            %gpu_timeit [OPTIONS] --over n=2**10:2**20 STATEMENT
            %%gpu_timeit [OPTIONS] SETUP
            STATEMENTS

        The letters are %timeit's: -n calls in a batch, -r batches, -p significant digits, -q print nothing,
        -o return the result, -v store it under NAME. --width is the half width of the 95 % interval to stop at (1%).
        --cold also times calls that find nothing of theirs in the L2 cache. --bytes and --flops are what one call
        moves and computes, numbers or expressions, to be held against what this GPU was measured to do. --vs runs two
        statements in turns and says which is faster. --over goes over the values of a variable: a list, a range, or
        a:b, doubling from a to b. A statement that begins with a minus goes after `--`.
        """
        __tracebackhide__ = True
        with _usage():
            options, before, other = timeit_words(line)
        statement, setup = (cell, before) if cell is not None else (before, "pass")
        if not statement.strip():
            raise UsageError("%gpu_timeit needs a statement: %gpu_timeit x + 1")
        names = local_ns if local_ns and local_ns is not self.shell.user_ns else {}
        timings = Timings(self._cells, options, names)
        with _usage(WordsError, CaptureError), UsersFrames(), progress() as tell:
            output = partial(NotebookOutput, self.shell)
            result = timings.of(statement, setup or "pass", other, progress=tell, output=output)
        self._store(result, options)
        if "o" in options:
            if "q" not in options:
                print(result)
            return result
        if "q" not in options:
            display(result)
        return None

    @no_var_expand  # type: ignore[untyped-decorator]
    @output_can_be_silenced  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def layertime(self, line: str, cell: str | None = None) -> Any:
        """Run the cell as ever, and show the time of each layer's forward, backward and update.

            %%layertime [-o] [-q] [-v NAME] [-w N] [-r N] [--kernels] [--lines METHOD] [--hot] [--graph]
                        [--schedule SKIP,WARMUP,ACTIVE,REPEAT] [--nvtx] [--vs BEFORE] MODEL[, MODEL]
            STATEMENTS

            %layertime --lines CALL

        MODEL is an expression: an object with `layers`, a list of layers, a layer, a method (a.encode) or a function.
        The cell runs once and its value is its own; with -o it is the Profile. Once it has run for a second, a line
        tells how many steps there have been, until it ends. -q shows nothing, -v stores the Profile under NAME (so
        does gpuprof.last), -w runs the cell N times before, unprofiled, -r profiles N runs of it.
        --kernels takes kernel records from the first step on (else on a share of what lasts above a second). --lines
        follows the statements of a method, such as Pool1.backward, on a share of the steps; --hot notes the line of
        each launch; --graph measures afterwards, on copies of the layers, what a captured graph of a step would gain
        (`profile.graph`); --schedule 10,5,100,3 skips 10 steps, warms up for 5 and measures 100, three times (0: for
        ever); --nvtx puts an NVTX range around each call, for Nsight Systems; --vs holds the profile against an older
        one: a name, a list of some, a saved one's path, a folder of them, or last (`gpuprof.last` is the comparison
        then); --no-chart leaves the chart out. Long options may stand after the model. As a line, %layertime --lines
        lm[0].backward(dy) makes that call some times (-r 4) and shows its lines.
        """
        __tracebackhide__ = True
        if cell is None:
            return self._lines_of(line)
        with _usage():
            options, expression = layertime_words(line)
            models = self._cells.models(expression)
            with _usage(ValueError, OSError):
                before, named = self._cells.profiles(options["vs"]) if "vs" in options else ([], "")
            run = self._cells.body(f"%%layertime {line}", cell)
        with UsersFrames():
            for _ in range(options.get("w", 0)):
                run()
        with _usage(ValueError, NotImplementedError, TypeError):
            profiling = measure.LayerTime(
                models,
                None,
                self._cells.named_in(cell),
                kernels=True if "kernels" in options else None,
                lines=[options["lines"]] if "lines" in options else (),
                hot="hot" in options,
                graph="graph" in options,
                schedule=options.get("schedule"),
                nvtx="nvtx" in options,
                progress=None if "q" in options else ProgressLine(publisher=self.shell.display_pub),
                namespace=self.shell.user_ns,
            )
        value = None
        try:
            with ExitStack() as stack:
                stack.enter_context(asked(cell))
                with _usage(TypeError):
                    stack.enter_context(profiling)
                for _ in range(options.get("r", 1)):
                    with UsersFrames():
                        value = run()
        finally:
            if profiling.ended:  # not where CUDA had failed before the cell began
                self._show(profiling.profile, options, before, named)
        return profiling.profile if "o" in options else value

    def _lines_of(self, line: str) -> Result | None:
        """%layertime --lines CALL."""
        __tracebackhide__ = True
        with _usage():
            options, text = call_words(line)
            function, args, kwargs = self._cells.call(text)
        with _usage(TypeError, ValueError):
            Source.of(function)
        with UsersFrames(), asked(text):
            result = measure.linetime(function, *args, repeat=options.get("r", 4), **kwargs)
        self._store(result, options)
        if "q" not in options:
            display(result)
        return result if "o" in options else None

    @line_magic  # type: ignore[untyped-decorator]
    def gpu_info(self, line: str = "") -> None:
        """Show the GPU, driver, versions and clocks; without a GPU, what is missing and what to install."""
        if line.strip():
            raise UsageError(f"%gpu_info takes no arguments; got {line.strip()!r}")
        print(device.info())

    def _show(self, profile: Profile, options: Mapping[str, Any], before: list[Profile], named: str) -> None:
        """Store and show a profile as the options say; trouble in showing it must not hide an error of the cell.

        Held against those `before`, if any, which are `named` so.
        """
        self._store(profile, options)
        try:
            compared = measure.compare(before, profile, names=(named, "now")) if before else None
            if "q" not in options and ("o" not in options or profile.ended_by):
                display(profile)
            if "q" not in options and compared is not None:
                display(compared)
            if not options.keys() & {"q", "no-chart"} and len(profile.log):
                self._chart(compared or profile)
        except Exception as error:
            if not profile.ended_by:
                raise
            print(f"gpuprof could not show what it measured: {type(error).__name__}: {error}")

    def _store(self, result: Result, options: Mapping[str, Any]) -> None:
        """Under the name that -v gives; as the newest result, `measure` has kept it."""
        if "v" in options:
            self.shell.user_ns[options["v"]] = result

    def _chart(self, result: Profile | ProfileComparison) -> None:
        """The bar chart, where there is a notebook to show it."""
        if getattr(self.shell, "kernel", None) is None:
            return
        import matplotlib.pyplot as plt

        figure = result.plot().figure
        display(figure)
        plt.close(figure)


@contextmanager
def _usage(*errors: type[Exception]) -> Iterator[None]:
    """What is wrong with the user's words, without a traceback through here."""
    __tracebackhide__ = True
    try:
        yield
    except Exception as error:
        if not isinstance(error, errors or ValueError):
            raise
        raise UsageError(str(error)) from error.__cause__
