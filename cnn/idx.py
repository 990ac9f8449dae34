"""Idx files, the format of MNIST and its siblings: a header with the sizes, then bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNSIGNED_BYTES = 0x08  # the third byte of the magic number: the type of the values


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """The array in an idx file (gzipped, if its name ends in .gz): a header with the sizes, then bytes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, truncated, or no idx file of bytes; with what was expected and what came.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give an idx file in it")
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
