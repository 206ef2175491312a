"""The wheel: it carries configs and genotypes, names no second stack, and offers the command."""

import email
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser

import pytest

from nasdet.version import __version__

SOURCES = ['nasdet', 'configs', 'setup.py', 'setup.cfg', 'MANIFEST.in', 'README.md', 'LICENSE', 'model-index.yml']
STACKS = ('mmdet', 'mmcv', 'mmengine', 'onedl', 'opencv')


@pytest.fixture(scope='module')
def wheel(repo_root, tmp_path_factory):
    """Build the wheel in a copy, since a build leaves files beside its sources."""
    folder = tmp_path_factory.mktemp('wheel')
    for name in SOURCES:
        source = repo_root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copy(source, folder / name)
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-index', '--no-build-isolation',
                    '--wheel-dir', str(folder / 'dist'), str(folder)], check=True)
    path, = (folder / 'dist').glob('*.whl')
    with zipfile.ZipFile(path) as archive:
        yield archive


def read(wheel, name: str) -> str:
    return wheel.read(f'nasdet-{__version__}.dist-info/{name}').decode()


def test_every_config_is_carried(wheel, repo_root):
    here = {f'nasdet/.mim/{path.relative_to(repo_root)}' for path in (repo_root / 'configs').rglob('*')
            if path.is_file() and path.suffix != '.pyc'}
    carried = {name for name in wheel.namelist() if name.startswith('nasdet/.mim/configs/')}
    assert here == carried and here
    assert 'nasdet/.mim/model-index.yml' in wheel.namelist()


def test_every_module_and_genotype_is_carried(wheel, repo_root):
    here = {str(path.relative_to(repo_root)) for suffix in ('py', 'json')
            for path in (repo_root / 'nasdet').rglob(f'*.{suffix}') if '.mim' not in path.parts}
    assert here <= set(wheel.namelist())


def test_no_stack_is_required(wheel):
    """Two sets of packages own mmdet, mmcv and mmengine: whichever is there must stay the only one."""
    metadata = email.message_from_string(read(wheel, 'METADATA'))
    required = [line for line in metadata.get_all('Requires-Dist') if 'extra ==' not in line]
    assert required
    assert not [line for line in required if line.startswith(STACKS)]
    assert set(metadata.get_all('Provides-Extra')) >= {'onedl', 'openmmlab'}
    assert metadata['Version'] == __version__
    assert set(metadata['Requires-Python'].split(',')) == {'>=3.10', '<3.13'}


def test_the_command_is_offered(wheel):
    entries = ConfigParser()
    entries.read_string(read(wheel, 'entry_points.txt'))
    assert entries['console_scripts']['nasdet'] == 'nasdet.cli:main'


def test_the_licence_is_carried(wheel):
    assert 'Apache License' in read(wheel, 'licenses/LICENSE')


def test_the_version_is_the_same_everywhere(repo_root):
    assert f'\nversion: {__version__}\n' in (repo_root / 'CITATION.cff').read_text()
    assert f'\n## {__version__}' in (repo_root / 'CHANGELOG.md').read_text()
