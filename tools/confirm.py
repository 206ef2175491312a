"""The command ``nasdet confirm``."""

import sys

from nasdet.cli import main

if __name__ == '__main__':
    sys.exit(main(['confirm', *sys.argv[1:]]))
