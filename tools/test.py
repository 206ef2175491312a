"""The command ``nasdet test``."""

import sys

from nasdet.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
