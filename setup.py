"""Packaging: the configs travel inside the package (``nasdet/.mim``), where ``nasdet::`` looks for them.

Neither OpenMMLab stack is required by name, because two sets of packages own the modules ``mmdet``, ``mmcv`` and
``mmengine``; each of the extras names one.
"""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CARRIED = ['configs', 'model-index.yml']


class BuildWithConfigs(build_py):
    """Put the configs into the package: as links in an editable install, else as copies."""

    def run(self):
        """Build, then add the configs."""
        super().run()
        folder = (ROOT if self.editable_mode else Path(self.build_lib).resolve()) / 'nasdet' / '.mim'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in CARRIED:
            if self.editable_mode:
                os.symlink(os.path.join('..', '..', name), folder / name)
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copyfile(ROOT / name, folder / name)


setup(
    name='nasdet',
    description='Architecture search for object detectors, on MMDetection',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['nasdet', 'nasdet.*']),
    package_data={'nasdet': ['zoo/*.json']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['nasdet = nasdet.cli:main']},
    install_requires=[
        'torch>=2.1', 'torchvision>=0.16', 'numpy', 'scipy', 'scikit-learn', 'matplotlib', 'pillow', 'pycocotools',
        'rich',
    ],
    extras_require={
        'onedl': ['onedl-mmengine==0.10.12', 'onedl-mmcv==2.3.6', 'onedl-mmdetection==3.5.1'],
        'openmmlab': ['mmengine==0.10.7', 'mmcv==2.1.0', 'mmdet==3.3.0'],
        'coco': ['faster-coco-eval>=1.6'],
    },
    classifiers=[
        'Development Status :: 4 - Beta',
        'License :: OSI Approved :: Apache Software License',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
