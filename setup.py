"""Installation of the package; configs, tools and demos travel inside it, under ``bkdsnn/.mim``, as in mmpretrain."""
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def requirements(name: str) -> list:
    return (ROOT / 'requirements' / f'{name}.txt').read_text().split()


def version() -> str:
    scope: dict = {}
    exec((ROOT / 'bkdsnn' / 'version.py').read_text(), scope)
    return scope['__version__']


class BuildWithConfigs(build_py):
    """Copies configs with their weights, tools and demos into the wheel. An editable install uses the repository's."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'bkdsnn' / '.mim'
        shutil.rmtree(target, ignore_errors=True)  # of an earlier build
        for name in ('configs', 'tools', 'demo'):
            shutil.copytree(ROOT / name, target / name, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
        shutil.copy(ROOT / 'model-index.yml', target)


setup(
    name='bkdsnn',
    version=version(),
    description='Spiking neural networks trained by distilling them from ordinary networks',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10',
    packages=find_packages(include=['bkdsnn', 'bkdsnn.*']),
    package_data={'bkdsnn': ['datasets/splits/*', 'models/layers/*.cpp', 'report/*.html',
                             'play/assets/*']},
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('tests', 'docs', 'bench', 'optional')},
    cmdclass={'build_py': BuildWithConfigs},
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    keywords='spiking neural networks, knowledge distillation, neuromorphic, image classification')
