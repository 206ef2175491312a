"""nasdet's wheel beside OpenMMLab's last own releases: mmdet 3.3.0, mmcv 2.1.0, mmengine 0.10.7.

    python benchmarks/original_stack.py FOLDER      (any Python 3.10 to 3.12: it needs nothing installed)

Makes an environment of that stack in FOLDER/venv (requirements/setup.sh, which compiles mmcv: ten minutes on 2 cores),
installs the wheel with an ordinary `pip install`, and takes a tiny search over two kills to MMDetection's own tools,
all outside the checkout. Prints each step and its seconds; ends with status 1 at the first check that fails.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ['nasdet', 'configs', 'setup.py', 'setup.cfg', 'MANIFEST.in', 'README.md', 'LICENSE', 'model-index.yml']
SHOWN = ['nasdet', 'mmdet', 'mmcv', 'mmengine', 'torch', 'torchvision', 'numpy']
CONFIG = 'nasdet::nas_fpn/retinanet_r18_digits_supernet_ppo.py'
TINY = ['search.data.train=24', 'search.data.val=8', 'search.data.test=8', 'search.budget.trials=12',
        'search.searcher.batch=4', 'search.estimator.epochs=3', 'search.estimator.recalibration_images=16',
        'train_cfg.max_epochs=2', 'train_dataloader.batch_size=8']
TRUST = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'      # lets torch read mmengine's checkpoints
UNREADABLE = 'Weights only load failed'         # torch's words where mmengine fails to read one
ALL_BOXES = ['--cfg-options', 'model.test_cfg.score_thr=0.0']       # so little trained, all scores are low
PIP = ('python', '-m', 'pip')
COMPARE = """
import pickle, sys, torch
found = [[image['pred_instances'] for image in pickle.load(open(path, 'rb'))] for path in sys.argv[1:]]
print(sum(len(boxes['scores']) for boxes in found[0]), 'boxes')
sys.exit(not all(torch.equal(a[name], b[name]) for a, b in zip(*found, strict=True) for name in ('bboxes', 'scores')))
"""


class CheckFailed(Exception):
    """What is not as it should be on this stack."""


def check(condition: bool, sentence: str) -> None:
    """Raise CheckFailed with a sentence unless a condition holds."""
    if not condition:
        raise CheckFailed(sentence)


@contextmanager
def step(title: str):
    """Print a step, then its seconds."""
    print(f'{title} ...', flush=True)
    started = time.monotonic()
    yield
    print(f'    {time.monotonic() - started:.0f} s', flush=True)


class Stack:
    """The environment, and programs that run in it outside the checkout.

    Args:
        folder: Holds the environment (``venv``, which is kept) and what the check makes (``work``, made afresh).
    """

    def __init__(self, folder: Path):
        self.venv = folder.resolve() / 'venv'
        self.work = folder.resolve() / 'work'

    def make(self) -> None:
        """Make the environment, or bring it up to date; empty the work folder."""
        subprocess.run([ROOT / 'requirements' / 'setup.sh', self.venv], env={**os.environ, 'STACK': 'original'},
                       check=True)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()

    def start(self, name: str, *command, **variables: str) -> subprocess.Popen:
        """Start a program of the environment in the work folder, with its output in ``NAME.log`` there."""
        program = [self.venv / 'bin' / command[0], *map(str, command[1:])]
        inherited = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', TRUST)}
        environment = {**inherited, 'CUDA_VISIBLE_DEVICES': '', **variables}
        with open(self.log(name), 'w') as log:
            return subprocess.Popen(program, cwd=self.work, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def run(self, name: str, *command, status: int = 0, **variables: str) -> str:
        """Run a program to its end, which must be of a given status; return its output."""
        ended = self.start(name, *command, **variables).wait()
        output = self.log(name).read_text()
        check(ended == status, f'{name} ended with status {ended} instead of {status}:\n{output[-3000:]}')
        return output

    def run_until(self, name: str, condition: Callable[[], bool], *command, **variables: str) -> str:
        """Run a program and kill -9 it once a condition holds; return its output."""
        process = self.start(name, *command, **variables)
        while process.poll() is None and not condition():
            time.sleep(0.02)
        ended = process.poll()
        process.kill()
        process.wait()
        output = self.log(name).read_text()
        check(ended is None, f'{name} ended by itself, with status {ended}:\n{output[-3000:]}')
        return output

    def log(self, name: str) -> Path:
        """Return the file of a program's output."""
        return self.work / f'{name}.log'

    def packages(self) -> dict[str, str]:
        """Return the versions of what is installed, by name."""
        output = self.run('packages', *PIP, 'list', '--format', 'json')
        return {package['name']: package['version'] for package in json.loads(output)}

    def tool(self, name: str) -> Path:
        """Return MMDetection's own tools/NAME, which its package carries."""
        path, = self.venv.glob(f'lib/python3*/site-packages/mmdet/.mim/tools/{name}')
        return path


