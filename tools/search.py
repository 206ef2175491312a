"""The command ``nasdet search``."""

import sys

from nasdet.cli import main

if __name__ == '__main__':
    sys.exit(main(['search', *sys.argv[1:]]))
