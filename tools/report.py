"""The command ``nasdet report``."""

import sys

from nasdet.cli import main

if __name__ == '__main__':
    sys.exit(main(['report', *sys.argv[1:]]))
