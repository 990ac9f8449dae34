"""Losses beside PyTorch's, on random shapes and dtypes, value and gradient."""

import numpy as np
import pytest
from hypothesis import given

from cnn import Output
from cnn.losses import get_loss
from cnn.xp import to_cpu
from tests.cnn.strategies import REPEATABLE, st

torch = pytest.importorskip("torch")
F = torch.nn.functional

pytestmark = pytest.mark.torch

NEAR = {"float32": 3e-6, "float64": 1e-12}
RANDOM = {
    "N": st.integers(1, 9),
    "n": st.integers(1, 7),
    "dtype": st.sampled_from(list(NEAR)),
    "smoothing": st.sampled_from([0.0, 0.1, 0.5]),
    "seed": st.integers(0, 2**16),
}


@pytest.mark.parametrize("name", ["Binary", "Square"])
@REPEATABLE
@given(**RANDOM)
def test_value_and_gradient_of_outputs_are_pytorch_s(xp, name, N, n, dtype, smoothing, seed):
    rng = np.random.default_rng(seed)
    y, t = rng.uniform(0.02, 0.98, (N, n)).astype(dtype), rng.uniform(size=(N, n)).astype(dtype)
    ty, tt = torch.tensor(y, requires_grad=True), torch.tensor(t)
    if name == "Binary":
        theirs = F.binary_cross_entropy(ty, (1 - smoothing) * tt + smoothing / 2, reduction="sum") / N
    else:
        theirs = F.mse_loss(ty, tt, reduction="sum") / (2 * N)
    theirs.backward()
    loss = get_loss(name, {"smoothing": smoothing} if name == "Binary" else None)
    value = loss.value(xp.asarray(y), xp.asarray(t))
    gradient = loss.gradient(xp.asarray(y), xp.asarray(t))
    assert value.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(float(value), theirs.item(), rtol=4 * NEAR[dtype])
    np.testing.assert_allclose(to_cpu(gradient), ty.grad.numpy(), rtol=20 * NEAR[dtype], atol=NEAR[dtype])


@pytest.mark.parametrize("act", ["softmax", "sigmoid", "identity"])
@REPEATABLE
@given(**RANDOM)
def test_value_and_gradients_of_an_output_layer_are_pytorch_s(xp, mode, act, N, n, dtype, smoothing, seed):
    rng = np.random.default_rng(seed)
    t = np.eye(n)[rng.integers(n, size=N)].astype(dtype)
    err_dic = None if act == "identity" else {"smoothing": smoothing}
    layer = Output(4, n, act, err_dic=err_dic, wb_width=3, dtype=dtype, mode=mode, seed=seed)
    x = xp.asarray(rng.normal(scale=2, size=(N, 4)).astype(dtype))
    layer.forward(x)
    dx = layer.backward(xp.asarray(t))
    tx, tW, tb = (torch.tensor(to_cpu(each), requires_grad=True) for each in (x, layer.W, layer.b))
    tz, tt = tx @ tW + tb, torch.tensor(t)
    if act == "softmax":
        theirs = F.cross_entropy(tz, tt, label_smoothing=smoothing)
    elif act == "sigmoid":
        mixed = (1 - smoothing) * tt + smoothing / 2
        theirs = F.binary_cross_entropy_with_logits(tz, mixed, reduction="sum") / N
    else:
        theirs = F.mse_loss(tz, tt, reduction="sum") / (2 * N)
    theirs.backward()
    near = NEAR[dtype]
    np.testing.assert_allclose(float(layer.get_error(xp.asarray(t))), theirs.item(), rtol=4 * near, atol=4 * near)
    for ours, other in ((dx, tx.grad), (layer.dW, tW.grad), (layer.db, tb.grad)):
        np.testing.assert_allclose(to_cpu(ours), other.numpy(), rtol=20 * near, atol=4 * near)
