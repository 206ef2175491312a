"""The built-in detection data as files, for a training without a search: ``python -m nasdet.digits FOLDER``."""

import argparse
import inspect
import sys
from typing import Optional, Sequence

from nasdet.datasets import make_digits
from nasdet.errors import SearchError


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the data below a folder, and print where they are.

    Args:
        argv: Without the program's name; default: what the process was started with.

    Returns:
        Exit status: 0, or 1 after one sentence about what is wrong.
    """
    parser = argparse.ArgumentParser('python -m nasdet.digits', description='Make the built-in detection data.')
    parser.add_argument('root', help='folder that may hold several such sets')
    sizes = inspect.signature(make_digits).parameters
    for name in ('train', 'val', 'test', 'size', 'seed'):
        parser.add_argument(f'--{name}', type=int, default=sizes[name].default, help=f'default: {sizes[name].default}')
    try:
        print(make_digits(**vars(parser.parse_args(argv))))
    except SearchError as error:
        print(f'nasdet: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
