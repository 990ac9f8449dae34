"""docs/gallery.md and its pictures, drawn from benchmarks/results/gallery.

`python -m benchmarks.gallery` writes docs/gallery/*.png, each for light and dark pages; pictures of HTML need Chromium,
and stay as they are without it. `benchmarks.galleryresults` measures what they are drawn from.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

from gpuprof.results.profile import Profile
from gpuprof.results.stepsweep import StepSweep
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.units import count
from gpuprof.views.paired import Pair, paired

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "gallery"
RESULTS = ROOT / "benchmarks" / "results" / "gallery"
STYLES = {"light": "default", "dark": "dark_background"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
_DOTS = 2  # a CSS pixel of a page, and 50 dots an inch of a figure
_PAPER = {"light": ("#ffffff", "rgba(0,0,0,.87)", "#f5f5f5"), "dark": ("#111111", "rgba(255,255,255,.87)", "#212121")}


def slow(n_batch: int) -> Profile:
    """The profile of the slow net."""
    return Profile.load(RESULTS / f"slow_{n_batch}.json.gz")


def before_and_after() -> Any:
    """What the GPU works in the slow net and in the mended one."""
    old, new = slow(32).table, Profile.load(RESULTS / "mended_32.json.gz").table
    both = old.merge(new, on=["path", "phase"], suffixes=("", "_new"))
    both = both[both["phase"].isin(["forward", "backward"])]
    pairs = [_pair(f"{row.path}.{row.phase}", row.busy_us * 1e-6, row.busy_us_new * 1e-6) for row in both.itertuples()]
    words = {"label": "GPU busy, a call", "small_print": ["NVIDIA H200", "n_batch 32"], "log": True}
    return paired(pairs, ("the slow line", "mended"), title="What mending one line changed", **words)


def _pair(name: str, before: float, after: float) -> Pair:
    ratio = before / after
    if 0.95 < ratio < 1.05:
        return Pair(name, before, after, word="the same", sure=False)
    times = count(float(f"{max(ratio, 1 / ratio):.2g}"))
    return Pair(name, before, after, word=f"{times}× {'faster' if ratio > 1 else 'slower'}")


class Picture(NamedTuple):
    """One picture of the page; `make` gives a figure's Axes, or a page's HTML."""

    make: Callable[[], Any]
    title: str
    shows: str
    read: str
    code: str


def _steps() -> StepSweep:
    return StepSweep.load(RESULTS / "batches.json.gz")


def _softmax() -> Timing:
    return Timing.load(RESULTS / "softmax.json.gz")


FIGURES = {
    "bars": Picture(
        lambda: slow(8).plot(),
        "Which layer, which phase",
        "Time a call of each layer, forward to the left, backward to the right, the update apart, all at one scale.",
        "Solid is what the GPU works, pale is what it waits: here most bars are pale, for the host is the slower one.",
        "profile.plot()",
    ),
    "bars_log": Picture(
        lambda: slow(32).plot(log=True),
        "The same, where times lie far apart",
        "Powers of ten. The figures stand beside the bars, and lengths are no proportions.",
        "One bar is far longer than all others, and the others can still be read.",
        "profile.plot(log=True)",
    ),
    "timeline_8": Picture(
        lambda: slow(8).timeline(),
        "One step, bound by launches",
        "The host's calls over the device's spans over the kernels, on one axis; hatched, the GPU is idle.",
        "The kernels are a few thin lines in a hatched lane: the GPU waits for the next launch. A span is not work.",
        "profile.timeline()",
    ),
    "timeline_32": Picture(
        lambda: slow(32).timeline(),
        "One step, bound by the GPU",
        "The same at four times the batch. The lanes of a GPU far behind the host begin with the host's, and say by "
        "how much they are later.",
        "The host has issued the step in a fraction of what the GPU takes for it, and one layer fills all of that.",
        "profile.timeline()",
    ),
    "before_after": Picture(
        before_and_after,
        "What a change changed",
        "A pair of bars a layer and phase: what the GPU worked before and after one line was mended.",
        "Blue is faster and vermilion slower; grey is not told apart, and the words say so without colour.",
        "gpuprof.views.paired.paired(pairs)",
    ),
    "batches": Picture(
        lambda: _steps().plot(),
        "A step over batch sizes",
        "How long a step is without a profiler, what the host takes to issue it, and how long the GPU is busy.",
        "In the grey part a larger batch costs nothing: the GPU only idles less. The dashed line is where that ends.",
        'gpuprof.sweep(step, {"n_batch": [8, 16, 32]}, model=lm).plot()',
    ),
    "deep": Picture(
        lambda: Profile.load(RESULTS / "deep.json.gz").plot(),
        "A deep network of PyTorch's modules",
        "A row a module, containers too, of more than 40 those that take longest; what PyTorch's optimizer does is a "
        "row of its own.",
        "An arrow is an interval that reaches beyond the chart: few calls, of which one was slow.",
        "profile.plot()",
    ),
    "statement": Picture(
        lambda: _softmax().plot(),
        "One statement",
        "How the batches of each quantity are spread, each in its own unit; the bars on the left compare their sizes.",
        "The host takes many times what the kernels do: the statement is launch-bound, and a graph would help.",
        'gpuprof.timeit("softmax(A)").plot()',
    ),
    "sizes": Picture(
        lambda: Sweep.load(RESULTS / "sizes.json.gz").plot(),
        "One statement over sizes",
        "Host, device, kernels and latency against n, with their intervals.",
        "Left of the dashed line a smaller array saves nothing.",
        "%gpu_timeit --over n=64:8192 softmax(xp.ones((n, n)))",
    ),
}
HTML = {
    "table": Picture(
        lambda: slow(8)._repr_html_(),
        "What stands under the cell",
        "The verdict, what could be mended with the next thing to type, and the layers' table: each phase tinted, with "
        "a bar in its colour, by what its calls usually take; host and GPU beside their longest; the gain.",
        "The hottest cell is marked ◀; compare its row's host and GPU busy, and its gain, before you mend it.",
        "%%layertime --kernels lm",
    ),
    "lines": Picture(
        lambda: slow(32).lines["Pool1.backward"]._repr_html_(),
        "The lines of a method",
        "Its source, and that of what it calls on self, with GPU time and launches beside each line.",
        "One line has it all: it runs thousands of threads for each element it returns.",
        "%%layertime --lines Pool1.backward lm",
    ),
    "batches_table": Picture(
        lambda: _steps()._repr_html_(),
        "A step over batch sizes, as a table",
        "A row a value: step, host, busy and idle, with bars beside the step, and the row that decides it.",
        "The verdict names where launch-bound ends, and what a larger batch costs up to there.",
        'gpuprof.sweep(step, {"n_batch": [8, 16, 32]}, model=lm)',
    ),
    "cards": Picture(
        lambda: _softmax()._repr_html_(),
        "What stands under a statement",
        "A card a quantity: its figure, a bar beside the longest, and how its batches are spread.",
        "≤ says that the device's time is too near its floor to be told apart from it.",
        "%gpu_timeit softmax(A)",
    ),
}
ORDER = ("table", "bars", "bars_log", "timeline_8", "timeline_32", "lines", "before_after", "batches", "batches_table",
         "deep", "cards", "statement", "sizes")  # fmt: skip
_INTRODUCTION = """# The pictures, and what to read from them

