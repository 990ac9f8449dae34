"""The order of the house: who may import whom, read from the source."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module imports only from rows above its own.
GPUPROF = [
    ["units", "options", "output", "progressline"],
    ["device"],
    ["environment"],
    ["record.activity", "record.driver"],
    [
        "record.apis",
        "record.blas",
        "record.cache",
        "record.gate",
        "record.graphs",
        "record.memory",
        "record.places",
        "record.ranges",
    ],
    ["record.capturer"],
    ["record.cupti"],
    ["record.callbacks", "record.kernels"],
    ["record.waits"],
    ["record.clocks"],
    ["record.cuda", "record.jax"],
    ["record.schedule"],
    ["record.interrupts", "record.leftout"],
    ["record.tape", "record.calls"],
    ["record.finished", "record.taped", "record.taken", "record.taperows"],
    ["record.longrun"],
    ["record.log"],
    ["record.inspect", "record.launches"],
    ["hooks.boundary", "hooks.makers", "hooks.modules", "hooks.source", "hooks.standin"],
    ["hooks.methods", "hooks.replays"],
    ["hooks.backwards", "hooks.optimizers"],
    ["hooks.torchmodules"],
    ["hooks.functions"],
    ["hooks.follow", "hooks.helpers"],
    ["hooks.monitoring", "hooks.tracing"],
    ["hooks.lines"],
    ["judge.autocorrelation", "judge.crossing"],
    ["judge.stats"],
    ["judge.ratio", "judge.shape", "judge.simultaneous"],
    ["judge.account", "judge.busy", "judge.floors"],
    [
        "judge.folding",
        "judge.division",
        "judge.hot",
        "judge.pace",
        "judge.replays",
        "judge.steptimes",
        "judge.usualstep",
    ],
    ["judge.facts", "judge.kernelnames"],
    ["judge.findings"],
    ["judge.cost"],
    ["judge.changes", "judge.layercost"],
    ["judge.advice"],
    ["judge.figures"],
    ["judge.verdict"],
    ["views.colours", "views.names"],
    ["views.axes", "views.grid", "views.svg"],
    ["views.parts"],
    ["views.mirror"],
    ["views.charts", "views.html", "views.paired", "views.plot", "views.source", "views.swept"],
    ["views.timeline", "views.trace"],
    ["views.report"],
    ["views.markdown"],
    ["results.graphs", "results.rowchange"],
    ["results.changegrid", "results.changewords"],
    ["results.seen"],
    [
        "results.export",
        "results.files",
        "results.kerneltable",
        "results.layersteps",
        "results.linefigures",
        "results.replays",
        "results.replaywords",
        "results.smallprint",
    ],
    ["results.besides", "results.line", "results.lines", "results.sections", "results.tables", "results.unfollowed"],
    ["results.comparison", "results.linetimes", "results.profilecomparison", "results.traits"],
    ["results.measured"],
    ["results.alike", "results.sides"],
    ["results.replaychange"],
    ["results.changerows"],
    ["results.busychange"],
    ["results.compared"],
    ["results.taketurns"],
    ["results.profile", "results.timing"],
    ["results.sweep"],
    ["results.stepsweep"],
    ["saved"],
    ["workloads"],
    ["ceilings"],
    ["arrays"],
    ["hooks.assigned", "hooks.given", "passes.apart"],
    ["passes.stepcalls"],
    ["passes.stepgraph"],
    ["graphing"],
    ["linewatch"],
    ["closures"],
    ["statement"],
    ["footprint", "values"],
    ["agreeing", "passes.subject"],
    ["passes.extras", "passes.floor", "passes.host", "passes.kernels", "passes.sync", "passes.whatif"],
    ["passes.device"],
    ["passes.pair"],
    ["passes.measurement"],
    ["runlist"],
    ["latest"],
    ["profiling"],
    ["linetiming", "modelpair", "timer"],
    ["sweeping"],
    ["comparing"],
    ["measure"],
    ["cells", "notebook", "words"],
    ["timings"],
    ["magics"],
    ["extension"],
    ["fakerecords"],
    ["fakeclock", "fixtures"],
    ["testing"],
    ["selftest"],
    ["__main__"],
]
CNN = [
    ["idx", "xp"],
    ["sources"],
    ["datasets"],
    ["checks"],
    ["special", "windows", "kernels.launching", "kernels.rules"],
    ["kernels.early"],
    ["kernels.gpu", "kernels.arrays"],
    ["kernels.layerwise"],
    ["im2col"],
    ["activations.base"],
    ["activations.pieces", "activations.leaky", "activations.smooth", "activations.gated"],
    ["activations.acon", "activations.softmax"],
    ["initializers", "losses"],
    ["schedules", "clipping"],
    ["optimizers.base"],
    ["optimizers.descent", "optimizers.squares", "optimizers.adam", "optimizers.bounds"],
    ["optimizers.eve", "optimizers.santa", "optimizers.sam"],
    ["layers.costs", "layers.hooks"],
    ["layers.base"],
    ["layers.activated", "layers.images"],
    ["layers.conv", "layers.pool", "layers.average", "layers.dense", "layers.dropout"],
    ["layers.activation", "layers.flatten", "layers.norm"],
    ["layers.output"],
    ["augment"],
    ["kernels.fused", "watching"],
    ["kernels.shallow", "kernels.pattern"],
    ["kernels.deep"],
    ["kinds"],
    ["layerlist", "inputs", "classes", "history", "progress", "stepping", "summary"],
    ["batches", "evaluation"],
    ["captured"],
    ["training"],
    ["storage"],
    ["manager"],
]
HEAVY = ("numpy", "pandas", "matplotlib", "cupy", "torch", "IPython", "tqdm", "pooch", "threadpoolctl")


@functools.cache
def imports(path: Path) -> set[str]:
    """The dotted names that a file imports, those inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules(package: str) -> dict[str, Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT / package).with_suffix("").parts): file for file in files}


