"""The commands: what they accept, what they answer to bad input, and how fast they answer."""

import errno
import sqlite3
import subprocess
import sys
import time
import types

import pytest

from nasdet import cli
from nasdet.errors import SearchError


@pytest.fixture
def command(monkeypatch):
    """Let ``nasdet report`` carry out a function of the test's."""
    def install(function):
        module = types.ModuleType('nasdet_test_command')
        module.main = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, 'report', (module.__name__, 'main'))
    return install


def raiser(error):
    def function(args):
        raise error
    return function


def test_a_command_gets_its_arguments_and_gives_its_status(command):
    seen = []
    command(lambda args: seen.append(args.work_dir) or 7)
    assert cli.main(['report', 'some/folder']) == 7
    assert seen == ['some/folder']


def test_a_search_error_is_one_sentence(command, capsys):
    command(raiser(SearchError('no boxes in a.json')))
    assert cli.main(['report', 'x']) == 1
    assert capsys.readouterr().err == 'nasdet: no boxes in a.json\n'


@pytest.mark.parametrize('error', [
    OSError(errno.ENOSPC, 'No space left on device'),
    OSError(errno.EDQUOT, 'Disk quota exceeded'),
    sqlite3.OperationalError('database or disk is full'),
    RuntimeError('[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file data/3'),
])
def test_a_full_disk_is_named(command, capsys, error):
    command(raiser(error))
    assert cli.main(['report', 'x']) == 1
    assert 'the disk is full' in capsys.readouterr().err


@pytest.mark.parametrize('error', [OSError(errno.EACCES, 'denied'), sqlite3.OperationalError('locked'),
                                   RuntimeError('size mismatch'), ValueError('a defect')])
def test_other_errors_keep_their_traceback(command, error):
    command(raiser(error))
    with pytest.raises(type(error)):
        cli.main(['report', 'x'])


def test_an_interrupt_has_the_shells_status(command):
    command(raiser(KeyboardInterrupt()))
    assert cli.main(['report', 'x']) == 130


def test_options_are_parsed_as_mmengine_does():
    args = cli.build_parser().parse_args(['search', 'c.py', '--work-dir', 'w', '--control', '--cfg-options',
                                          'search.budget.trials=8', 'a.b=[1,2]', 'flag=True'])
    assert args.cfg_options == {'search.budget.trials': 8, 'a.b': [1, 2], 'flag': True}
    assert (args.config, args.work_dir, args.control) == ('c.py', 'w', True)


def test_an_option_without_a_value_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.build_parser().parse_args(['search', 'c.py', '--cfg-options', 'search.seed'])
    assert exit_info.value.code == 2
    assert 'KEY=VALUE' in capsys.readouterr().err


def test_resume_takes_a_path_or_none():
    parser = cli.build_parser()
    assert parser.parse_args(['train', 'c.py']).resume is None
    assert parser.parse_args(['train', 'c.py', '--resume']).resume == 'auto'
    assert parser.parse_args(['train', 'c.py', '--resume', 'e.pth']).resume == 'e.pth'


def test_a_missing_config_is_one_sentence(capsys):
    assert cli.main(['train', 'no/such/config.py']) == 1
    error = capsys.readouterr().err
    assert error.startswith('nasdet: cannot read the config no/such/config.py') and error.count('\n') == 1


def test_the_first_line_comes_before_torch(repo_root):
    """The process says what it does at once: the imports that take seconds come after."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, 'tools/train.py', 'no/such/config.py'], cwd=repo_root, text=True,
                               stdout=subprocess.PIPE)
    first = process.stdout.readline()
    seconds = time.monotonic() - started
    process.kill()
    process.communicate()
    assert first.startswith('nasdet ') and first.endswith(': train\n')
    assert seconds < 2


def test_the_parser_needs_neither_torch_nor_mmengine(repo_root):
    code = ('import sys; from nasdet.cli import build_parser; build_parser(); '
            'sys.exit(any(name in sys.modules for name in ("torch", "mmengine", "numpy")))')
    assert subprocess.run([sys.executable, '-c', code], cwd=repo_root).returncode == 0


@pytest.mark.parametrize('name', sorted(cli.COMMANDS))
def test_each_tool_is_its_command(repo_root, name):
    done = subprocess.run([sys.executable, f'tools/{name}.py', '--help'], cwd=repo_root, text=True, capture_output=True)
    assert done.returncode == 0
    assert done.stdout.startswith(f'usage: nasdet {name} ')
