"""The config that the benchmarks of BigNAS measure, and where they work."""

from pathlib import Path

from benchmarks import common

SEARCH = common.CONFIGS / 'bignas' / 'mbconv_digits_coarse_to_fine.py'
TABLES = Path(__file__).parent
WORK_DIR = common.WORK_DIR / 'bignas'
SIDE = 32           # of the images that the config's networks are given, in pixels
