"""The messages that docs/troubleshooting.md quotes, by section."""
import re

from helpers import REPOSITORY

PAGE = (REPOSITORY / 'docs' / 'troubleshooting.md').read_text()
SECTIONS = {text.partition('\n')[0]: text for text in re.split(r'^## ', PAGE, flags=re.MULTILINE)[1:]}


def quoted(section):
    """Lines of the blocks of a section."""
    return [line for block in re.findall(r'```text\n(.*?)```', SECTIONS[section], re.DOTALL)
            for line in block.splitlines()]


def assert_given(lines, messages, logged=()):
    """Each line is one of the messages, or of what was logged; where it has three dots, there may be anything."""
    given = [*(f'Error: {message}' for message in messages), *logged]
    assert lines
    for line in lines:
        pattern = '.*'.join(map(re.escape, line.split('...')))
        assert any(re.fullmatch(pattern, message) for message in given), line
