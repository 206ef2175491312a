"""The configs that the benchmarks of NAS-FPN measure, and where they work."""

from pathlib import Path

from benchmarks import common

CONFIGS = common.CONFIGS / 'nas_fpn'
PROXY = CONFIGS / 'retinanet_r18_digits_training_evolution.py'
SUPERNET = CONFIGS / 'retinanet_r18_digits_supernet_ppo.py'
OWN_DATA = CONFIGS / 'retinanet_r18_own_data_supernet_ppo.py'
TABLES = Path(__file__).parent
WORK_DIR = common.WORK_DIR / 'nas_fpn'
