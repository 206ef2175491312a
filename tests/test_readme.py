"""What README, docs and the configs' pages tell a reader to type exists: targets, commands, flags, files."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from nasdet.cli import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', *sorted(ROOT.glob('docs/**/*.md')), *sorted(ROOT.glob('configs/**/*.md')),
         *sorted(ROOT.glob('benchmarks/**/*.md'))]
# The first part of a path that, in code marks, must be one of the repository.
FOLDERS = ('nasdet', 'configs', 'tools', 'tests', 'docs', 'benchmarks', 'requirements')
KNOWN = {'apt-get', 'pip', 'torchrun', 'cat', 'cd'}
PYTHON = ('python', 'python3')
FENCED = re.compile(r'```.*?```', flags=re.DOTALL)


def commands(text: str) -> list[str]:
    """Return the lines of the shell blocks, with continued lines joined and comments dropped."""
    blocks = re.findall(r'```(?:bash|sh|shell|console)\n(.*?)```', text, flags=re.DOTALL)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    return [line.removeprefix('$ ').strip() for line in lines if line.strip() and not line.lstrip().startswith('#')]


def mentions(text: str) -> list[str]:
    """Return the commands that stand in code marks within the text, such as in a table."""
    marked = re.findall(r'`((?:make|nasdet|torchrun|python3?)\s[^`]+)`', FENCED.sub('', text))
    return [' '.join(line.split()) for line in marked]


def indented(text: str) -> list[str]:
    """Return the lines of code blocks that are indented instead of fenced."""
    return [line for line in FENCED.sub('', text).splitlines() if line.startswith((' ' * 4, '\t'))]


def paths(text: str) -> list[str]:
    """Return what stands in code marks and begins with a folder of the repository, patterns and placeholders apart."""
    marked = re.findall(r'`([\w./-]+)`', FENCED.sub('', text))
    linked = re.findall(r'\]\((?!https?:|#)([^)#]+)', text)
    return [name for name in marked if name.partition('/')[0] in FOLDERS and '/' in name] + linked


def targets() -> set[str]:
    phony = re.search(r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), flags=re.MULTILINE)
    return set(phony.group(1).split())


def problem_of(line: str, whole: bool = True) -> str:
    """Return what is wrong with a command line, or nothing.

    Args:
        line: Of a shell.
        whole: Whether it can be typed as it stands; else it is a mention, which may leave out a command's arguments.
    """
    words = [word for word in shlex.split(line, comments=True) if not re.match(r'[A-Z_]+=', word)]
    name, rest = words[0], words[1:]
    tool = next((word for word in words if re.fullmatch(r'(tools|benchmarks|requirements|tests)/\S+', word)), None)
    if tool is not None and not (ROOT / tool).exists():
        return f'no file {tool}'
    if name == 'make':
        return f'no target {rest}' if not rest or not set(rest) <= targets() else ''
    if name == 'nasdet':
        placeholders = range(1 if whole else 3)
        return min((_refusal([*rest, *['X'] * number]) for number in placeholders), key=len)
    if tool is not None and Path(tool).stem in COMMANDS and Path(tool).parent.name == 'tools':
        return _refusal([Path(tool).stem, *words[words.index(tool) + 1:]])
    if name in PYTHON and tool is None:
        return '' if len(rest) > 1 and rest[0] == '-m' and _runs(rest[1]) else f'python cannot run {" ".join(rest)}'
    return '' if tool is not None or name in KNOWN else f'unknown program {name}'


def _runs(module: str) -> bool:
    """Tell whether ``python -m MODULE`` has something to run."""
    try:
        spec = find_spec(module)
        return spec is not None and (spec.submodule_search_locations is None
                                      or find_spec(f'{module}.__main__') is not None)
    except ModuleNotFoundError:
        return False


def _refusal(arguments: list[str]) -> str:
    try:
        args = build_parser().parse_args(arguments)
    except SystemExit as refused:
        return f'the parser refuses {arguments}' if refused.code else ''
    config = getattr(args, 'config', 'CONFIG')
    relative = config.removeprefix('nasdet::') if config.startswith('nasdet::') else None
    if relative is not None and not (ROOT / 'configs' / relative).exists():
        return f'no config {config}'
    if config.startswith('configs/') and not (ROOT / config).exists():
        return f'no config {config}'
    return ''


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_exists(page):
    text = page.read_text()
    problems = {line: problem_of(line) for line in commands(text)}
    problems.update({line: problem_of(line, whole=False) for line in mentions(text)})
    assert not {line: problem for line, problem in problems.items() if problem}
    assert not indented(text), 'no one reads these commands: fence them'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_exists(page):
    missing = [name for name in paths(page.read_text())
               if not (ROOT / name).exists() and not (page.parent / name).exists()]
    assert not missing


def test_the_readme_begins_with_demo_and_test():
    assert commands((ROOT / 'README.md').read_text())[:2] == ['make demo', 'make test']


@pytest.mark.parametrize('line', [
    'make no-such-target', 'make', 'nasdet seek CONFIG', 'nasdet search CONFIG --no-such-flag', 'nasdet search',
    'python tools/no_such_tool.py', 'nasdet search configs/no_such.py --work-dir D', 'frobnicate now',
    'python -m benchmarks.no_such', 'python -m no_such.module', 'python -m benchmarks', 'python no_such.py', 'python',
    'nasdet train nasdet::no/such.py', 'torchrun --nproc-per-node 2 tools/train.py CONFIG --launcher nothing',
])
def test_what_does_not_exist_is_found(line):
    """The check itself: each of these must be a problem."""
    assert problem_of(line)


@pytest.mark.parametrize('line', ['nasdet seek', 'nasdet confirm --no-such-flag', 'make nothing',
                                  'python -m benchmarks.no_such'])
def test_a_mention_of_what_does_not_exist_is_found(line):
    text = f'| speed | `{line}` |\n\n```bash\nmake test\n```\n'
    assert mentions(text) == [line] and problem_of(line, whole=False)
    assert indented(f'Then:\n\n    {line}\n\n```bash\n    make test\n```\n') == [f'    {line}']
