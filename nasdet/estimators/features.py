"""The maps that leave a backbone, computed once and kept on disk for every candidate and every worker."""

import fcntl
import logging
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterable, Iterator

import torch
from mmengine.device import get_device

from nasdet.errors import SearchError

logger = logging.getLogger(__name__)
MEBIBYTE, GIBIBYTE = 2 ** 20, 2 ** 30


class FeatureCache:
    """Keeps the maps of sets of images below one folder.

    A set is a folder that gets its name when it is complete; one process writes it while others wait.

    Args:
        folder: Made where absent; caches of several supernets may share it.
        gigabytes: What all sets in the folder may take together (GiB).
    """

    def __init__(self, folder: Path, gigabytes: float):
        self.folder = folder
        self.gigabytes = gigabytes

    def announce(self, images: int, size: float) -> None:
        """Log what features will take.

        Args:
            images: Of all sets.
            size: Bytes.

        Raises:
            SearchError: More than ``cache_gigabytes`` allows, or than the disk has.
        """
        with self._locked():
            self._announce(images, size)

    def load(self, name: str, key: str, loader: Iterable[dict], extract: Callable[[dict], dict]) -> 'StoredBatches':
        """Return the maps of a set, and compute and write them first where no process has done so.

        Args:
            name: What the images are, for a person.
            key: Hash of all that the maps depend on.
            loader: Gives the batches of images, with ``dataset``.
            extract: Turns one into ``dict(maps=tuple of tensors, metainfo=list of plain dicts)``.

        Raises:
            SearchError: As :meth:`announce` raises it.
        """
        folder = self.folder / f'{name}-{key}'
        with self._locked():
            if not folder.exists():
                self._tidy(name)
                self._write(folder, loader, extract)
        return StoredBatches(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / 'lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)    # released where the file is closed, or its process killed
            yield

    def _announce(self, images: int, size: float) -> float:
        """Announce and return the bytes that the cache has room for."""
        what = f'features of {images:,} images: {_readable(size)} in {self.folder}'
        taken = sum(file.stat().st_size for file in self.folder.rglob('*.pt'))
        free = shutil.disk_usage(self.folder).free
        room = self.gigabytes * GIBIBYTE - taken
        way_out = 'score fewer images, or leave out cache_features, and every candidate runs the backbone again'
        if size > room:
            raise SearchError(f'{what}, where others take {_readable(taken)}, but cache_gigabytes={self.gigabytes:g}: '
                              f'raise it, {way_out}')
        if size > free:
            raise SearchError(f'{what}, but its disk has {_readable(free)} left: make room, name a folder of another '
                              f'disk with features_dir, {way_out}')
        logger.info(what)
        return room

    def _tidy(self, name: str) -> None:
        """Remove what killed processes left (we hold the lock), and say which complete sets are of no use here."""
        for unfinished in self.folder.glob('*.partial'):
            shutil.rmtree(unfinished)
        for other in self.folder.glob(f'{name}-*'):
            logger.warning('%s is of another supernet or of other data and is not used: delete it where no other '
                           'search needs it', other)

    def _write(self, folder: Path, loader: Iterable[dict], extract: Callable[[dict], dict]) -> None:
        temporary = folder.with_name(f'{folder.name}.partial')
        temporary.mkdir()
        images = len(loader.dataset)
        try:
            for number, batch in enumerate(loader):
                stored = extract(batch)
                if number == 0:
                    room = self._announce(images, size_of(stored) / len(stored['metainfo']) * images)
                room -= size_of(stored)
                if room < 0:
                    raise SearchError(f'features outgrow cache_gigabytes={self.gigabytes:g}, since later images are '
                                      f'larger than the first: search in another work dir with a larger '
                                      f'cache_gigabytes; checkpoint takes the trained supernet over')
                _save(stored, temporary / f'{number:06d}.pt')
        except BaseException:
            shutil.rmtree(temporary)
            raise
        os.replace(temporary, folder)


class StoredBatches:
    """The batches of one set, read-only, in order, as often as they are asked for.

    Each batch's file is mapped into memory while the batch is used, so that all workers share the system's page
    cache. The mapping is private: what a network writes into its inputs reaches neither the file nor the next pass.

    Args:
        folder: Of :meth:`FeatureCache.load`.
    """

    def __init__(self, folder: Path):
        self.files = sorted(folder.glob('*.pt'))

    def __iter__(self) -> Iterator[dict]:
        from mmdet.structures import DetDataSample  # takes seconds; other estimators do without
        device = get_device()
        for file in self.files:
            stored = torch.load(str(file), mmap=True, weights_only=True)
            yield dict(maps=tuple(level.to(device) for level in stored['maps']),
                       data_samples=[DetDataSample(metainfo=info) for info in stored['metainfo']])


def size_of(stored: dict) -> int:
    """Return the bytes of a batch's maps."""
    return sum(level.nbytes for level in stored['maps'])


def _save(stored: dict, path: Path) -> None:
    """Write a batch and flush it to the disk, before the folder gets the name that says it is complete."""
    with open(path, 'wb') as file:
        torch.save(stored, file)
        file.flush()
        os.fsync(file.fileno())


def _readable(size: float) -> str:
    return f'{size / GIBIBYTE:.1f} GiB' if size >= GIBIBYTE else f'{size / MEBIBYTE:.1f} MiB'
