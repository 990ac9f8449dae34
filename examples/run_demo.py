"""Run a copy of demo.ipynb, print its last layer table and verdict, and say where notebook and HTML lie."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parent.parent


def run(notebook: Path, target: Path, timeout: int = 600) -> Any:
    """The notebook run from top to bottom and written to `target`, even where a cell raises."""
    content = nbformat.read(notebook, as_version=4)
    quiet = ["--IPKernelApp.log_level=ERROR"]
    client = NotebookClient(
        content, timeout=timeout, kernel_name="python3", coalesce_streams=True, extra_arguments=quiet
    )
    client.resources = {"metadata": {"path": str(ROOT)}}
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        client.execute()
    finally:
        nbformat.write(content, target)
    return content


def tables(notebook: Any) -> list[str]:
    """The text of each layer table in the notebook's outputs."""
    shown = [output["data"] for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    texts = [data["text/plain"] for data in shown if "<table>" in data.get("text/html", "")]
    return [text for text in texts if "\nlayer " in text]


def write_html(notebook: Any, target: Path) -> Path | None:
    """The page written, or None where nbconvert is not installed."""
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        return None
    target.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    return target


def main() -> int:
    """Run the demo; 0 if every cell ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "demo.ipynb", help="where the run notebook goes")
    target = parser.parse_args().to
    start = time.perf_counter()
    print("Running demo.ipynb, about a minute without a GPU ...", flush=True)
    try:
        notebook = run(ROOT / "demo.ipynb", target)
    except CellExecutionError as error:
        print(f"{error}\nThe notebook as far as it ran: {target}", file=sys.stderr)
        return 1
    layer_tables = [text for text in tables(notebook) if "Pool1" in text]
    print(f"\nThe larger batch, with the slow pooling:\n\n{layer_tables[1]}\n")
    print(f"The notebook ran in {time.perf_counter() - start:.0f} s: {target}")
    page = write_html(notebook, target.with_suffix(".html"))
    print(f"As a web page: {page}" if page else "Install nbconvert to have it as a web page, too.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
