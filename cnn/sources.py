"""`Source`: a data set of four idx files, and where it is looked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnn.idx import read_idx

VARIABLE = "CNN_DATA_DIR"


@dataclass(frozen=True)
class Source:
    """A data set of four idx files, in the order train images, train labels, test images, test labels.

    Attributes:
        title: its name.
        loader: that of the function that loads it, for messages.
        subfolder: its own folder in the one that CNN_DATA_DIR names, and in the cache.
        digests: SHA-256 of each .gz file, by the file's name without .gz.
        mirrors: where they may be had.
        first: the first training labels, to tell it from siblings whose files have the same names.
        way_out: what to do without files and network, for messages.
    """

    title: str
    loader: str
    subfolder: str
    digests: dict[str, str]
    mirrors: tuple[str, ...]
    first: tuple[int, ...]
    way_out: str

    def read(self, folder: str | Path | None, download: bool, siblings: tuple[Source, ...]) -> list[NDArray[np.uint8]]:
        """The four arrays: from `folder`, if one is given; or from where CNN_DATA_DIR says, or the cache.

        Args:
            folder: where they lie, as .gz or not.
            download: whether what is not there may be fetched into the cache, and checked.
            siblings: the data sets that it could be mistaken for.

        Raises:
            FileNotFoundError: they are not there; the text names what is, and what to do.
            ValueError: a file is damaged, or they are a sibling's, or not of one data set.
            RuntimeError: no mirror can be reached.
        """
        places = [*_named(self.subfolder), *([] if download else [self.cache()])]  # a download looks there itself
        place = self._first(places, siblings) if folder is None else Path(folder).expanduser()
        if place is not None:
            paths = [self._find(place, name) for name in self.digests]
        elif download:
            paths = [self._fetched(f"{name}.gz", digest) for name, digest in self.digests.items()]
        else:
            raise FileNotFoundError(self._nowhere())
        parts = [read_idx(path) for path in paths]
        for other in siblings:
            if other.has(parts[1]):
                raise ValueError(f"{paths[1].parent} holds {other.title}: use {other.loader}, or give another folder")
        _check_parts(parts)
        return parts

    def has(self, labels: NDArray[np.generic]) -> bool:
        """Whether these are its training labels."""
        return labels.ndim == 1 and tuple(labels[: len(self.first)].tolist()) == self.first

    def cache(self) -> Path:
        """The folder that downloads go to."""
        import pooch

        return Path(pooch.os_cache("ipython-gpuprof")) / self.subfolder

    def _first(self, places: list[Path], siblings: tuple[Source, ...]) -> Path | None:
        """The first of `places` that has one of its files and is not a sibling's, or None."""
        labels = list(self.digests)[1]
        for place in places:
            there = [path for name in self.digests for path in _both(place, name) if path.is_file()]
            mine = [path for path in _both(place, labels) if path in there]
            if there and not any(other.has(read_idx(path)) for path in mine for other in siblings):
                return place
        return None

    def _find(self, folder: Path, name: str) -> Path:
        for path in _both(folder, name):
            if path.is_file():
                return path
        if folder.is_file():
            raise FileNotFoundError(f"{folder} is a file; give the folder that the four {self.title} files lie in")
        there = ", ".join(sorted(each.name for each in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"{folder} has neither {name} nor {name}.gz (there is: {there or 'nothing'}). Give the folder of the four "
            f"{self.title} files, unset {VARIABLE} for the cache, or {self.way_out}"
        )

    def _nowhere(self) -> str:
        looked = ", ".join(map(str, (*_named(self.subfolder), self.cache())))
        return (
            f"{self.title} is not in {looked}. Put its four files there, give their folder, {self.loader}(folder), or "
            f"{self.way_out}"
        )

    def _fetched(self, name: str, digest: str) -> Path:
        import pooch

        failures = []
        for mirror in self.mirrors:
            try:
                return Path(pooch.retrieve(mirror + name, f"sha256:{digest}", fname=name, path=self.cache()))
            except (OSError, ValueError) as error:  # no connection; a page of something else
                failures.append(f"{mirror}: {error}")
        raise RuntimeError(
            f"{name} is neither in the cache ({self.cache()}) nor to be had from the mirrors. Three ways out: give the "
            f"folder of the four {self.title} files, {self.loader}(folder) or {VARIABLE}=folder; put them into the "
            "cache by hand; or connect to the network and try again. "
            + ("" if "download=True" in self.way_out else f"Or {self.way_out}. ")  # that is what was just tried
            + "What failed: "
            + "; ".join(failures)
        )


def _named(subfolder: str) -> list[Path]:
    """Where CNN_DATA_DIR says that a data set may be; set to "" is unset."""
    named = os.environ.get(VARIABLE)
    home = Path(named).expanduser() if named else None
    return [] if home is None else [home / subfolder, home]


def _both(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / name, folder / f"{name}.gz"


def _check_parts(parts: list[NDArray[np.uint8]]) -> None:
    for images, labels, name in ((parts[0], parts[1], "train"), (parts[2], parts[3], "test")):
        if images.shape[1:] != (28, 28) or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"the {name} files hold images {images.shape} and labels {labels.shape}; expected (N, 28, 28) and (N,) "
                "with the same N: are they of one data set, and not swapped?"
            )
        if labels.size and labels.max() > 9:
            raise ValueError(f"the {name} labels go up to {labels.max()}; expected digits, 0 to 9")
