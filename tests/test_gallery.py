"""docs/gallery.md: it names every picture, the script draws them all, and what is drawn can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

from benchmarks import gallery, galleryresults
from tests.gpuprof.drawn import cut_off, overlapping

TEXT = gallery.PAGE.read_text(encoding="utf-8")
ALL = gallery.FIGURES | gallery.HTML


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def test_the_page_is_what_the_script_makes() -> None:
    assert gallery.text() == TEXT, "run python -m benchmarks.gallery"


def test_it_names_every_picture_and_every_picture_is_there() -> None:
    named = set(re.findall(r"gallery/(\w+\.png)", TEXT))
    assert named == {file.name for file in gallery.PICTURES.iterdir()}
    assert named == {f"{name}_{shade}.png" for name in ALL for shade in gallery.STYLES}


def test_each_picture_says_what_it_shows_what_to_read_and_what_makes_it() -> None:
    assert sorted(gallery.ORDER) == sorted(ALL)
    assert all(part for picture in ALL.values() for part in picture[1:])
    assert len({picture.title for picture in ALL.values()}) == len(ALL)


def test_the_pictures_and_their_results_are_small() -> None:
    assert sum(file.stat().st_size for file in gallery.PICTURES.iterdir()) < 1.5e6
    assert sum(file.stat().st_size for file in gallery.RESULTS.iterdir()) < 0.5e6


@pytest.mark.parametrize("name", gallery.FIGURES)
def test_every_figure_can_be_read(name: str) -> None:
    ax = gallery.FIGURES[name].make()
    assert overlapping(ax) == []
    assert cut_off(ax) == []


@pytest.mark.parametrize("name", gallery.HTML)
def test_every_page_is_static(name: str) -> None:
    page = gallery.HTML[name].make()
    assert "NVIDIA H200" in page
    assert "<script" not in page


def test_the_script_draws_every_picture(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    drawn = gallery.draw(tmp_path, ["light"])
    assert set(drawn) == (set(ALL) if gallery.CHROMIUM else set(gallery.FIGURES))
    assert {file.name for file in tmp_path.iterdir()} == {f"{name}_light.png" for name in drawn}
    assert all(file.stat().st_size > 2000 for file in tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.torch
def test_its_results_can_be_measured_on_any_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(galleryresults, "RESULTS", tmp_path)
    monkeypatch.setattr(galleryresults, "has_gpu", lambda: False)
    galleryresults.main()
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in gallery.RESULTS.iterdir()}
