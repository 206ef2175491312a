import json
import os
import subprocess
import sys

from nasdet.training import PathSamplingHook
from tests.training.toys import BlockSpace


def run(root, folder):
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2',
               '-m', 'tests.training.two_ranks', str(folder)]
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1')
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)


def ranks(folder):
    return [json.loads((folder / f'rank{rank}.json').read_text()) for rank in (0, 1)]


def test_two_ranks_train_one_path_end_together_and_resume(repo_root, tmp_path):
    done = run(repo_root, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = ranks(tmp_path / 'straight')
    expected = [PathSamplingHook(BlockSpace()).path(3, iteration).value['block'] for iteration in range(4)]
    assert first['paths'] == second['paths'] == expected
    assert first['iterations'] == second['iterations'] == 4
    assert first['weights'] == second['weights']

    # An iteration moves its own block alone: neither decay nor the momentum of an earlier iteration moves another one.
    assert expected[0] != expected[-1], 'the test needs a block that has momentum while another one is trained'
    assert first['moved'] == second['moved'] == [[block] for block in expected]

    used = {f'searched.blocks.{block}.' for block in expected}
    assert 0 < len(used) < 4, 'the test needs a block that is never drawn'
    never = [name for name in first['weights'] if name.startswith('searched') and not name.startswith(tuple(used))]
    assert never and not set(never) & set(first['stepped'])

    resumed = ranks(tmp_path / 'resumed')
    assert resumed[0]['paths'] == expected[2:]
    assert resumed[0]['weights'] == resumed[1]['weights'] == first['weights']
