import pathlib
import zipfile

import numpy as np
import pytest

from cnn import LayerManager
from cnn.optimizers import OPTIMIZERS
from cnn.xp import to_cpu


@pytest.fixture
def mixed(tiny, mode):
    """Makes a network with one of everything that keeps something from step to step."""

    def make(seed, opt, opt_dic=None):
        lm = LayerManager(*tiny, mode=mode, seed=seed)
        lm.append(name="c", F_shape=(2, 3, 3), act="PReLU", opt=opt, opt_dic=opt_dic)
        lm.append(name="batchnorm", opt=opt, opt_dic=opt_dic)
        lm.append(name="p", pool=2)
        lm.append(name="m", n=5, act="RReLU", opt=opt, opt_dic=opt_dic)
        lm.append(name="d")
        lm.append(name="o", n=3, opt=opt, opt_dic=opt_dic)
        return lm

    return make


def trained(net, **keywords):
    lm = net(**keywords)
    lm.training(1, n_batch=6, show_error=False)
    return lm


def same(one, other):
    return all(
        bool((a.W == b.W).all()) and bool((a.b == b.b).all()) for a, b in zip(one, other, strict=True) if a.n_parameters
    )


def test_a_model_comes_back_with_its_weights_and_steps(net, tmp_path):
    lm, other = trained(net), net(seed=9)
    lm.save(tmp_path / "model.npz")
    other.load(tmp_path / "model.npz")
    assert same(lm, other)
    assert other.steps == 4
    assert other["Conv1"].optimizer.t == 4


def test_the_next_steps_are_those_of_the_model_that_was_saved(net, tmp_path):
    lm, other = trained(net), net(seed=9)
    lm.save(tmp_path / "model")
    other.load(tmp_path / "model")
    for model in (lm, other):
        for _ in range(3):
            model.forward(model.x_train, train=True)
            model.backward(model.y_train)
            model.update()
    assert same(lm, other)


def test_a_model_that_has_not_learnt_yet_can_be_saved(net, tmp_path):
    lm, other = net(), trained(net, seed=9)
    lm.save(tmp_path / "model.npz")
    other.load(tmp_path / "model.npz")
    assert same(lm, other)
    assert other["Conv1"].optimizer.t == 0
    assert other["Conv1"].optimizer.state == {}


def test_saving_leaves_one_file(net, tmp_path):
    net().save(tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_a_model_of_another_shape_is_refused_and_nothing_changes(net, tmp_path):
    lm, other = trained(net), net(seed=9)
    other["Middle1"] = type(other["Middle1"])(18, 5, opt="SGD", mode=other.mode)
    lm.save(tmp_path / "model.npz")
    before = to_cpu(other["Conv1"].W).copy()
    with pytest.raises(ValueError, match=r"does not fit this model: it lacks Middle1/SGD/t"):
        other.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(before, to_cpu(other["Conv1"].W))


def test_a_parameter_of_another_shape_is_named(net, tmp_path):
    lm, other = net(), net()
    with pytest.warns(UserWarning, match="Output1 expects"):
        other["Middle1"] = type(other["Middle1"])(18, 6, mode=other.mode)
    lm.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"Middle1/W has shape \(18, 5\) in the file and \(18, 6\) in the model"):
        other.load(tmp_path / "model.npz")


