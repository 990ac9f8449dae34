"""A result shows itself wherever it has been: copied, pickled, stored, after a reload, in a saved notebook."""

from __future__ import annotations

import copy
import importlib
import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import gpuprof
from gpuprof.judge.figures import Sample
from gpuprof.results.timing import Timing
from gpuprof.testing import FakeClock

from .models import FakeModel

ROOT = Path(__file__).parents[2]


def made() -> dict[str, Any]:
    """A result of each kind."""
    clock = FakeClock(device=True, launch_cost=5e-6)
    model = FakeModel(clock, "A", "B", device=1e-4)

    def profile() -> Any:
        with gpuprof.layertime(model, kernels=True, lines="A._work", clock=clock) as run:
            model.train(40)
        return run.profile

    timing = Timing("f(x)", Sample(tuple(1e-3 * (1 + 1e-3 * (i % 5)) for i in range(30))))
    first = profile()
    found = [first, timing, timing.compare(timing), profile().compare(first), first.lines["A._work"]]
    found.append(gpuprof.sweep("spend(n)", {"n": [1e-3, 2e-3]}, globals={"spend": clock.spend}, clock=FakeClock()))
    return {type(each).__name__: each for each in found}


@pytest.fixture(scope="module")
def every() -> dict[str, Any]:
    return made()


KINDS = ["Profile", "Timing", "Comparison", "ProfileComparison", "LineProfile", "Sweep"]
WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": lambda result, n=n: pickle.loads(pickle.dumps(result, n)) for n in range(2, 6)},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_shows_what_the_original_shows(every: dict[str, Any], kind: str, way: str) -> None:
    result = every[kind]
    before = str(result), result._repr_html_()
    again = WAYS[way](result)
    assert type(again) is type(result)
    assert (str(again), again._repr_html_()) == before
    assert again.table.equals(result.table)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_is_read_in_a_fresh_process(every: dict[str, Any], kind: str, tmp_path: Path) -> None:
    path = tmp_path / "result.pickle"
    path.write_bytes(pickle.dumps(every[kind]))
    code = f"import pickle, pathlib; print(pickle.loads(pathlib.Path({str(path)!r}).read_bytes()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == f"{every[kind]}\n"


def test_a_pickle_has_what_was_measured_and_not_what_was_made_of_it(every: dict[str, Any]) -> None:
    profile = every["Profile"]
    before = len(pickle.dumps(copy.copy(profile)))
    _ = profile.calls, profile.kernels, str(profile)
    assert len(pickle.dumps(profile)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_reload_of_the_package_results_go_on_showing_themselves(every: dict[str, Any], kind: str) -> None:
    result, before = every[kind], str(every[kind])
    importlib.reload(gpuprof)
    assert str(result) == before
    assert result._repr_html_()
    assert str(pickle.loads(pickle.dumps(result))) == before


def test_what_store_keeps_comes_back(ip: InteractiveShell, every: dict[str, Any]) -> None:
    ip.extension_manager.load_extension("storemagic")
    ip.db = {}  # type: ignore[assignment] # of this test alone

    class Db(dict[str, bytes]):
        """IPython's, which pickles."""

        def __setitem__(self, key: str, value: Any) -> None:
            super().__setitem__(key, pickle.dumps(value))

        def __getitem__(self, key: str) -> Any:
            return pickle.loads(super().__getitem__(key))

    ip.db = Db()  # type: ignore[assignment]
    ip.user_ns["p"] = every["Profile"]
    ip.run_line_magic("store", "p")
    del ip.user_ns["p"]
    ip.run_line_magic("store", "-r p")
    assert str(ip.user_ns["p"]) == str(every["Profile"])


# In a notebook that was saved


class Page(HTMLParser):
    """The tags, and what would be fetched from elsewhere or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.alive: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("src", "href", "data-src") or "url(" in (value or ""):
                self.alive.append(f"{tag} {name}={value}")


def test_a_saved_notebooks_outputs_are_static_and_whole() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    cells = [
        "import gpuprof\nimport gpuprof.testing\n%load_ext gpuprof",
        "from tests.gpuprof.models import FakeModel\nlm = FakeModel(gpuprof.testing.FakeClock())",
        "%%layertime -o lm\nlm.train(12)",
        "%gpu_timeit -o -n 2 -r 8 1 + 1",
        "%layertime --lines lm.layers[0].forward(0)",
        "gpuprof.runs",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    nbformat.validate(book)
    pages = [o["data"]["text/html"] for c in book.cells for o in c.outputs if "text/html" in o.get("data", {})]
    assert len(pages) == 4
    for text in pages:
        page = Page()
        page.feed(text)
        assert not {"script", "iframe", "link", "object", "embed"} & page.tags
        assert page.alive == []
    texts = [o["data"]["text/plain"] for c in book.cells for o in c.outputs if "text/html" in o.get("data", {})]
    assert all(len(text) > 50 for text in texts)  # which GitHub shows where it shows no HTML
    assert not any(re.search(r"measuring", o.get("text", "")) for c in book.cells for o in c.outputs)
