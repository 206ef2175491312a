"""``python -m nasdet`` is the console command."""

import sys

from nasdet.cli import main

sys.exit(main())