def test_a_layer_too_many_in_the_file_is_named(net, tmp_path):
    lm, other = net(), net()
    with pytest.warns(UserWarning, match="Output1 expects"):
        del other["Middle1"]
    lm.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="it holds Middle1/W, Middle1/b, Middle1/Adam/t, which the model lacks"):
        other.load(tmp_path / "model.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"some text"])
def test_a_damaged_file_is_named(net, tmp_path, content):
    (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.npz is not a file that LayerManager\.save wrote, or it is damaged"):
        net().load(tmp_path / "model.npz")


def test_a_truncated_file_is_named(net, tmp_path):
    path = tmp_path / "model.npz"
    net().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="or it is damaged"):
        net().load(path)


def test_a_missing_file_is_a_missing_file(net, tmp_path):
    with pytest.raises(FileNotFoundError):
        net().load(tmp_path / "none.npz")


def test_a_model_with_two_layers_of_one_name_is_not_saved(net, tmp_path):
    lm = net()
    lm.insert(2, name="m", n=18)
    lm["Middle2"].name = "Middle1"
    for verb in (lm.save, lm.load):
        with pytest.raises(ValueError, match="2 layers are called 'Middle1', and a file holds one of each name"):
            verb(tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named_as_it_was_given(net, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none to save model\.npz in; make it first"):
        net().save(tmp_path / "none" / "model.npz")


def test_a_folder_is_no_file(net, tmp_path):
    lm = net()
    with pytest.raises(IsADirectoryError, match="is a folder; add the name of a file"):
        lm.save(tmp_path)
    with pytest.raises(ValueError, match=r"is a folder; expected a file that LayerManager\.save wrote"):
        lm.load(tmp_path)
    assert list(tmp_path.iterdir()) == []


def everything(lm):
    found = {f"{layer.name}/{name}": to_cpu(getattr(layer, name)) for layer in lm for name in layer.parameter_names}
    found |= {f"{layer.name}/{name}": to_cpu(getattr(layer, name)) for layer in lm for name in layer.statistic_names}
    for layer in lm:
        for slot, arrays in (layer.optimizer.state if layer.optimizer else {}).items():
            found |= {f"{layer.name}/{slot}/{i}": to_cpu(array) for i, array in enumerate(arrays)}
    return found


def assert_the_same(one, other):
    mine, theirs = everything(one), everything(other)
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        np.testing.assert_array_equal(value, theirs[key], err_msg=key)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_that_goes_on_from_a_file_is_one_that_never_stopped(mixed, tmp_path, name):
    keywords = {"eta": 1e-6, "burnin": 10} if name.startswith("Santa") else {}
    whole = {
        "n_batch": 7,
        "threshold": 0,
        "show_error": False,
        "clip_norm": 5,
        "schedule": {"name": "cosine", "total": 20},
    }
    never, first, second = mixed(3, name, keywords), mixed(3, name, keywords), mixed(8, name, keywords)
    never.training(4, **whole)
    first.training(2, **whole)
    first.save(tmp_path / "model.npz")
    second.load(tmp_path / "model.npz")
    history = second.training(2, **whole)
    assert_the_same(second, never)
    assert (second.steps, second.epochs) == (never.steps, never.epochs) == (16, 4)
    assert history.epochs[-1].test_error == never.history.epochs[-1].test_error


@pytest.mark.parametrize("opt", ["Nadam", "Eve", "SantaSSS", "SAM"])
def test_steps_of_one_s_own_go_on_from_a_file_too(net, tmp_path, opt):
    first, second = (net(seed=seed) for seed in (3, 8))
    for lm in (first, second):
        del lm["Output1"]
        lm.append(name="o", n=3, opt=opt, opt_dic={"eta": 1e-6} if opt == "SantaSSS" else {})

    def steps(lm):
        for _ in range(3):
            lm.forward(lm.x_train, train=True)
            lm.backward(lm.y_train)
            lm.update()

    steps(first)
    first.save(tmp_path / "model.npz")
    second.load(tmp_path / "model.npz")
    for lm in (first, second):
        steps(lm)
    assert_the_same(first, second)


def test_sam_is_not_sam_around_another(net, tmp_path):
    one, other = (net() for _ in range(2))
    for lm, base in ((one, "Adam"), (other, "AdaMax")):
        del lm["Output1"]
        lm.append(name="o", n=3, opt="SAM", opt_dic={"base": base})
    one.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"it lacks Output1/SAM\(AdaMax\)/t"):
        other.load(tmp_path / "model.npz")


def changed(path, key, value):
    with np.load(path) as arrays:
        content = dict(arrays)
    content[key] = np.asarray(value)
    np.savez(path, **content)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("Conv1/Adam/t", -1, r"Conv1/Adam/t is -1; expected whole numbers of 0 or more"),
        ("Conv1/Adam/t", 2.5, r"Conv1/Adam/t is 2\.5; expected whole numbers"),
        ("Conv1/Adam/t", "four", "Conv1/Adam/t is four; expected whole numbers"),
        ("steps", float("nan"), "steps is nan; expected whole numbers"),
        ("Middle1/b", np.full(5, "x"), "Middle1/b holds <U1; expected numbers"),
        ("Middle1/b", np.zeros(5, dtype=complex), "Middle1/b holds complex128; expected numbers"),
        ("rng", -np.ones(6), "rng is .*; expected whole numbers"),
    ],
)
def test_content_that_cannot_be_is_named_and_nothing_changes(net, tmp_path, key, value, text):
    lm, other = trained(net), net(seed=9)
    lm.save(tmp_path / "model.npz")
    changed(tmp_path / "model.npz", key, value)
    before = everything(other)
    with pytest.raises(ValueError, match=rf"model\.npz is damaged: {text}"):
        other.load(tmp_path / "model.npz")
    assert all((before[key] == value).all() for key, value in everything(other).items())
    assert other.steps == 0


