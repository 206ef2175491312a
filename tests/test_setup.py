"""requirements/setup.sh: what it says before it begins, and that it is silent work once it is done."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLS = ('awk bash cat cut df dirname flock grep head ls mkdir nproc realpath rm sed sha256sum sleep tail touch tr env '
         'make').split()


@pytest.fixture
def machine(tmp_path) -> Path:
    """A folder of programs that has all that the set-up needs but g++, so that it ends before it makes anything."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name))
    (folder / 'python3').symlink_to(sys._base_executable)
    return folder


def program(folder: Path, name: str, output: str) -> None:
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{output}"\n')
    path.chmod(0o755)


def setup(root: Path, *arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run([root / 'requirements' / 'setup.sh', *map(str, arguments)], text=True, capture_output=True,
                          env={**os.environ, **environment})


def test_what_is_missing_is_named_as_packages(repo_root, machine, tmp_path):
    done = setup(repo_root, tmp_path / 'venv', PATH=str(machine), PYTHON='')
    assert done.returncode == 1
    assert done.stderr.startswith('set-up: missing on this machine: apt-get install ')
    assert 'g++' in done.stderr.split()
    assert not (tmp_path / 'venv' / 'bin').exists()


@pytest.mark.parametrize('gpu, nvcc, sentence', [
    (None, None, 'no GPU found: runs stay on the CPU'),
    (None, '12.8', 'no GPU found (nvcc 12.8 is there, but no driver with a GPU): runs stay on the CPU'),
    ('A100, 570.1', None, 'GPU A100, 570.1 (name, driver), but no nvcc'),
    ('A100, 570.1', '13.0', 'GPU A100, 570.1 (name, driver), but nvcc is 13.0 and torch is built for CUDA 12'),
    ('A100, 570.1', '12.8', "nvcc 12.8: mmcv's operators are compiled for CUDA"),
])
def test_the_hardware_is_named(repo_root, machine, tmp_path, gpu, nvcc, sentence):
    if gpu:
        program(machine, 'nvidia-smi', gpu)
    if nvcc:
        program(machine, 'nvcc', f'Cuda compilation tools, release {nvcc}, V{nvcc}.93')
    done = setup(repo_root, tmp_path / 'venv', PATH=str(machine), PYTHON='')
    assert sentence in done.stdout
    assert ('runs stay on the CPU' in done.stdout) == ('compiled for CUDA' not in sentence)


def test_an_environment_for_another_hardware_has_another_key(repo_root, machine):
    on_cpu = setup(repo_root, '--key', PATH=str(machine), PYTHON='').stdout
    program(machine, 'nvidia-smi', 'A100, 570.1')
    program(machine, 'nvcc', 'release 12.8, V12.8.93')
    with_gpu = setup(repo_root, '--key', PATH=str(machine), PYTHON='').stdout
    assert len(on_cpu.strip()) == len(with_gpu.strip()) == 16
    assert on_cpu != with_gpu


def test_the_key_follows_the_requirements(repo_root, tmp_path):
    copy = tmp_path / 'requirements'
    shutil.copytree(repo_root / 'requirements', copy)
    assert setup(tmp_path, '--key').stdout == setup(repo_root, '--key').stdout
    with (copy / 'runtime.txt').open('a') as file:
        file.write('one-more==1.0\n')
    assert setup(tmp_path, '--key').stdout != setup(repo_root, '--key').stdout


def test_another_stack_is_another_environment(repo_root):
    keys = [setup(repo_root, '--key', STACK=name).stdout.strip() for name in ('', 'original')]
    assert len(set(keys)) == 2 and all(keys)
    done = setup(repo_root, '--key', STACK='none-such')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.startswith('set-up: STACK=none-such: there is no ')


def test_an_environment_keeps_its_stack(repo_root, tmp_path):
    (tmp_path / '.nasdet').mkdir()
    (tmp_path / '.nasdet' / 'stack').write_text('original\n')
    done = setup(repo_root, tmp_path, STACK='')
    assert done.returncode == 1
    assert "was made with STACK='original', not with STACK=''" in done.stderr


def test_a_python_that_does_not_serve_is_named(repo_root, tmp_path, machine):
    done = setup(repo_root, tmp_path / 'venv', PYTHON='/bin/false')
    assert (done.returncode, done.stderr) == (1, 'set-up: PYTHON=/bin/false is not a Python 3.10, 3.11 or 3.12\n')
    (machine / 'python3').unlink()
    done = setup(repo_root, tmp_path / 'venv', PATH=str(machine), PYTHON='')
    assert done.returncode == 1
    assert 'apt-get install python3 python3-venv python3-dev' in done.stderr


def test_a_folder_of_something_else_is_left_alone(repo_root, tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    done = setup(repo_root, tmp_path)
    assert done.returncode == 1
    assert 'is not empty and not an environment' in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_once_made_it_is_ready_at_once(repo_root):
    if not (Path(sys.prefix) / '.nasdet').exists():
        pytest.skip('this environment was not made by requirements/setup.sh')
    stack = Path(sys.prefix) / '.nasdet' / 'stack'
    started = time.monotonic()
    done = setup(repo_root, sys.prefix, STACK=stack.read_text().strip() if stack.exists() else '')
    assert done.returncode == 0
    assert f'{sys.prefix} is ready' in done.stdout
    assert done.stdout.count('\n') == 1
    assert time.monotonic() - started < 2
