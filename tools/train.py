"""The command ``nasdet train``."""

import sys

from nasdet.cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
