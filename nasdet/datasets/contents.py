"""Hashes of data, in memory and on a disk: files may move, but not change."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Union


def digest(*parts: Any) -> str:
    """Return a short hash of some JSON data (what JSON does not know enters as its text)."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Union[str, Path]) -> str:
    """Return the hash of a file's bytes; read again only when its size or time of change has changed."""
    status = Path(path).stat()
    return _hash_file(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash_file(path: str, size: int, changed: int) -> str:
    hashed = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(2 ** 20):
            hashed.update(block)
    return hashed.hexdigest()


def hash_folder(path: Union[str, Path]) -> str:
    """Return the hash of the names and sizes of all files below a folder; to read ImageNet would take minutes."""
    folder = Path(path)
    files = sorted((str(file.relative_to(folder)), file.stat().st_size) for file in folder.rglob('*') if file.is_file())
    return hashlib.sha256(repr(files).encode()).hexdigest()
