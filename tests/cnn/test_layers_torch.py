"""Dense, output and dropout layers beside PyTorch on random shapes and types; a whole net, step by step."""

import numpy as np
import pytest
from hypothesis import given

from cnn import Conv2d, Dense, Dropout, LayerManager, Output
from cnn.xp import to_cpu
from tests.cnn.oracle import check_against, close
from tests.cnn.strategies import REPEATABLE, dtypes, seeds, st

torch = pytest.importorskip("torch")
functional = torch.nn.functional
pytestmark = pytest.mark.torch

ACTS = {
    "identity": lambda z: z,
    "ReLU": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "GELU": functional.gelu,
    "Mish": functional.mish,
    "softmax": lambda z: torch.softmax(z, 1),
}
LOSSES = {
    ("softmax", "Cross"): lambda z, t: functional.cross_entropy(z, t),
    ("sigmoid", "Binary"): lambda z, t: functional.binary_cross_entropy_with_logits(z, t, reduction="sum") / len(t),
    ("identity", "Square"): lambda z, t: functional.mse_loss(z, t, reduction="sum") / (2 * len(t)),
    ("tanh", "Square"): lambda z, t: functional.mse_loss(z.tanh(), t, reduction="sum") / (2 * len(t)),
    ("softmax", "Square"): lambda z, t: functional.mse_loss(z.softmax(1), t, reduction="sum") / (2 * len(t)),
}


@REPEATABLE
@given(
    I_shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    n=st.integers(1, 7),
    N=st.integers(1, 5),
    act=st.sampled_from(sorted(ACTS)),
    dtype=dtypes,
    seed=seeds,
)
def test_a_dense_layer_is_pytorch_s(xp, mode, I_shape, n, N, act, dtype, seed):
    layer = Dense(int(np.prod(I_shape)), n, act=act, wb_width=0.5, dtype=dtype, mode=mode, seed=seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, *I_shape)).astype(dtype)
    y = layer.forward(xp.asarray(x))
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = layer.backward(xp.asarray(dy))
    tx, tW, tb = (torch.tensor(to_cpu(a), requires_grad=True) for a in (x, layer.W, layer.b))
    ty = ACTS[act](tx.flatten(1) @ tW + tb)
    ty.backward(torch.tensor(dy))
    for ours, theirs, what in ((y, ty, "y"), (dx, tx.grad, "dx"), (layer.dW, tW.grad, "dW"), (layer.db, tb.grad, "db")):
        close(ours, theirs, dtype, what)


@REPEATABLE
@given(
    pair=st.sampled_from(sorted(LOSSES)), prev=st.integers(1, 6), n=st.integers(2, 6), N=st.integers(1, 6),
    dtype=dtypes, seed=seeds,
)  # fmt: skip
def test_an_output_layer_and_its_loss_are_pytorch_s(xp, mode, pair, prev, n, N, dtype, seed):
    act, err_func = pair
    layer = Output(prev, n, act, err_func, wb_width=0.5, dtype=dtype, mode=mode, seed=seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, prev)).astype(dtype)
    t = np.eye(n)[rng.integers(n, size=N)].astype(dtype) if err_func == "Cross" else rng.random((N, n)).astype(dtype)
    layer.forward(xp.asarray(x), train=True)
    error, dx = layer.get_error(xp.asarray(t)), layer.backward(xp.asarray(t))
    tx, tW, tb = (torch.tensor(to_cpu(a), requires_grad=True) for a in (x, layer.W, layer.b))
    loss = LOSSES[pair](tx @ tW + tb, torch.tensor(t))
    loss.backward()
    np.testing.assert_allclose(float(error), float(loss.detach()), rtol=1e-4 if dtype == "float32" else 1e-10)
    for ours, theirs, what in ((dx, tx.grad, "dx"), (layer.dW, tW.grad, "dW"), (layer.db, tb.grad, "db")):
        close(ours, theirs, dtype, what)


@REPEATABLE
@given(ratio=st.floats(0, 0.9), I_shape=st.integers(1, 30), N=st.integers(1, 5), dtype=dtypes, seed=seeds)
def test_dropout_goes_back_under_the_mask_it_drew(xp, mode, ratio, I_shape, N, dtype, seed):
    layer = Dropout(I_shape, ratio, dtype=dtype, mode=mode, seed=seed)

    def function(x):
        mask = torch.ones_like(x) if layer.mask is None else torch.tensor(to_cpu(layer.mask))
        kept = mask[mask != 0]
        assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - ratio)))
        return x * mask

    check_against(layer, function, N, seed, train=True)


