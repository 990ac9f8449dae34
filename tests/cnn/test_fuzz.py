"""Whatever a person types or hands in, the answer is a layer, or a sentence in a ValueError or TypeError."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from cnn import Augment, LayerManager, batches
from cnn.activations import ACTIVATIONS
from cnn.idx import read_idx
from cnn.initializers import INITIALIZERS
from cnn.kinds import CODES
from cnn.layers import Layer
from cnn.optimizers import OPTIMIZERS
from tests.cnn.strategies import REPEATABLE, st

MANY = settings(REPEATABLE, max_examples=250)
KINDS = sorted(set(CODES.values()), key=lambda cls: cls.__name__)

small = st.integers(-2, 6)
ODD = (None, True, 0.5, float("nan"), float("inf"), 10**5, 10**9, 10**30, "", "3", "same", "gpu2", b"x", object())
ODDER = ({}, [], np.int64(3), np.float32(2), np.array([1, 2]), np.array(3), 1j, range(3), {"a": 1}, "é\n", len)
ODDEST = (np.True_, "\ud800", "a\0", {"a": "b"}, (None, None), ("a", "b"), Fraction(1, 2), 2**31 - 1, float, slice(2))
odd = st.sampled_from((*ODD, *ODDER, *ODDEST))
shapes = st.one_of(
    st.lists(st.one_of(small, st.integers(1, 9)), max_size=5),
    st.lists(st.one_of(small, st.integers(1, 9)), max_size=5).map(tuple),
    st.tuples(odd, small, small),
    st.tuples(st.tuples(small, small), st.tuples(small, small)),
)
names = st.one_of(
    st.sampled_from([*ACTIVATIONS, *OPTIMIZERS, "Cross", "Binary", "Square", "cpu", "float64"]), st.text(max_size=4)
)
anything = st.one_of(
    small, st.integers(1, 9), shapes, odd, names, st.floats(), st.dictionaries(names, small, max_size=2)
)
sensible = {  # so that the later checks are reached, too
    "I_shape": st.one_of(st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8)), st.integers(1, 9)),
    "F_shape": st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    "mode": st.just("cpu"),
    "act": st.sampled_from(sorted(ACTIVATIONS)),
    "init": st.sampled_from(sorted(INITIALIZERS)),
    "init_dic": st.dictionaries(st.sampled_from(["width", "alpha", "gain"]), st.floats(), max_size=1),
    "act_dic": st.dictionaries(st.sampled_from(["alpha", "beta"]), st.floats(), max_size=1),
    "wb_width": st.floats(0, 1e300),
    "opt": st.sampled_from(sorted(OPTIMIZERS)),
    "dtype": st.sampled_from(["float32", "float64"]),
}


@st.composite
def keywords(draw: st.DrawFn, cls: type) -> dict[str, object]:
    """Some of the keywords of `cls`, most of them sensible where that is known, and now and then an unknown one."""
    parameters = inspect.signature(cls).parameters.values()
    given = {}
    for each in parameters:
        if each.default is inspect.Parameter.empty or draw(st.integers(0, 3)) == 0:
            known = sensible.get(each.name, st.integers(1, 6))
            given[each.name] = draw(known if draw(st.integers(0, 3)) else anything)
    if draw(st.integers(0, 20)) == 0:
        given[draw(st.text("abc", min_size=1, max_size=3))] = 1
    return given


def sentence(error: Exception) -> None:
    """Assert that it says something, in words, which are not Python's or NumPy's about their own work."""
    text = str(error)
    assert len(text.split()) >= 4, repr(error)
    assert not any(words in text for words in ("operands could", "unsized", "no attribute", "a loop with sig")), text


def works(layer: Layer) -> None:
    """Assert that a layer that was made does what it says, unless it is huge."""
    if max(layer.prev, layer.n) > 10**4:
        return
    x = np.zeros((2, *layer.I_shape), dtype=layer.dtype)
    y = layer.forward(x, train=True)
    assert y.shape == (2, *layer.O_shape)
    assert layer.backward(np.zeros_like(y)).shape == x.shape
    layer.cost("forward", x.shape)


@pytest.mark.parametrize("cls", KINDS)
def test_a_layer_is_made_or_a_sentence_says_why_not(cls):
    @MANY
    @given(keywords(cls))
    def check(given):
        try:
            layer = cls(**given)
        except (ValueError, TypeError) as error:
            sentence(error)
        else:
            with np.errstate(all="ignore"):
                works(layer)

    check()


@MANY
@given(
    code=st.one_of(st.sampled_from(sorted(CODES)), anything),
    label=st.one_of(st.none(), st.text(max_size=3), odd),
    data=st.data(),
)
def test_a_model_takes_a_layer_or_a_sentence_says_why_not(code, label, data):
    lm = LayerManager((np.zeros((2, 2, 6, 6)),) * 2, (np.eye(2),) * 2)
    lm.append(name="c", F_shape=(3, 3, 3))
    cls = CODES.get(code, Layer) if isinstance(code, str) else Layer
    given = {key: value for key, value in data.draw(keywords(cls)).items() if key not in ("name", "label", "I_shape")}
    place = data.draw(st.one_of(st.integers(-3, 3), st.sampled_from(["Conv1", None, 1.5, "x"])))
    before = list(lm)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lm.insert(place, name=code, label=label, **given)
    except KeyError:
        if place != "x":
            raise
    except (ValueError, TypeError) as error:
        sentence(error)
        assert list(lm) == before
    else:
        assert len(lm) == 2
        assert len({layer.name for layer in lm}) == 2


arrays = st.one_of(
    st.sampled_from([np.zeros((2, 3)), np.zeros((3, 3)), np.zeros((0, 3)), np.zeros(2), np.zeros((2, 0)), np.eye(2)]),
    st.sampled_from([np.array("a"), np.array([{}]), np.zeros((2, 3), complex), np.full((2, 3), np.nan), np.array(1.0)]),
    anything,
)


@MANY
@given(
    x=st.one_of(st.tuples(arrays, arrays), anything),
    t=st.one_of(st.tuples(arrays, arrays), anything),
    mode=st.one_of(st.just("cpu"), names),
    seed=anything,
)
def test_a_model_is_made_of_data_or_a_sentence_says_why_not(x, t, mode, seed):
    try:
        LayerManager(x, t, mode=mode, seed=seed)
    except (ValueError, TypeError) as error:
        sentence(error)


@MANY
@given(
    epoch=st.one_of(st.just(1), anything),
    n_batch=anything,
    threshold=anything,
    steps=st.one_of(st.none(), anything),
    augment=st.one_of(st.none(), odd),
)
def test_a_training_runs_or_a_sentence_says_why_not(epoch, n_batch, threshold, steps, augment):
    lm = LayerManager((np.zeros((2, 3)),) * 2, (np.eye(2),) * 2)
    lm.append(name="o", n=2)
    if not isinstance(epoch, int) or epoch < 50:
        try:
            lm.training(epoch, n_batch, threshold, show_error=False, steps=steps, augment=augment)
        except (ValueError, TypeError) as error:
            sentence(error)


def forms(good):
    """Arrays like `good` in other types, layouts and shapes, and things that are none."""
    read_only = good.copy()
    read_only.flags.writeable = False
    types = ["f2", "f4", ">f8", "i1", "u8", "?", "g", "c16", "O", "S8", "U8", "m8[s]"]
    with np.errstate(all="ignore"):
        typed = [good.astype(each) for each in types]
    shaped = [good[:1], good[:0], good.ravel(), good[None], good[..., :2], np.array(1.0), good.T]
    laid_out = [read_only, good[::-1], np.asfortranarray(good), np.broadcast_to(good[:1], good.shape)]
    filled = [good * np.nan, np.full(good.shape, 1e300), np.full(good.shape, {}), np.ma.masked_array(good, good > 0)]
    return st.sampled_from([good, *typed, *shaped, *laid_out, *filled, good.tolist(), [[1], [2, 3]], np.arange(4)])


@MANY
@given(
    x=st.one_of(forms(np.eye(16).reshape(16, 1, 4, 4)[:4]), odd),
    t=st.one_of(forms(np.eye(4)[:, :3] + np.eye(4)[:, 3:]), odd),
    verb=st.sampled_from(
        ["forward", "training", "backward", "error", "predict", "get_error", "Output", "Conv", "made"]
    ),
)
def test_whatever_a_model_is_handed_it_computes_or_a_sentence_says_why_not(x, t, verb):
    good, goal = np.eye(16, dtype="float32").reshape(16, 1, 4, 4)[:4], np.eye(4, 3, dtype="float32") + [[0] * 3] * 4
    lm = LayerManager((good, good), (goal, goal), seed=0)
    for keywords in ({"name": "c", "F_shape": (2, 3, 3)}, {"name": "p", "pool": 2}, {"name": "o", "n": 3}):
        lm.append(**keywords)
    lm.forward(good, train=True)
    verbs = {
        "forward": lambda: lm.forward(x),
        "training": lambda: lm.forward(x, train=True),
        "backward": lambda: lm.backward(t),
        "error": lambda: lm.error(x, t),
        "predict": lambda: lm.predict(x, t),
        "get_error": lambda: lm[-1].get_error(t),
        "Output": lambda: lm[-1].backward(t),
        "Conv": lambda: lm[0].forward(x),
        "made": lambda: LayerManager((x, x), (t, t)),
    }
    try:
        with np.errstate(all="ignore"), contextlib.redirect_stdout(None):
            verbs[verb]()
    except (ValueError, TypeError) as error:
        sentence(error)


@MANY
@given(x=arrays, t=arrays, n_batch=anything, augment=st.one_of(st.none(), odd), seed=anything)
def test_batches_are_cut_or_a_sentence_says_why_not(x, t, n_batch, augment, seed):
    try:
        batches(x, t, n_batch, augment=augment, seed=seed)
    except (ValueError, TypeError) as error:
        sentence(error)


@MANY
@given(shift=anything, flip=anything, fill=anything)
def test_an_augmentation_is_made_or_a_sentence_says_why_not(shift, flip, fill):
    try:
        Augment(shift, flip, fill)
    except (ValueError, TypeError) as error:
        sentence(error)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model after a step, and what it saves."""
    lm = LayerManager((np.eye(4),) * 2, (np.eye(4)[:, :2],) * 2, seed=0)
    lm.append(name="m", n=3)
    lm.append(name="b")
    lm.append(name="o", n=2, err_func="Square", act="identity")
    lm.training(1, show_error=False)
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    lm.save(path)
    return lm, path, path.read_bytes()


