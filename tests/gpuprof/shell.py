"""What an IPython shell showed, and what it raised."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell


def shown(ip: InteractiveShell, kind: str = "text/plain") -> str:
    """What was displayed, as text or HTML."""
    return "\n".join(output["data"].get(kind, "") for output in ip.display_pub.outputs)


def error_of(ip: InteractiveShell, cell: str) -> BaseException | None:
    """What running a cell raised."""
    result = ip.run_cell(cell)
    return result.error_in_exec or result.error_before_exec


def frames(error: BaseException | None) -> list[tuple[str, int]]:
    """File and line of each frame of an error's traceback, outermost first."""
    found, trace = [], error.__traceback__ if error else None
    while trace is not None:
        found.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return found
