"""The door from IPython: options off the front, the user's words passed through untouched, a value handed back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
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

from gpuprof import device, measure, timer
from gpuprof.cells import Cells, late_options
from gpuprof.footprint import evaluated
from gpuprof.hooks.lines import code_of
from gpuprof.hooks.methods import NoLayersError
from gpuprof.latest import Result
from gpuprof.notebook import NotebookOutput, progress, users_part
from gpuprof.options import Reader, parse, points, positive, share, variable, words
from gpuprof.passes.measurement import Wishes
from gpuprof.record.gate import CaptureError
from gpuprof.results.profile import Profile
from gpuprof.results.sweep import Sweep

_TIMEIT: dict[str, Reader | None] = {
    "n": positive,
    "r": positive,
    "p": positive,
    "q": None,
    "o": None,
    "v": variable,
    "width": share,
    "cold": None,
    "bytes": words,
    "flops": words,
    "over": words,
}
_VS = re.compile(r"""'[^']*'|"[^"]*"|(?P<vs>(?:^|(?<=\s))--vs(?=\s|$))""")
_OURS = f"{Path(__file__).parent}{os.sep}"
_MAGICS = {"line": ("gpu_timeit", "gpu_info", "layertime"), "cell": ("gpu_timeit", "layertime")}


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
        first, other = _split_at_vs(line)
        options, before = _parsed(first, _TIMEIT)
        statement, setup = (cell, before) if cell is not None else (before, "pass")
        if not statement.strip():
            raise UsageError("%gpu_timeit needs a statement: %gpu_timeit x + 1")
        if other and (unused := options.keys() - {"n", "q", "o", "v"}):
            raise UsageError(f"--vs goes with -n, -q, -o and -v; not with {', '.join(sorted(unused))}")
        names = local_ns if local_ns and local_ns is not self.shell.user_ns else {}
        result = self._timed(statement, setup or "pass", other, options, names)
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

            %%layertime [-o] [-q] [-v NAME] [-w N] [-r N] [--kernels] [--lines METHOD] [--hot] MODEL[, MODEL]
            STATEMENTS

            %layertime --lines CALL

        MODEL is an expression: an object with `layers`, a list of layers, a layer, a method (a.encode) or a function.
        The cell runs once and its value is its own; with -o it is the Profile. -q shows nothing, -v stores the Profile
        under NAME (so does gpuprof.last), -w runs the cell N times before, unprofiled, -r profiles N runs of it.
        --kernels takes kernel records from the first step on (else on a share of what lasts above a second). --lines
        follows the statements of a method, such as Pool1.backward, on a share of the steps; --hot notes the line of
        each launch; --no-chart leaves the chart out. Long options may stand after the model. As a line,
        %layertime --lines lm[0].backward(dy) makes that call some times (-r 4) and shows its lines.
        """
        __tracebackhide__ = True
        known: dict[str, Reader | None]
        known = {"o": None, "q": None, "v": variable, "w": positive, "r": positive, "no-chart": None}
        known |= {"kernels": None, "lines": words, "hot": None}
        options, expression = _parsed(late_options(line, known), known)
        if cell is None:
            return self._lines_of(options, expression)
        with _usage():
            models = self._cells.models(expression)
            run = self._cells.body(f"%%layertime {line}", cell)
        for _ in range(options.get("w", 0)):
            run()
        with _usage(NoLayersError, NotImplementedError, TypeError):
            profiling = measure.LayerTime(
                models,
                None,
                self._cells.named_in(cell),
                kernels=True if "kernels" in options else None,
                lines=[options["lines"]] if "lines" in options else (),
                hot="hot" in options,
                namespace=self.shell.user_ns,
            )
        value = None
        try:
            with profiling:
                for _ in range(options.get("r", 1)):
                    value = run()
        finally:
            if profiling.ended:  # not where CUDA had failed before the cell began
                self._show(profiling.profile, options)
        return profiling.profile if "o" in options else value

    def _lines_of(self, options: dict[str, Any], rest: str) -> Result | None:
        """%layertime --lines CALL."""
        if "lines" not in options:
            raise UsageError("%layertime as a line needs --lines and a call: %layertime --lines lm[0].backward(dy)")
        if unused := options.keys() - {"lines", "o", "q", "v", "r"}:
            raise UsageError(f"%layertime --lines goes with -o, -q, -r and -v; not with {', '.join(sorted(unused))}")
        with _usage():
            function, args, kwargs = self._cells.call(f"{options['lines']} {rest}".strip())
        with _usage(TypeError):
            code_of(function)
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

    def _timed(self, statement: str, setup: str, other: str, options: dict[str, Any], names: dict[str, Any]) -> Result:
        """Compile and measure: one statement, two in turns, or one over the values of a variable."""
        __tracebackhide__ = True
        code = self._cells.statement(statement, setup, names)
        output = partial(NotebookOutput, self.shell)
        try:
            with progress() as tell:
                if other:
                    second = self._cells.statement(other, setup, names)
                    return timer.compare_code(code, second, number=options.get("n"), progress=tell, output=output())
                if "over" in options:
                    return self._swept(statement, setup, options, names, progress=tell, output=output)
                return timer.time_code(code, self._wishes(options, names), progress=tell, output=output())
        except CaptureError as error:
            raise UsageError(str(error)) from None
        except Exception as error:
            raise error.with_traceback(users_part(error.__traceback__, _OURS)) from error.__cause__

    def _swept(self, statement: str, setup: str, options: dict[str, Any], names: dict[str, Any], **told: Any) -> Sweep:
        variable, values = self._points(options["over"], names)
        return timer.sweep_code(
            lambda value: self._cells.statement(statement, setup, names | {variable: value}),
            variable,
            values,
            statement,
            wishes=lambda value: self._wishes(options, names | {variable: value}),
            **told,
        )

    def _wishes(self, options: Mapping[str, Any], names: dict[str, Any]) -> Wishes:
        cost = {}
        for name in ("bytes", "flops"):
            if name in options:
                try:
                    cost[name] = evaluated(options[name], {**self.shell.user_ns, **names})
                except ValueError as error:
                    raise UsageError(f"--{name}: {error}") from None
        return Wishes(
            options.get("n"),
            options.get("r"),
            options.get("width", 0.01),
            options.get("p", 3),
            "cold" in options,
            cost.get("bytes"),
            cost.get("flops"),
        )

    def _points(self, text: str, names: dict[str, Any]) -> tuple[str, list[Any]]:
        """The variable and the values of --over n=a:b."""
        try:
            return points(text, {**self.shell.user_ns, **names})
        except ValueError as error:
            raise UsageError(f"--over: {error}") from None

    def _show(self, profile: Profile, options: Mapping[str, Any]) -> None:
        """Store and show a profile as the options say; trouble in showing it must not hide an error of the cell."""
        self._store(profile, options)
        try:
            if "q" not in options and ("o" not in options or profile.ended_by):
                display(profile)
            if not options.keys() & {"q", "no-chart"} and len(profile.log):
                self._chart(profile)
        except Exception as error:
            if not profile.ended_by:
                raise
            print(f"gpuprof could not show what it measured: {type(error).__name__}: {error}")

    def _store(self, result: Result, options: Mapping[str, Any]) -> None:
        """Under the name that -v gives; as the newest result, `measure` has kept it."""
        if "v" in options:
            self.shell.user_ns[options["v"]] = result

    def _chart(self, profile: Profile) -> None:
        """The bar chart, where there is a notebook to show it."""
        if getattr(self.shell, "kernel", None) is None:
            return
        import matplotlib.pyplot as plt

        figure = profile.plot().figure
        display(figure)
        plt.close(figure)


def _split_at_vs(text: str) -> tuple[str, str]:
    """What is before and after a `--vs` that stands alone, outside of strings; nobody writes Python like that."""
    found = next((match for match in _VS.finditer(text) if match["vs"]), None)
    if not found:
        return text, ""
    after = text[found.end() :].strip()
    if not after:
        raise UsageError("--vs needs a statement after it: %gpu_timeit x @ y --vs x.dot(y)")
    return text[: found.start()].rstrip(), after


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


def _parsed(line: str, known: Mapping[str, Reader | None]) -> tuple[dict[str, Any], str]:
    try:
        return parse(line, known)
    except ValueError as error:
        raise UsageError(str(error)) from None


_replaced: dict[tuple[str, str], Any] = {}


def load(shell: Any) -> None:
    """Register the magics; say so where one takes another's place (CuPy has a %gpu_timeit too)."""
    magics = shell.magics_manager.magics
    if isinstance(getattr(magics["cell"].get("layertime"), "__self__", None), GpuprofMagics):
        return  # loaded already
    _replaced.clear()
    for kind, names in _MAGICS.items():
        _replaced.update({(kind, name): magics[kind][name] for name in names if name in magics[kind]})
    if ("line", "gpu_timeit") in _replaced:
        home = getattr(_replaced["line", "gpu_timeit"], "__module__", "another extension")
        print(f"gpuprof: %gpu_timeit takes the place of {home}'s; %unload_ext gpuprof hands it back")
    shell.register_magics(GpuprofMagics)


def unload(shell: Any) -> None:
    """Take the magics away, and put back what they replaced."""
    magics = shell.magics_manager.magics
    for kind, names in _MAGICS.items():
        for name in names:
            if isinstance(getattr(magics[kind].get(name), "__self__", None), GpuprofMagics):
                del magics[kind][name]
    for (kind, name), magic in _replaced.items():
        magics[kind][name] = magic
    _replaced.clear()
    shell.magics_manager.registry.pop("GpuprofMagics", None)
