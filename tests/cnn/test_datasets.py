import gzip
import struct

import numpy as np
import pooch
import pytest

from cnn import datasets, load_mnist
from cnn.datasets import FILES, SAMPLE, read_idx, stratified


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def contents():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(256, size=(6, 28, 28)), np.arange(6), rng.integers(256, size=(3, 28, 28)), np.arange(3)]
    return dict(zip(FILES, arrays, strict=True))


@pytest.fixture
def folder(contents, tmp_path):
    for name, array in contents.items():
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No folder from the environment, and no network."""
    monkeypatch.delenv("CNN_DATA_DIR", raising=False)

    def refuse(*args, **keywords):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(pooch, "retrieve", refuse)


def test_the_sample_is_real_stratified_and_small(sample):
    (x_train, t_train), (x_test, t_test) = sample
    assert x_train.shape == (6000, 1, 28, 28)
    assert x_test.shape == (1000, 1, 28, 28)
    assert t_train.sum(axis=0).tolist() == [600] * 10
    assert t_test.sum(axis=0).tolist() == [100] * 10
    assert (x_train.dtype, t_train.dtype) == (np.float32, np.float32)
    assert (x_train.min(), x_train.max()) == (0, 1)
    assert abs(x_train.mean() - 0.1307) < 0.002  # that of the whole of MNIST
    assert SAMPLE.stat().st_size < 2_000_000


def test_labels_come_as_numbers_on_request(sample):
    (_, numbers), _ = load_mnist(sample=True, one_hot=False)
    assert numbers.dtype == np.int64
    np.testing.assert_array_equal(numbers, sample[0][1].argmax(axis=1))


def test_a_folder_is_read(folder, contents):
    (x_train, t_train), (x_test, _) = load_mnist(folder)
    np.testing.assert_array_equal(np.rint(x_train[:, 0] * 255), contents["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(t_train, np.eye(10)[:6])
    assert len(x_test) == 3


def test_gzipped_files_are_read(folder):
    plain = load_mnist(folder)
    for path in list(folder.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(load_mnist(folder)[0][0], plain[0][0])


def test_the_environment_names_a_folder(folder, monkeypatch):
    monkeypatch.setenv("CNN_DATA_DIR", str(folder))
    assert len(load_mnist()[0][0]) == 6


def test_a_folder_that_lacks_a_file_says_which_and_what_to_do(folder):
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"neither t10k-images-idx3-ubyte nor .*\.gz \(there is: t10k-labels.*sample=True"
    ):
        load_mnist(folder)


def test_a_folder_that_does_not_exist_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_mnist(tmp_path / "none")


def test_without_a_folder_the_files_come_from_a_mirror_with_a_checksum(folder, tmp_path, monkeypatch):
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        target = tmp_path / fname
        target.write_bytes(gzip.compress((folder / fname.removesuffix(".gz")).read_bytes()))
        return str(target)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(load_mnist()[0][0]) == 6
    assert [url for url, _ in asked] == [datasets.MIRRORS[0] + name + ".gz" for name in FILES]
    assert {known.split(":")[0] for _, known in asked} == {"sha256"}
    assert [known.split(":")[1] for _, known in asked] == list(FILES.values())


def test_a_second_mirror_is_asked_when_the_first_one_fails(folder, tmp_path, monkeypatch):
    def retrieve(url, known_hash, fname, path):
        if url.startswith(datasets.MIRRORS[0]):
            raise ValueError("hash does not match")
        target = tmp_path / fname
        target.write_bytes(gzip.compress((folder / fname.removesuffix(".gz")).read_bytes()))
        return str(target)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(load_mnist()[0][0]) == 6


def test_when_all_fails_the_three_ways_out_are_named(monkeypatch):
    def retrieve(*args, **keywords):
        raise ConnectionError("no network")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(
        RuntimeError, match=r"(?s)load_mnist\(folder\) or CNN_DATA_DIR.*cache by hand.*connect.*sample=True.*no network"
    ):
        load_mnist()


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda b: b[:-5], r"announces \(6, 28, 28\), so 4720 bytes; it has 4715"),
        (lambda b: b + b"x", r"so 4720 bytes; it has 4721"),
        (lambda b: b"\x89PNG" + b, r"starts with 89 50 4e 47; an idx file of bytes starts with 00 00 08"),
        (lambda b: b[:9], r"bytes; it has 9"),
        (lambda b: b"", "starts with nothing"),
    ],
)
def test_a_damaged_file_says_what_was_expected_and_what_came(folder, damage, text):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path.name}.*{text}.*get the file anew"):
        load_mnist(folder)


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"no gzip", lambda b: b[:30] + b"\0" * 30 + b[60:]])
def test_a_damaged_gz_file_is_named(tmp_path, damage):
    path = tmp_path / "labels.gz"
    path.write_bytes(damage(gzip.compress(idx(np.random.default_rng(0).integers(9, size=500)))))
    with pytest.raises(ValueError, match=r"labels\.gz is a damaged or truncated \.gz file"):
        read_idx(path)


def test_images_and_labels_of_different_number_are_refused(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(5)))
    with pytest.raises(ValueError, match=r"the train files hold images \(6, 28, 28\) and labels \(5,\); expected"):
        load_mnist(folder)


def test_labels_that_are_no_digits_are_refused(folder):
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([1, 2, 11])))
    with pytest.raises(ValueError, match="the test labels go up to 11; expected digits, 0 to 9"):
        load_mnist(folder)


def test_stratified_draws_the_same_number_of_each_class_in_order():
    labels = np.array([0, 1, 1, 0, 2, 2, 1, 0, 2])
    places = stratified(labels, 2, seed=1)
    assert np.bincount(labels[places]).tolist() == [2, 2, 2]
    assert (np.diff(places) > 0).all()
    np.testing.assert_array_equal(places, stratified(labels, 2, seed=1))


def test_a_class_with_too_few_members_is_named():
    with pytest.raises(ValueError, match="class 1 has 1 members; 2 were asked for"):
        stratified(np.array([0, 0, 1]), 2, seed=0)


def test_an_environment_variable_that_is_empty_counts_as_unset(monkeypatch):
    monkeypatch.setenv("CNN_DATA_DIR", "")
    with pytest.raises(AssertionError, match="the network was asked for"):
        load_mnist()


def test_a_file_given_as_the_folder_is_named(folder):
    with pytest.raises(FileNotFoundError, match="train-labels-idx1-ubyte is a file; give the folder"):
        load_mnist(folder / "train-labels-idx1-ubyte")
