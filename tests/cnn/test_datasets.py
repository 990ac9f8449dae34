import gzip
import struct

import numpy as np
import pooch
import pytest

from cnn import LayerManager, datasets, load_digits, load_fashion_mnist, load_mnist
from cnn.datasets import FILES, SAMPLE, stratified
from cnn.idx import read_idx


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
def alone(monkeypatch, tmp_path):
    """No folder from the environment, an empty cache, and no network."""
    monkeypatch.delenv("CNN_DATA_DIR", raising=False)

    cache = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda name: cache)

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
    with pytest.raises(RuntimeError, match=r"connect to the network and try again\. What failed: .*no network"):
        load_fashion_mnist(download=True)


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


CLOTHES = np.array([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 1, 1])
DIGITS = np.array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 0, 0])


def written(folder, labels):
    """The four files of a data set with these training labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    arrays = rng.integers(256, size=(len(labels), 28, 28)), labels, rng.integers(256, size=(3, 28, 28)), np.arange(3)
    for name, array in zip(FILES, arrays, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return folder


@pytest.mark.parametrize("place", ["fashion-mnist", "."])
def test_fashion_mnist_is_found_beside_mnist_or_alone(tmp_path, monkeypatch, place):
    written(tmp_path / "data" / place, CLOTHES)
    if place != ".":
        written(tmp_path / "data", DIGITS)
        written(tmp_path / "data" / "mnist", DIGITS)
    monkeypatch.setenv("CNN_DATA_DIR", str(tmp_path / "data"))
    (x, t), (x_test, _) = load_fashion_mnist(one_hot=False)
    assert (x.shape, x_test.shape) == ((12, 1, 28, 28), (3, 1, 28, 28))
    assert t.tolist() == CLOTHES.tolist()
    if place != ".":
        assert load_mnist(one_hot=False)[0][1].tolist() == DIGITS.tolist()


def test_the_files_of_a_sibling_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds MNIST: use load_mnist, or give another folder"):
        load_fashion_mnist(written(tmp_path / "digits", DIGITS))
    with pytest.raises(ValueError, match="holds Fashion-MNIST: use load_fashion_mnist, or give another folder"):
        load_mnist(written(tmp_path / "clothes", CLOTHES))


def test_fashion_mnist_is_not_downloaded_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_DATA_DIR", str(written(tmp_path / "data", DIGITS)))
    with pytest.raises(
        FileNotFoundError,
        match=r"^Fashion-MNIST is not in .*fashion-mnist, .*data, .*Put its four files there, .*download=True\)",
    ):
        load_fashion_mnist()
    with pytest.raises(AssertionError, match="the network was asked for"):
        load_fashion_mnist(download=True)


def test_fashion_mnist_is_downloaded_with_checksums_and_then_found_in_the_cache(tmp_path, monkeypatch):
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        return str(written(path, CLOTHES) / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(load_fashion_mnist(download=True)[0][0]) == 12
    assert {known for _, known in asked} == {f"sha256:{digest}" for digest in datasets.FASHION.digests.values()}
    assert all(url.startswith("https://") for url, _ in asked)
    monkeypatch.setattr(pooch, "retrieve", None)
    assert len(load_fashion_mnist()[0][0]) == 12


def test_ten_kinds_of_clothing_have_names():
    assert (datasets.FASHION_CLASSES[0], datasets.FASHION_CLASSES[9]) == ("T-shirt/top", "Ankle boot")
    assert len(set(datasets.FASHION_CLASSES)) == 10


def test_the_digits_of_scikit_learn_come_with_the_package():
    (x, t), (x_test, t_test) = load_digits()
    assert (x.shape, x_test.shape) == ((1437, 1, 8, 8), (360, 1, 8, 8))
    assert t_test.sum(axis=0).tolist() == [36] * 10
    assert (t.sum(axis=0) + t_test.sum(axis=0)).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (x.dtype, x.min(), x.max(), x_test.max()) == (np.float32, 0, 1, 1)
    assert load_digits(one_hot=False)[0][1].dtype == np.int64
    with np.load(datasets.DIGITS) as arrays:
        assert arrays["labels"][:10].tolist() == list(range(10))
        assert arrays["images"][0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]  # as scikit-learn's documentation prints it


def test_the_digits_are_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    with np.load(datasets.DIGITS) as ours:
        np.testing.assert_array_equal(ours["images"], theirs.images)
        np.testing.assert_array_equal(ours["labels"], theirs.target)


def test_the_digits_are_learned(mode):
    (x, t), (x_test, t_test) = load_digits()
    lm = LayerManager((x, x_test), (t, t_test), mode=mode, seed=0)
    lm.append(name="c", F_shape=(16, 3, 3))
    lm.append(name="p", pool=2)
    lm.append(name="o", n=10)
    lm.training(8, n_batch=16, show_error=False)
    assert int((lm.predict_proba().argmax(axis=1) == lm.y_test.argmax(axis=1)).sum()) > 330


def test_a_folder_is_no_idx_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder; give an idx file"):
        read_idx(tmp_path)
