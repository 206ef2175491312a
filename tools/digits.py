"""The command ``nasdet digits``."""

import sys

from nasdet.cli import main

if __name__ == '__main__':
    sys.exit(main(['digits', *sys.argv[1:]]))
