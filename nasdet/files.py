"""Writing a file so that nobody ever sees half of it."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: a reader, or a run after a kill, sees the old or the new one.

    Args:
        path: The file; its folder exists.
        content: Of the file.
    """
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    temporary.write_bytes(content)
    os.replace(temporary, path)
