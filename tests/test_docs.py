"""README and docs: their Python runs, and what they name exists."""
import argparse
import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional

import pytest
import torch
from mmengine.config import Config

from bkdsnn import get_model
from helpers import REPOSITORY

PAGES = [path for path in (REPOSITORY / 'README.md', REPOSITORY / 'CHANGELOG.md',
                           *sorted((REPOSITORY / 'docs').rglob('*.md'))) if '_build' not in path.parts]
FENCE = re.compile(r'^(?P<fence>`{3,})(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=fence) *$', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\[[^\]]*\]\((?P<target>[^)\s]+)\)')
FOLDERS = 'benchmarks|bkdsnn|configs|docs|requirements|tests|tools'
REPOSITORY_PATH = re.compile(rf'(?<![\w./<-])(?:{FOLDERS})(?:/[\w.-]+)+')
BUILT = ('docs/_build', )


class Block(NamedTuple):
    """A fenced block; ``caption`` is the name of the file it shows, if it shows one."""

    language: str
    caption: Optional[str]
    code: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding='utf-8')
    for match in FENCE.finditer(text):
        language = match['info'].removeprefix('{code-block}').strip()
        options, code = {}, match['body']
        while language != match['info'] and (option := re.match(r':(\w+): *(.*)\n', code)):
            options[option[1]] = option[2]
            code = code[option.end():]
        line = text.count('\n', 0, match.end('info')) + 1 + len(options)
        yield Block(language, options.get('caption'), code, line)


def pages_with(*languages: str) -> List:
    found = [page for page in PAGES if any(block.language in languages for block in blocks(page))]
    return [pytest.param(page, id=name_of(page)) for page in found]


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def save_stand_in(name: str, folder: Path) -> None:
    """An untrained checkpoint, where a page speaks of one that the demo has trained."""
    folder.mkdir(parents=True)
    model = get_model(name)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=model.cfg.pretty_text)), folder / 'epoch_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))


@pytest.fixture
def workplace(user_folder):
    """A folder that looks like the repository after ``make demo`` but holds nothing of value."""
    for name, folder in (('demo/teacher', 'teacher'), ('demo/mixed', 'mixed'), ('demo/mixed', 'mixed/seed0')):
        save_stand_in(name, user_folder / 'work_dirs' / 'demo' / folder)
    return user_folder


def without_comments(code: str) -> str:
    return re.sub(r'^#.*\n', '', code, flags=re.MULTILINE).strip()


def config_texts() -> set:
    return {without_comments(path.read_text(encoding='utf-8')) for path in (REPOSITORY / 'configs').rglob('*.py')}


@pytest.mark.parametrize('page', pages_with('python'))
def test_python_of_the_page_runs(page, workplace):
    namespace = {'__name__': '__main__'}
    for block in blocks(page):
        if block.language != 'python':
            continue
        if block.caption:
            (workplace / block.caption).write_text(block.code, encoding='utf-8')
        elif block.code.startswith('_base_') or '\n_base_ = ' in block.code:
            assert without_comments(block.code) in config_texts(), f'{name_of(page)}:{block.line} is no file of configs'
        else:
            # Empty lines in front, so that a traceback has the page's line numbers.
            exec(compile('\n' * block.line + block.code, str(page), 'exec'), namespace)


@pytest.mark.parametrize('page', [pytest.param(page, id=name_of(page)) for page in PAGES])
def test_links_and_paths_of_the_page_exist(page):
    text = page.read_text(encoding='utf-8')
    prose = FENCE.sub('', text)
    targets = [match['target'].partition('#')[0] for match in LINK.finditer(prose)]
    lost = [t for t in targets if t and '://' not in t and not (page.parent / t).exists()]
    paths = [path.rstrip('.') for path in REPOSITORY_PATH.findall(text)]
    lost += [path for path in paths if not path.startswith(BUILT) and not (REPOSITORY / path).exists()]
    assert not lost, f'{name_of(page)} names what does not exist: {lost}'


@pytest.mark.parametrize('page', pages_with('bash', 'shell', 'console'))
def test_commands_of_the_page_exist(page):
    shown = {block.caption for block in blocks(page)}
    targets = set(re.findall(r'^([\w.-]+):', (REPOSITORY / 'Makefile').read_text(), re.MULTILINE))
    for block in blocks(page):
        if block.language not in ('bash', 'shell', 'console'):
            continue
        for script in re.findall(r'(?<![\w<-])[\w./-]+\.(?:py|sh)\b', block.code):
            assert script in shown or (REPOSITORY / script).exists(), f'{name_of(page)}: no script {script}'
        for target in re.findall(r'^make ([\w-]+)', block.code, re.MULTILINE):
            assert target in targets, f'{name_of(page)}: no make target {target}'


def test_all_arguments_of_the_tools_are_described_and_no_others():
    described = {}
    sections = re.split(r'^## ', (REPOSITORY / 'docs' / 'tools.md').read_text(encoding='utf-8'), flags=re.MULTILINE)
    for section in sections:
        heading, _, body = section.partition('\n')
        if heading.endswith('.py'):
            rows = ''.join(line.split('|')[1] for line in body.splitlines() if line.startswith('| `'))
            described[heading] = set(re.findall(r'--[\w-]+', rows))
    tools = {path.relative_to(REPOSITORY).as_posix(): path for folder in ('demo', 'tools')
             for path in (REPOSITORY / folder).rglob('*.py')}
    assert set(described) == set(tools)
    for name, path in tools.items():
        assert described[name] == arguments(path), name


def arguments(tool: Path) -> set:
    """Long options of a tool that its help shows."""
    source = tool.read_text(encoding='utf-8')
    if 'add_common_arguments' in source:
        source += (REPOSITORY / 'bkdsnn' / 'apis' / 'cli.py').read_text(encoding='utf-8')
    if 'add_demo_arguments' in source:
        source += (REPOSITORY / 'bkdsnn' / 'apis' / 'demo.py').read_text(encoding='utf-8')
    if 'add_export_arguments' in source:
        source += (REPOSITORY / 'bkdsnn' / 'export' / 'command.py').read_text(encoding='utf-8')
    calls = re.findall(r'add_argument\(\s*(.*?)\)\n', source, re.DOTALL)
    shown = [call for call in calls if argparse.SUPPRESS not in call and 'argparse.SUPPRESS' not in call]
    return {name[1] for name in (re.search(r"'(--[\w-]+)'", call) for call in shown) if name}


def test_every_key_of_the_distilled_demo_is_explained():
    text = (REPOSITORY / 'docs' / 'config.md').read_text(encoding='utf-8')
    cfg = Config.fromfile(REPOSITORY / 'configs' / 'demo' / 'mixed.py')
    unexplained = [key for key in cfg if not re.search(rf'`(?:model\.)?{key}[`.,]', text) and key != 'model']
    assert not unexplained, f'docs/config.md does not explain {unexplained}'