def install_wheel(stack: Stack) -> None:
    """Build the wheel from a copy of the sources, and install it with whatever it asks for."""
    sources = stack.work / 'sources'
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copy(ROOT / name, sources / name)
    stack.run('wheel', *PIP, 'wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', stack.work, sources)
    wheel, = stack.work.glob('nasdet-*.whl')
    stack.run('uninstall', *PIP, 'uninstall', '--yes', 'nasdet')
    before = stack.packages()
    stack.run('install', *PIP, 'install', wheel)
    after = stack.packages()
    print('    ' + ', '.join(f'{name} {after[name]}' for name in SHOWN))
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    check(changed == ['nasdet'], f'pip install of the wheel touched {", ".join(changed)}')
    second = [name for name in after if name.startswith('onedl') or name == 'opencv-python']
    check(not second, f'beside what was there lie {", ".join(second)}')
    place = stack.run('place', 'python', '-c', 'import nasdet; print(nasdet.__file__)')
    check(place.startswith(str(stack.venv)), f'nasdet is imported from {place}')


def search(stack: Stack) -> None:
    """Kill a search while it trains and while it searches.

    Its first words say that a training cannot go on here, and how it can; without that, going on is refused.
    """
    folder = stack.work / 'search'
    command = ('nasdet', 'search', CONFIG, '--work-dir', folder, '--cfg-options', *TINY)
    output = stack.run_until('search_1', lambda: (folder / 'supernet' / 'epoch_1.pth').exists(), *command)
    warning = output.splitlines()[1]
    check('no training can be resumed' in warning and f'set {TRUST}=1' in warning, f'the search begins with: {warning}')
    print(f'    {warning}')
    refusal = stack.run('search_2', *command, status=1)
    check('Traceback' not in refusal and 'nasdet: cannot go on from' in refusal, f'no sentence refuses:\n{refusal}')
    stack.run_until('search_3', lambda: 'trial 0 ' in (folder / 'search.log').read_text(), *command, **{TRUST: '1'})
    stack.run('search_4', *command)         # the supernet is trained: nothing of mmengine's has to be read
    told = re.findall(r'INFO trial (\d+) .*ok', (folder / 'search.log').read_text())
    check(sorted(told, key=int) == [str(number) for number in range(12)], f'told were the trials {told}')


def use_stock_tools(stack: Stack) -> None:
    """Train, resume and test what the search has left with MMDetection's own tools."""
    best, trained = stack.work / 'search' / 'best', stack.work / 'trained'
    train = ('python', stack.tool('train.py'), best / 'config.py', '--work-dir', trained)
    with step('tools/train.py'):
        stack.run('train', *train)
    resume = (*train, '--resume', '--cfg-options', 'train_cfg.max_epochs=3')
    with step(f'tools/train.py --resume: fails; works with {TRUST}=1'):
        check(UNREADABLE in stack.run('resume_1', *resume, status=1), 'resuming failed for another reason')
        stack.run('resume_2', *resume, **{TRUST: '1'})
        check((trained / 'epoch_3.pth').exists(), 'the resumed training has left no checkpoint')
    tested = (best / 'config.py', trained / 'epoch_3.pth', '--work-dir', stack.work / 'test')
    test = ('python', stack.tool('test.py'), *tested)
    with step(f'tools/test.py on a checkpoint of tools/train.py: fails; works with {TRUST}=1'):
        check(UNREADABLE in stack.run('test_1', *test, status=1), 'testing failed for another reason')
        stack.run('test_2', *test, **{TRUST: '1'})
    with step('nasdet test on it: refused in one sentence'):
        refusal = stack.run('test_3', 'nasdet', 'test', *tested, status=1)
        check('Traceback' not in refusal and f'set {TRUST}=1' in refusal.splitlines()[-1], f'not refused:\n{refusal}')


def use_exports(stack: Stack) -> None:
    """Test the weights of both exports, the standalone one with nasdet gone; the predictions are the same."""
    best, alone = stack.work / 'search' / 'best', stack.work / 'alone'
    with step('tools/test.py on the exported weights'):
        linked = predict(stack, best, stack.work / 'test_best')
    with step('nasdet export --standalone, tools/test.py on it without nasdet'):
        stack.run('export', 'nasdet', 'export', stack.work / 'search', '--standalone', '--out', alone)
        stack.run('uninstall', *PIP, 'uninstall', '--yes', 'nasdet')
        unlinked = predict(stack, alone, stack.work / 'test_alone', PYTHONPATH=str(alone))
        compared = stack.run('compare', 'python', '-c', COMPARE, linked, unlinked)
    check(int(compared.split()[0]) > 0, 'no boxes were predicted')
    stack.run('install_again', *PIP, 'install', *stack.work.glob('nasdet-*.whl'))


def predict(stack: Stack, export: Path, folder: Path, **variables: str) -> Path:
    """Test an export with MMDetection's tools/test.py; return the file of its predictions."""
    predictions = folder.with_suffix('.pkl')
    stack.run(folder.name, 'python', stack.tool('test.py'), export / 'config.py', export / 'weights.pth', '--work-dir',
              folder, '--out', predictions, *ALL_BOXES, **variables)
    return predictions


def main() -> int:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='for environment and outputs, outside the checkout; about 9 GB')
    stack = Stack(parser.parse_args().folder)
    try:
        with step('environment of the original stack'):
            stack.make()
        with step('wheel, pip install'):
            install_wheel(stack)
        with step('search, killed in its training and in its trials'):
            search(stack)
        use_stock_tools(stack)
        use_exports(stack)
    except CheckFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    print('the original stack works')
    return 0


if __name__ == '__main__':
    sys.exit(main())
