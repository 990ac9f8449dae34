"""`python -m gpuprof info`, `selftest`, `show FILE` and `compare OLD NEW`."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from gpuprof import device, saved, selftest
from gpuprof.results.profile import Profile
from gpuprof.units import several

_TO_STDOUT = Path("-")
_FAILED, _REFUSED = 1, 2


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0; 1 for a regression, or a check that failed; 2 with a sentence on standard error."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # one that has been put in its place
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        commands = {"info": _info, "selftest": _selftest, "show": _show, "compare": _compare}
        return commands[options.command](options)
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error
        print(f"gpuprof: {named}", file=sys.stderr)
    except ValueError as error:
        print(f"gpuprof: {error}", file=sys.stderr)
    except Exception as error:  # else Python would exit with 1, which says that something became slower
        what = "gpuprof: a file that was read is damaged, or this is a fault of gpuprof"
        print(f"{what}: {type(error).__name__}: {error}", file=sys.stderr)
    return _REFUSED


def _say(text: object, end: str = "\n") -> None:
    """Print it; where the reader has gone (`| head`), nothing more, and the exit code stays what it is."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gpuprof", description="GPU time, told truthfully")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="this machine: GPU, driver, versions, clocks")
    commands.add_parser(
        "selftest",
        help="clocks, events, kernel records and sums held against each other here: exit code 1 where they disagree",
    )
    show = commands.add_parser("show", help="a saved result of any kind: as text, or written in other forms")
    show.add_argument("file", type=Path)
    compare = commands.add_parser(
        "compare",
        help="two saved results, the older first: exit code 1 where the newer is slower beyond the interval",
        description="Two timings, or two profiles, or two folders with some runs each (three or more give intervals). "
        "The exit code is 1 where the newer is slower, beyond the interval and the floor; 2 where they cannot be read "
        "or compared; else 0, also where nothing can be said.",
    )
    compare.add_argument("old", type=Path)
    compare.add_argument("new", type=Path)
    for command in (show, compare):
        command.add_argument("--html", type=Path, metavar="OUT", help="a page of its own, without scripts")
        command.add_argument(
            "--markdown", type=Path, nargs="?", const=_TO_STDOUT, metavar="OUT", help="to OUT, or to standard output"
        )
        command.add_argument(
            "--csv",
            type=Path,
            nargs="?",
            const=_TO_STDOUT,
            metavar="OUT",
            help="OUT.csv: the first table; a folder: each; without OUT the first to standard output",
        )
    show.add_argument("--trace", type=Path, metavar="OUT", help="of a profile: a Chrome trace for Perfetto")
    return parser


def _info(options: argparse.Namespace) -> int:  # noqa: ARG001
    _say(device.info())
    return 0


def _selftest(options: argparse.Namespace) -> int:  # noqa: ARG001
    failed = 0
    for check in selftest.checks():
        _say(check)
        failed += check.ok is False
    _say(f"{several(failed, 'check')} FAILED: times taken here may be wrong" if failed else "Nothing disagrees.")
    return _FAILED if failed else 0


def _show(options: argparse.Namespace) -> int:
    result = saved.load(options.file)
    if options.trace and not isinstance(result, Profile):
        raise ValueError(f"{options.file} holds no profile, and only a profile has a trace")
    if not _written(result, options, str(options.file)):
        _say(result)
    return 0


def _compare(options: argparse.Namespace) -> int:
    comparison = saved.compared(options.old, options.new)
    if not _written(comparison, options, f"{options.old} and {options.new}"):
        _say(comparison)
    slower = saved.regressed(comparison)
    for each in slower:
        print(f"REGRESSION: {each}", file=sys.stderr)
    return _FAILED if slower else 0


def _written(result: saved.Result, options: argparse.Namespace, title: str) -> bool:
    """Whether the result was written in some other form, as the options ask."""
    files: list[Path] = []
    if options.html:
        options.html.write_text(saved.document(result, title), encoding="utf-8")
        files.append(options.html)
    if options.markdown == _TO_STDOUT:
        _say(result.to_markdown(), end="")
    elif options.markdown:
        options.markdown.write_text(result.to_markdown(), encoding="utf-8")
        files.append(options.markdown)
    if options.csv == _TO_STDOUT:
        _say(next(iter(result.tables().values())).to_csv(index=False), end="")
    elif options.csv:
        files += result.to_csv(options.csv)
    if getattr(options, "trace", None) and isinstance(result, Profile):
        files.append(result.to_trace(options.trace))
    for file in files:
        _say(file)
    return bool(files or options.markdown or options.csv)


if __name__ == "__main__":
    sys.exit(main())