def rows_of(package: str) -> list[list[str]]:
    return GPUPROF if package == "gpuprof" else CNN


@pytest.mark.parametrize("package", ["gpuprof", "cnn"])
def test_every_module_has_a_row(package: str) -> None:
    rooms = {name for row in rows_of(package) for name in row}
    assert {name for name in modules(package) if not name.endswith("__init__")} == rooms


@pytest.mark.parametrize("package", ["gpuprof", "cnn"])
def test_a_module_imports_only_from_rows_above_its_own(package: str) -> None:
    row = {name: i for i, names in enumerate(rows_of(package)) for name in names}
    files = modules(package)
    upward = [
        f"{name} imports {other}"
        for name in row
        for other in row
        if f"{package}.{other}" in imports(files[name])
        and row[other] >= row[name]
        # the one look upwards: choosing a clock needs the clocks
        and (name, other) not in [("record.clocks", "record.cuda"), ("record.clocks", "record.jax")]
    ]
    assert upward == []


@pytest.mark.parametrize(("package", "other"), [("gpuprof", "cnn"), ("cnn", "gpuprof")])
def test_the_two_packages_never_import_each_other(package: str, other: str) -> None:
    assert [
        name for name, file in modules(package).items() if any(i.split(".")[0] == other for i in imports(file))
    ] == []


def test_only_the_magics_import_ipython() -> None:
    assert [
        name for name, file in modules("gpuprof").items() if any(i.startswith("IPython") for i in imports(file))
    ] == ["magics"]


@pytest.mark.parametrize("package", ["gpuprof", "cnn"])
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    allowed = "'numpy'" if package == "cnn" else ""
    code = f"import sys, {package}; print([m for m in {HEAVY!r} if m in sys.modules and m not in [{allowed}]])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["gpuprof", "cnn"])
def test_the_front_door_is_sorted_and_every_name_opens(package: str) -> None:
    module = __import__(package)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        getattr(module, name)