def test_numbers_too_large_for_the_model_are_told_and_nothing_changes(net, tmp_path):
    lm, other = trained(net), net(seed=9)
    lm.save(tmp_path / "model.npz")
    changed(tmp_path / "model.npz", "Middle1/b", np.full(5, 1e300))
    before = everything(other)
    with pytest.raises(ValueError, match="does not fit this model: Middle1/b holds numbers too large for float32"):
        other.load(tmp_path / "model.npz")
    assert all((before[key] == value).all() for key, value in everything(other).items())


@pytest.mark.parametrize(("member", "content"), [("readme.txt", b"hello"), ("folder/", b""), ("version.npy", b"1")])
def test_an_archive_with_something_else_in_it_is_told(net, tmp_path, member, content):
    lm, path = net(), tmp_path / "model.npz"
    lm.save(path)
    with zipfile.ZipFile(path) as file:
        kept = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, value in (kept | {member: content}).items():
            file.writestr(name, value)
    with pytest.raises(ValueError, match=r"is not a file that LayerManager\.save wrote: its .* is no array of numbers"):
        lm.load(path)


class Explosive:
    """What does something when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_nothing_in_a_file_is_unpickled(net, tmp_path):
    lm, path = net(), tmp_path / "model.npz"
    lm.save(path)
    content = np.empty(5, dtype=object)
    content[:] = Explosive(tmp_path / "exploded")
    changed(path, "Middle1/b", content)
    with pytest.raises(ValueError, match=r"is not a file that LayerManager\.save wrote, or it is damaged"):
        lm.load(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM])
def test_a_generator_that_a_file_has_no_place_for_is_named(tiny, tmp_path, kind):
    lm = LayerManager(*tiny, seed=np.random.Generator(kind(0)))
    lm.append(name="o", n=3)
    with pytest.raises(
        ValueError, match=f"the model's seed is a generator of {kind.__name__}, whose state a file does"
    ):
        lm.save(tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


def test_any_numbers_for_the_order_of_images_are_a_state(net, tmp_path):
    lm = net()
    lm.save(tmp_path / "model.npz")
    changed(tmp_path / "model.npz", "rng", np.full(6, 2**64 - 1, dtype="uint64"))
    lm.load(tmp_path / "model.npz")
    assert lm.training(1, show_error=False).steps == 2


def with_version(path, version):
    """The file with another version, or with none."""
    with np.load(path) as arrays:
        kept = {key: arrays[key] for key in arrays.files if key != "version"}
    np.savez(path, **kept, **({} if version is None else {"version": version}))


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (7, "is of version 7; this cnn reads version 1: use the cnn that wrote it"),
        (None, r"is not a file that LayerManager\.save wrote: it says no version"),
        (np.array("1"), "it says no version"),
    ],
)
def test_a_file_of_another_version_is_told(net, tmp_path, version, text):
    lm = net()
    lm.save(tmp_path / "model.npz")
    with_version(tmp_path / "model.npz", version)
    with pytest.raises(ValueError, match=text):
        lm.load(tmp_path / "model.npz")


def test_a_file_does_not_care_where_its_model_was(net, tmp_path):
    lm = net()
    lm.save(tmp_path / "model.npz")
    lm.to_cpu()
    lm.load(tmp_path / "model.npz")
    assert isinstance(lm["Conv1"].W, np.ndarray)
