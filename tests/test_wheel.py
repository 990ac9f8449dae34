"""The built wheel: what is in it, and that it works away from this tree."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

USE = """
import cnn, gpuprof, pathlib, sys
assert pathlib.Path(gpuprof.__file__).is_relative_to(sys.argv[1]), gpuprof.__file__
(x, t), (x_test, t_test) = cnn.load_mnist(sample=True)
lm = cnn.LayerManager((x, x_test), (t, t_test), mode="cpu", seed=0)
lm.append(name="c", I_shape=(1, 28, 28), F_shape=(4, 3, 3))
lm.append(name="o", n=10, act="softmax", err_func="Cross")
with gpuprof.layertime(lm) as run:
    lm.training(1, n_batch=8, steps=5, show_error=False)
print(run.profile)
"""


def python(*arguments: str, cwd: Path | None = None, **variables: str) -> str:
    command = [sys.executable, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=variables or None)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pytest.importorskip("hatchling", reason="needs hatchling to build the wheel: make test installs it")
    python("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT))
    return next(folder.glob("ipython_gpuprof-*.whl"))


def test_the_wheel_holds_both_packages_with_their_types_sample_and_licences(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"gpuprof/py.typed", "cnn/py.typed", "cnn/data/mnist_sample.npz", "cnn/data/LICENSE.txt"} <= names
    assert {"cnn/data/digits.npz", "cnn/kernels/deep.cu"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert (
        not {name.split("/")[0] for name in names}
        - {"gpuprof", "cnn"}
        - {name.split("/")[0] for name in names if ".dist-info" in name}
    )


def test_the_wheel_is_small_enough_to_download_without_a_thought(wheel: Path) -> None:
    assert wheel.stat().st_size < 2_000_000


def test_the_wheel_works_away_from_the_tree(wheel: Path, tmp_path: Path) -> None:
    """In a new environment that sees this one's other packages, so that nothing is downloaded."""
    python("-m", "venv", "--without-pip", str(tmp_path / "env"))
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    others = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "others.pth").write_text(others)
    answer = subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-c", USE, site],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    assert "Conv1" in answer.stdout


@pytest.mark.slow
def test_the_wheel_installs_with_its_dependencies_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    python("-m", "venv", str(tmp_path / "env"))
    own = tmp_path / "env" / "bin" / "python"
    subprocess.run([own, "-m", "pip", "install", "-q", wheel], check=True, cwd=tmp_path)
    answer = subprocess.run([own, "-c", USE, tmp_path], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "Conv1" in answer.stdout