Each is drawn from a result that was measured on an NVIDIA H200 (commit d480402, before `cnn`'s layers had fused
kernels, so the slow network is bound by launches at 8 images a step; with them the GPU bounds it) and is kept in
[benchmarks/results/gallery](../benchmarks/results/gallery): of the article's network with its slow pooling (8 or 32
images a step), of the same network mended, of a small network of PyTorch's modules, and of a softmax in five calls.
`python -m benchmarks.gallery` draws them anew. Figures take ink and paper from matplotlib's style, so
`plt.style.use("dark_background")` makes the dark ones; HTML takes them from the page.
"""


def text() -> str:
    """The page."""
    return "\n".join([_INTRODUCTION, *(_entry(name, (FIGURES | HTML)[name]) for name in ORDER)])


def _entry(name: str, picture: Picture) -> str:
    source = f'<source media="(prefers-color-scheme: dark)" srcset="gallery/{name}_dark.png">'
    image = f'<img src="gallery/{name}_light.png" alt="{picture.title}">'
    words = fill(f"{picture.shows} {picture.read}", 120)
    return f"## {picture.title}\n\n{words}\n\n    {picture.code}\n\n<picture>{source}{image}</picture>\n"


def draw(folder: Path, shades: Sequence[str] = tuple(STYLES)) -> list[str]:
    """The names of the pictures written to `folder`, each as NAME_light.png and NAME_dark.png."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in FIGURES.items():
        for shade in shades:
            with plt.style.context(STYLES[shade]):
                figure.make().figure.savefig(folder / f"{name}_{shade}.png", dpi=110)
                plt.close("all")
            smaller(folder / f"{name}_{shade}.png")
    for name, page in HTML.items() if CHROMIUM else ():
        for shade in shades:
            photograph(page.make(), shade, folder / f"{name}_{shade}.png")
    return [*FIGURES, *(HTML if CHROMIUM else ())]


def photograph(body: str, shade: str, path: Path, width: int = 920) -> None:
    """A page as a notebook shows it, without what is empty below."""
    from PIL import Image, ImageChops

    ground, ink, stripe = _PAPER[shade]
    style = (
        f":root{{--jp-layout-color0:{ground}}}"
        f"body{{background:{ground};color:{ink};font:14px/1.5 system-ui,Helvetica,Arial,sans-serif;margin:12px}}"
        "table{border-collapse:collapse;font-size:12px;margin-bottom:1em}td,th{padding:.5em;border:none}"
        f"tbody tr:nth-child(odd){{background:{stripe}}}"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{body}", encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--force-device-scale-factor={_DOTS}"]
        size = [f"--window-size={width},2000", f"--screenshot={path}"]
        subprocess.run([CHROMIUM, *flags, *size, str(file)], check=True, capture_output=True)
    with Image.open(path) as picture:
        whole = picture.convert("RGB")
    shown = ImageChops.difference(whole, Image.new("RGB", whole.size, ground)).getbbox() or (0, 0, *whole.size)
    whole.crop((0, 0, whole.width, min(whole.height, shown[3] + 12 * _DOTS))).save(path)
    smaller(path)


def smaller(path: Path) -> None:
    """The picture in few colours, the rare ones among them: there are no photographs."""
    from PIL import Image

    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def main() -> None:
    """Draw the pictures, write the page."""
    drawn = draw(PICTURES)
    PAGE.write_text(text(), encoding="utf-8")
    print(f"drew {', '.join(drawn)} into {PICTURES}")


if __name__ == "__main__":
    main()
