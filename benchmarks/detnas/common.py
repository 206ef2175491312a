"""The configs that the benchmarks of DetNAS measure, and where they work."""

from pathlib import Path

from benchmarks import common

CONFIGS = common.CONFIGS / 'detnas'
PROXY = CONFIGS / 'retinanet_digits_training_evolution.py'
SUPERNET = CONFIGS / 'retinanet_digits_evolution.py'
TABLES = Path(__file__).parent
WORK_DIR = common.WORK_DIR / 'detnas'
