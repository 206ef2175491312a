"""Runs a benchmark's command."""

import os
import subprocess
import sys


def run(repo_root, name, *arguments) -> subprocess.CompletedProcess:
    """Run ``python -m benchmarks.NAME`` from the root of the checkout, and return what it said."""
    command = [sys.executable, '-m', f'benchmarks.{name}', *map(str, arguments)]
    return subprocess.run(command, cwd=repo_root, env={**os.environ, 'PYTHONPATH': str(repo_root)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
