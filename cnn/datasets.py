"""MNIST: from a folder, the cache, a download, or the sample that comes with the package.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits"; data/README.md says how the
sample was drawn, data/LICENSE.txt on what terms it is passed on.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Labelled: TypeAlias = tuple[NDArray[np.generic], NDArray[np.generic]]

# In the order train images, train labels, test images, test labels: name and SHA-256 of the .gz file.
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
SAMPLE = Path(__file__).parent / "data" / "mnist_sample.npz"
UNSIGNED_BYTES = 0x08  # the third byte of an idx file's magic number: the type of its values


def load_mnist(
    folder: str | Path | None = None, *, sample: bool = False, one_hot: bool = True
) -> tuple[Labelled, Labelled]:
    """(x_train, t_train), (x_test, t_test) of the handwritten digits, as NumPy arrays.

    Looked for in this order: `folder`; the folder that CNN_DATA_DIR names; the cache; the mirrors,
    with checksums, into the cache.

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
        parts = _sample()
    else:
        place = folder if folder is not None else os.environ.get("CNN_DATA_DIR") or None  # set to "" is unset
        paths = _download() if place is None else [_find(Path(place).expanduser(), name) for name in FILES]
        parts = [read_idx(path) for path in paths]
    _check_parts(parts)
    return _ready(parts[0], parts[1], one_hot), _ready(parts[2], parts[3], one_hot)


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """The array in an idx file (gzipped, if its name ends in .gz): a header with the sizes, then bytes.

    Raises:
        ValueError: damaged, truncated, or no idx file of bytes; with what was expected and what came.
    """
    path = Path(path)
    advice = "get the file anew, or let load_mnist() download it"
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is a damaged or truncated .gz file ({error}): {advice}") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTES]) or not 1 <= content[3] <= 3:
        raise ValueError(
            f"{path} starts with {content[:4].hex(' ') or 'nothing'}; an idx file of bytes starts with "
            "00 00 08 and the "
            f"number of axes, 01 for labels or 03 for images: {advice}"
        )
    header = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:header].ljust(header - 4, b"\0"))
    if len(content) != header + math.prod(shape):
        raise ValueError(
            f"{path} announces {shape}, so {header + math.prod(shape)} bytes; it has {len(content)}: {advice}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


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


def _sample() -> list[NDArray[np.uint8]]:
    with np.load(SAMPLE, allow_pickle=False) as arrays:
        return [arrays[name] for name in ("train_images", "train_labels", "test_images", "test_labels")]


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    if folder.is_file():
        raise FileNotFoundError(f"{folder} is a file; give the folder that the four MNIST files lie in")
    there = ", ".join(sorted(each.name for each in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
    raise FileNotFoundError(
        f"{folder} has neither {name} nor {name}.gz (there is: {there or 'nothing'}). Give the folder of the four "
        "MNIST files, unset CNN_DATA_DIR for the cache and the download, or use load_mnist(sample=True)"
    )


def _download() -> list[Path]:
    """The four files in the cache, downloaded where they are missing or no longer whole."""
    import pooch

    cache = Path(pooch.os_cache("ipython-gpuprof")) / "mnist"
    return [_retrieve(f"{name}.gz", digest, cache) for name, digest in FILES.items()]


def _retrieve(name: str, digest: str, cache: Path) -> Path:
    import pooch

    failures = []
    for mirror in MIRRORS:
        try:
            return Path(pooch.retrieve(mirror + name, f"sha256:{digest}", fname=name, path=cache))
        except (OSError, ValueError) as error:  # no connection; a page of something else
            failures.append(f"{mirror}: {error}")
    raise RuntimeError(
        f"{name} is neither in the cache ({cache}) nor to be had from the mirrors. Three ways out: give the folder of "
        "the four MNIST files, load_mnist(folder) or CNN_DATA_DIR=folder; put them into the cache by hand; or connect "
        "to the network and try again. load_mnist(sample=True) needs none of these. What failed: " + "; ".join(failures)
    )


def _check_parts(parts: list[NDArray[np.uint8]]) -> None:
    for images, labels, name in ((parts[0], parts[1], "train"), (parts[2], parts[3], "test")):
        if images.shape[1:] != (28, 28) or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"the {name} files hold images {images.shape} and labels {labels.shape}; expected (N, 28, 28) and (N,) "
                "with the same N: are they of one data set, and not swapped?"
            )
        if labels.size and labels.max() > 9:
            raise ValueError(f"the {name} labels go up to {labels.max()}; expected digits, 0 to 9")


def _ready(images: NDArray[np.uint8], labels: NDArray[np.uint8], one_hot: bool) -> Labelled:
    x = np.divide(images[:, None], 255, dtype=np.float32)
    return x, np.eye(10, dtype=np.float32)[labels] if one_hot else labels.astype(np.int64)
