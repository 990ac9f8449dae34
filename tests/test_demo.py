"""The demo notebook: it runs, and the committed one carries the outputs of a run on a GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    pytest.importorskip("nbclient")
    spec = importlib.util.spec_from_file_location("run_demo", ROOT / "examples" / "run_demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_runs_from_top_to_bottom_and_shows_its_tables(runner: ModuleType, tmp_path: Path) -> None:
    notebook = runner.run(ROOT / "demo.ipynb", tmp_path / "demo.ipynb")
    tables = runner.tables(notebook)
    assert len(tables) == 6
    assert "Pool1.backward" in tables[1]
    assert [table.startswith("The two do not compute the same: Conv1") for table in tables[-2:]] == [True, True]
    assert (tmp_path / "demo.ipynb").exists()


def test_the_committed_demo_carries_outputs_of_a_gpu() -> None:
    notebook = nbformat.read(ROOT / "demo.ipynb", as_version=4)
    nbformat.validate(notebook)
    text = str(notebook.cells)
    assert "CUDA events" in text
    assert "launch-bound" in text
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def test_a_cell_that_raises_leaves_the_notebook_as_far_as_it_ran(runner: ModuleType, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)\n1 / 0")])
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    with pytest.raises(runner.CellExecutionError, match="ZeroDivisionError"):
        runner.run(tmp_path / "bad.ipynb", tmp_path / "out.ipynb")
    assert "42" in (tmp_path / "out.ipynb").read_text()
