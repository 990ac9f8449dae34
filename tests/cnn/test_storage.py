import numpy as np
import pytest

from cnn.xp import to_cpu


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
    with pytest.raises(ValueError, match="it holds Middle1/Adam/t, Middle1/W, Middle1/b, which the model lacks"):
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
