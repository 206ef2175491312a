"""The config that the benchmarks of MorphNet measure, and where they work."""

from pathlib import Path

from benchmarks import common

SEARCH = common.CONFIGS / 'morphnet' / 'retinanet_r18_digits.py'
TABLES = Path(__file__).parent
WORK_DIR = common.WORK_DIR / 'morphnet'
