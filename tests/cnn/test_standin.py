"""cnn on the stand-in for CuPy, which meets no array of NumPy's: the steps of the CPU, to the last bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import inspect
import numpy as np
import cupy
from cnn import Augment, LayerManager
from cnn.activations import ACTIVATIONS
from cnn.kernels.layerwise import off
from cnn.optimizers import OPTIMIZERS

rng = np.random.default_rng(0)
x, t = rng.random((12, 1, 6, 6)), np.eye(3)[rng.integers(3, size=12)]
for each in OPTIMIZERS.values():
    each.kernel = ""  # of CUDA C++, which nothing compiles here; for the same reason no graph of fused kernels
plain = {"graph": False} if "graph" in inspect.signature(LayerManager.training).parameters else {}
acts = [name for name in ACTIVATIONS if name != "GELU"]  # the stand-in's is exact


def trained(mode, opt, acts):
    keywords = {"opt": opt, "opt_dic": {"eta": 1e-6} if opt.startswith("Santa") else {}}
    lm = LayerManager((x, x), (t, t), mode=mode, seed=3)
    lm.append(name="c", F_shape=(2, 3, 3), act=acts[0], **keywords)
    lm.append(name="norm", **keywords)
    lm.append(name="a", act=acts[1], **keywords)
    lm.append(name="p", pool=2, stride=1)
    lm.append(name="avg", pool=2)
    lm.append(name="d")
    lm.append(name="m", n=4, **keywords)
    lm.append(name="o", n=3, **keywords)
    changes = {"augment": Augment(1, True), "clip_norm": 1, "clip_value": 1}
    lm.training(2, n_batch=5, show_error=False, **changes, **plain)
    lm.save(PATH)
    lm.load(PATH)
    lm.predict(lm.x_test, t.argmax(axis=1))
    return [array for layer in lm for array in (*layer.parameters(), lm.predict_proba())]


for i, opt in enumerate(OPTIMIZERS):
    pair = acts[2 * i % len(acts)], acts[(2 * i + 1) % len(acts)]
    with off():
        both = trained("cpu", opt, pair), trained("gpu", opt, pair)
    for here, there in zip(*both, strict=True):
        assert isinstance(there, cupy.ndarray)
        np.testing.assert_array_equal(here, there.get(), err_msg=opt)
"""
MIXED = """
import cupy
import numpy as np

for mix in (lambda a, b: a + b, lambda a, b: b * a, lambda a, b: np.concatenate([a, b]), lambda a, b: np.asarray(a)):
    try:
        mix(cupy.ones(3), np.ones(3))
    except TypeError:
        continue
    raise SystemExit("they mixed")
"""


@pytest.mark.parametrize("program", [PROGRAM, MIXED], ids=["training", "mixing"])
def test_a_model_of_everything_trains_where_arrays_do_not_mix(tmp_path, program):
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "cnn" / "standin")])
    program = f"PATH = {str(tmp_path / 'model.npz')!r}\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stderr