@pytest.mark.parametrize("kind", ["float16", "int32", "uint8", "bool", "float64"])
@pytest.mark.parametrize("layer", [Dense(8, 3, seed=0), Conv2d((2, 2, 2), (3, 2, 2), seed=0)], ids=["dense", "conv"])
def test_an_input_of_another_type_is_taken_for_its_values(layer, kind):
    x = (np.random.default_rng(0).random((3, 2, 2, 2)) * 4).astype(kind)
    y = layer.forward(x)
    np.testing.assert_array_equal(y, layer.forward(x.astype("float32")))
    assert y.dtype == np.float32
    assert layer.backward(np.ones(y.shape, kind)).dtype == np.float32


class Theirs(torch.nn.Module):
    """The same net in PyTorch."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.conv = nn.Conv2d(2, 4, 3, padding=2, dilation=2, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.slope = nn.PReLU(4)
        self.middle = nn.Linear(4 * 3 * 3, 5)
        self.output = nn.Linear(5, 3)

    def forward(self, x):
        x = self.slope(self.norm(self.conv(x)))
        x = functional.max_pool2d(x, 2, 1)
        x = functional.avg_pool2d(x, 3, 1, 1)[:, :, ::2, ::2]
        return self.output(torch.tanh(self.middle(x.flatten(1))))


def test_a_net_takes_the_same_steps_as_pytorch_s(xp, mode):
    rng = np.random.default_rng(3)
    x, t = rng.standard_normal((24, 2, 6, 6)), np.eye(3)[rng.integers(3, size=24)]
    lm = LayerManager((x, x), (t, t), mode=mode, seed=1, dtype="float64")
    lm.append(name="c", F_shape=(4, 3, 3), pad=2, dilation=2, groups=2, act="identity")
    lm.append(name="norm")
    lm.append(name="a", act="PReLU")
    lm.append(name="p", pool=2, stride=1)
    lm.append(name="avg", pool=3, stride=2, pad=1, count_include_pad=True)
    lm.append(name="f")
    lm.append(name="m", n=5, act="tanh")
    lm.append(name="o", n=3)
    theirs = Theirs().double()
    pairs = {
        ("Conv1", "W"): theirs.conv.weight, ("Conv1", "b"): theirs.conv.bias,
        ("BatchNorm1", "gamma"): theirs.norm.weight, ("BatchNorm1", "beta"): theirs.norm.bias,
        ("Activation1", "alpha"): theirs.slope.weight,
        ("Middle1", "W"): theirs.middle.weight, ("Middle1", "b"): theirs.middle.bias,
        ("Output1", "W"): theirs.output.weight, ("Output1", "b"): theirs.output.bias,
    }  # fmt: skip

    def ours(layer, name):
        array = to_cpu(getattr(lm[layer], name))
        return array.T if array.ndim == 2 else array  # dense weights lie the other way round there

    with torch.no_grad():
        for key, parameter in pairs.items():
            parameter.copy_(torch.tensor(ours(*key)))
    adam = torch.optim.Adam(theirs.parameters())
    for step in range(20):
        part = slice(step % 3 * 8, step % 3 * 8 + 8)
        lm.forward(lm.x_train[part], train=True)
        lm.backward(lm.y_train[part])
        lm.update()
        adam.zero_grad()
        functional.cross_entropy(theirs(torch.tensor(x[part])), torch.tensor(t[part])).backward()
        adam.step()
    for key, parameter in pairs.items():
        np.testing.assert_allclose(ours(*key), parameter.detach().numpy(), rtol=1e-6, atol=1e-9, err_msg=str(key))
    np.testing.assert_allclose(to_cpu(lm["BatchNorm1"].mean), theirs.norm.running_mean.numpy(), rtol=1e-8, atol=1e-12)
    theirs.eval()
    proba = theirs(torch.tensor(x)).softmax(1).detach().numpy()
    np.testing.assert_allclose(to_cpu(lm.predict_proba(x)), proba, rtol=1e-7)
