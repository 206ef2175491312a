"""The main job on the built-in data (`make demo`): search a neck, export it, train and test it with MMDetection.

A weight-shared supernet is trained, a recurrent controller (PPO) searches over it, the best neck is exported, and it
and FPN are trained from scratch by MMDetection's own tools and tested once on the test split. Called again, the demo
goes on where it stands.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs' / 'nas_fpn' / 'retinanet_r18_digits_supernet_ppo.py'
WORK_DIR = ROOT / 'work_dirs' / 'demo'
FLOOR = 0.12     # test mAP of the found neck at least: half of what a calibration run gave (0.239; FPN 0.251)
ITERATION = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]')


def run(title: str, *command: str) -> None:
    """Run one step with its own progress on the terminal; a failure ends the demo."""
    print(f'== {title}', flush=True)
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True)


def stock_tool(name: str) -> Path:
    """Return MMDetection's own tools/NAME, which its package carries."""
    import mmdet
    return Path(mmdet.__file__).parent / '.mim' / 'tools' / name


def write_configs() -> dict[str, Path]:
    """Write the training configs of the found neck and of FPN; return them by name."""
    from mmengine.config import Config

    from nasdet.export import detector_config
    prepared = Config.fromfile(str(WORK_DIR / 'config.py'))
    found = WORK_DIR / 'best' / 'config.py'
    fpn = WORK_DIR / 'fpn' / 'config.py'
    fpn.parent.mkdir(exist_ok=True)
    fpn.write_text(detector_config(prepared, prepared.model).pretty_text)
    return dict(found=found, fpn=fpn)


def train(configs: dict[str, Path]) -> None:
    """Train all configs at once, one core each, with one progress bar."""
    from mmengine.config import Config

    from nasdet.console import Bar
    processes = [start(f'train_{name}', stock_tool('train.py'), config, '--work-dir', WORK_DIR / f'train_{name}',
                       '--resume') for name, config in configs.items()]
    epochs = Config.fromfile(str(configs['found'])).train_cfg.max_epochs
    with Bar('training (found neck and FPN)', 100) as bar:
        while any(process.poll() is None for process in processes):
            bar.update(min(int(100 * progress(WORK_DIR / f'train_{name}.log', epochs)) for name in configs))
            time.sleep(1)
    wait(processes)


def progress(log: Path, epochs: int) -> float:
    """Return which part of its training a log of MMDetection has reached."""
    found = ITERATION.findall(log.read_text())
    if not found:
        return 0.0
    epoch, iteration, iterations = map(int, found[-1])
    return (epoch - 1 + iteration / iterations) / epochs


def test(configs: dict[str, Path]) -> dict[str, float]:
    """Test the last checkpoints at once with MMDetection's tool; return COCO mAP on the test split by name."""
    outs = {name: WORK_DIR / f'test_{name}' for name in configs}
    processes = []
    for name, config in configs.items():
        checkpoint = (WORK_DIR / f'train_{name}' / 'last_checkpoint').read_text().strip()
        processes.append(start(f'test_{name}', stock_tool('test.py'), config, checkpoint, '--work-dir', outs[name]))
    wait(processes)
    newest = {name: max(out.glob('*/*.json'), key=lambda path: path.stat().st_mtime) for name, out in outs.items()}
    return {name: json.loads(path.read_text()).get('coco/bbox_mAP', 0.0) for name, path in newest.items()}


def start(name: str, *command) -> subprocess.Popen:
    """Start a process on one core, with its output in WORK_DIR/NAME.log."""
    with open(WORK_DIR / f'{name}.log', 'w') as output:
        return subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, stdout=output,
                                stderr=subprocess.STDOUT, env={**os.environ, 'OMP_NUM_THREADS': '1'})


def wait(processes: list[subprocess.Popen]) -> None:
    """Wait for all; a failure ends the demo."""
    for process in processes:
        if process.wait():
            sys.exit(f'this failed, see the logs in {WORK_DIR}:\n{" ".join(process.args)}')


def main() -> int:
    """Run all steps; 0 when each worked and the found neck reached the floor."""
    started = time.monotonic()
    print(f'nasdet demo: about 7 minutes on 2 cores; everything lies in {WORK_DIR}', flush=True)
    run('1/3 train the supernet, search over it with a controller (PPO)', '-m', 'nasdet', 'search', CONFIG,
        '--work-dir', WORK_DIR)
    print('== 2/3 train the found neck, and FPN, from scratch with MMDetection', flush=True)
    configs = write_configs()
    train(configs)
    print('== 3/3 test both on the test split with MMDetection', flush=True)
    scores = test(configs)
    print(f'\ntest mAP: {scores["found"]:.3f} found neck, {scores["fpn"]:.3f} FPN '
          f'(one seed each: an example of the way, no evidence for either)')
    print(f'report:   {WORK_DIR / "report.html"}\nconfig:   {configs["found"]}\n'
          f'pictures: {WORK_DIR / "pictures"}\n{time.monotonic() - started:.0f} s in all')
    if scores['found'] < FLOOR:
        print(f'the found neck is below the floor of {FLOOR} mAP: something is wrong', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
