"""MNIST, Fashion-MNIST and scikit-learn's digits: from a folder, the cache, a download, or the package itself.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits"; Xiao, Rasul and Vollgraf,
"Fashion-MNIST" (2017); Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (1998).
data/README.md says how what comes with the package was drawn, data/LICENSE.txt on what terms.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cnn.sources import VARIABLE, Source

Labelled: TypeAlias = tuple[NDArray[np.generic], NDArray[np.generic]]


FILES = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST = Source(
    "MNIST",
    "load_mnist",
    "mnist",
    FILES,
    MIRRORS,
    (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
    "use load_mnist(sample=True), which needs none",
)
FASHION = Source(
    "Fashion-MNIST",
    "load_fashion_mnist",
    "fashion-mnist",
    {
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    (
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
    "let load_fashion_mnist(download=True) fetch it",
)
FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
SAMPLE = Path(__file__).parent / "data" / "mnist_sample.npz"
DIGITS = Path(__file__).parent / "data" / "digits.npz"


def load_mnist(
    folder: str | Path | None = None, *, sample: bool = False, one_hot: bool = True
) -> tuple[Labelled, Labelled]:
    """(x_train, t_train), (x_test, t_test) of the handwritten digits, as NumPy arrays.

    Looked for in this order: `folder`; the folder that CNN_DATA_DIR names, or its subfolder mnist; the
    cache; unless CNN_DATA_DIR is set, the mirrors, with checksums, into the cache.

    Args:
        folder: where the four files lie, train-images-idx3-ubyte and its siblings, or each as .gz.
        sample: 6000 training and 1000 test digits, as many of each class, which come with the package:
            nothing is looked for.
        one_hot: targets as (N, 10) float32; otherwise class numbers (N,) int64.

    Returns:
        x float32 in [0, 1], (N, 1, 28, 28).

    Raises:
        FileNotFoundError: the folder lacks a file.
        ValueError: a file is damaged, or is something else.
        RuntimeError: nothing in the cache and no mirror can be reached; the text names what to do.
    """
    if sample:
        with np.load(SAMPLE, allow_pickle=False) as arrays:
            parts = [arrays[name] for name in ("train_images", "train_labels", "test_images", "test_labels")]
    else:
        parts = MNIST.read(folder, download=not os.environ.get(VARIABLE), siblings=(FASHION,))
    return _ready(parts[0], parts[1], one_hot), _ready(parts[2], parts[3], one_hot)


def load_fashion_mnist(
    folder: str | Path | None = None, *, download: bool = False, one_hot: bool = True
) -> tuple[Labelled, Labelled]:
    """(x_train, t_train), (x_test, t_test) of Zalando's pieces of clothing, of the same shapes as MNIST.

    Looked for in this order: `folder`; the subfolder fashion-mnist of the folder that CNN_DATA_DIR names,
    or that folder itself; the cache. `FASHION_CLASSES` has the names of the classes.

    Args:
        folder: where the four files lie, which are called as MNIST's are, or each as .gz.
        download: whether they may be fetched from a mirror, with checksums, into the cache: 30 MB.
        one_hot: as in `load_mnist`.

    Returns:
        x float32 in [0, 1], (N, 1, 28, 28).

    Raises:
        FileNotFoundError: the folder lacks a file, or they are nowhere; the text names what to do.
        ValueError: a file is damaged, or is something else, such as MNIST's.
        RuntimeError: no mirror can be reached.
    """
    parts = FASHION.read(folder, download, siblings=(MNIST,))
    return _ready(parts[0], parts[1], one_hot), _ready(parts[2], parts[3], one_hot)


def load_digits(*, one_hot: bool = True) -> tuple[Labelled, Labelled]:
    """(x_train, t_train), (x_test, t_test) of scikit-learn's digits, 1437 and 360, which come with the package.

    The test set has 36 of each class, drawn once and for all.

    Args:
        one_hot: as in `load_mnist`.

    Returns:
        x float32 in [0, 1], (N, 1, 8, 8).
    """
    with np.load(DIGITS, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    test = np.isin(np.arange(len(labels)), stratified(labels, per_class=36, seed=2020))
    train, held = (_ready(images[part], labels[part], one_hot, top=16) for part in (~test, test))
    return train, held


def stratified(labels: NDArray[np.integer], per_class: int, seed: int) -> NDArray[np.int64]:
    """The places, in rising order, of `per_class` labels of each class, drawn with `seed`.

    Raises:
        ValueError: a class has fewer.
    """
    rng, chosen = np.random.default_rng(seed), []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        if len(places) < per_class:
            raise ValueError(f"class {label} has {len(places)} members; {per_class} were asked for")
        chosen.append(rng.choice(places, per_class, replace=False))
    return np.sort(np.concatenate(chosen))


def _ready(images: NDArray[np.uint8], labels: NDArray[np.uint8], one_hot: bool, top: int = 255) -> Labelled:
    x = np.divide(images[:, None], top, dtype=np.float32)
    return x, np.eye(10, dtype=np.float32)[labels] if one_hot else labels.astype(np.int64)