def loaded_or_told(saved, content):
    lm, path, _ = saved
    path.write_bytes(content)
    before = lm["Middle1"].W.copy()
    with warnings.catch_warnings():  # of zipfile, about names that occur twice
        warnings.simplefilter("ignore")
        try:
            lm.load(path)
        except ValueError as error:
            sentence(error)
            np.testing.assert_array_equal(lm["Middle1"].W, before)


@MANY
@given(end=st.integers(0, 6000))
def test_a_file_that_is_cut_off_is_told(saved, end):
    content = saved[2]
    loaded_or_told(saved, content[: min(end, len(content) - 1)])


@MANY
@given(changes=st.lists(st.tuples(st.integers(0, 10**4), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4))
def test_a_file_with_other_bytes_is_loaded_or_told(saved, changes):
    content = bytearray(saved[2])
    for place, new in changes:
        place %= len(content)
        content[place : place + len(new)] = new
    loaded_or_told(saved, bytes(content))


@MANY
@given(content=st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: b"PK\x03\x04" + tail)))
def test_a_file_that_is_not_ours_is_told(saved, content):
    loaded_or_told(saved, content)


@MANY
@given(data=st.data())
def test_an_archive_of_other_arrays_is_loaded_or_told(saved, data):
    with np.load(io.BytesIO(saved[2])) as whole:
        kept = {key: whole[key] for key in whole.files}
    key = data.draw(st.sampled_from(sorted(kept)))
    others = [
        np.array(-1), np.array(3), np.array(2**63, dtype="uint64"), np.array(0.5), np.array("x"), np.zeros((2, 2)),
        np.ones_like(kept[key]), np.zeros(kept[key].shape, complex), np.zeros(kept[key].shape, "U3"), np.array(10**3),
    ]  # fmt: skip
    new = data.draw(st.sampled_from([None, *others]))
    if new is None:
        del kept[key]
    else:
        kept[key] = new
    file = io.BytesIO()
    np.savez(file, **kept)
    loaded_or_told(saved, file.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_packed_in_another_way_is_loaded_or_told(saved, method):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved[2])) as old, zipfile.ZipFile(file, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    loaded_or_told(saved, file.getvalue())
    loaded_or_told(saved, file.getvalue()[:-300])


@MANY
@given(content=st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: b"\0\0\x08\x03" + tail)))
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_file_is_read_or_told(tmp_path_factory, suffix, content):
    path = tmp_path_factory.getbasetemp() / f"labels{suffix}"
    path.write_bytes((b"\x1f\x8b" if suffix and len(content) % 2 else b"") + content)
    try:
        read_idx(path)
    except ValueError as error:
        sentence(error)
