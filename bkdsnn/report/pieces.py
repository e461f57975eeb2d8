"""Pieces of the report's page."""
import re
from dataclasses import dataclass
from html import escape
from typing import List, Mapping, Optional, Sequence

import numpy as np

from ..visualization.figures import SMALL, Look, data_uri

# Characters above which a column's name is turned.
UPRIGHT = 4
# Matplotlib's markers, in a line that runs at height 5.
MARKS = {'o': '<circle cx="20" cy="5" r="4" fill="{}"/>', 's': '<path d="M16 1h8v8h-8z" fill="{}"/>',
         '^': '<path d="M20 1l4.5 8h-9z" fill="{}"/>', 'D': '<path d="M20 0l5 5-5 5-5-5z" fill="{}"/>',
         'v': '<path d="M20 9l4.5-8h-9z" fill="{}"/>',
         'P': '<path d="M18.5 .5h3v3h3v3h-3v3h-3v-3h-3v-3h3z" fill="{}"/>'}


@dataclass(frozen=True)
class Section:
    """A part of the page, which :file:`page.html` lays out.

    Attributes:
        name: Of the place to jump to.
        title: Plain text.
        lead: One sentence on how to read it, HTML.
        body: HTML.
    """

    name: str
    title: str
    lead: str
    body: str


def missing(name: str, title: str, reason: str) -> Section:
    """A section that says why it is empty."""
    return Section(name, title, 'This could not be measured.', note(reason))


def note(reason: str, name: str = '') -> str:
    """Why something is not shown, of what ``name`` stands for."""
    return f'<p class="missing">{escape(f"{name}: {reason}" if name else reason)}</p>'


def figure(image: str, caption: str) -> str:
    """An image or chart over its caption."""
    return f'<figure>{image}<figcaption>{caption}</figcaption></figure>'


def img(image: np.ndarray, alt: str) -> str:
    """An RGBA image (H, W, 4) inside the page."""
    height, width = image.shape[:2]
    kind = 'photo' if min(height, width) > SMALL else 'pixels'
    return f'<img class="{kind}" src="{data_uri(image)}" width="{width}" height="{height}" alt="{escape(alt)}">'


def legend(names: Sequence[str], looks: Mapping[str, Look], markers: bool = True) -> str:
    """What the lines of a chart are; outside it, since names may be long."""
    return '<p class="legend">' + ''.join(
        f'<span>{_sample(looks[name], markers)} {breakable(name)}</span>' for name in names) + '</p>'


def _sample(look: Look, markers: bool) -> str:
    """A piece of a line as the chart draws it: dashes in multiples of its width."""
    dash = {'-': '', '--': '7.4 3.2', '-.': '12.8 3.2 2 3.2', ':': '2 3.3'}.get(
        look.dashes if isinstance(look.dashes, str) else '',
        ' '.join(str(2 * part) for part in look.dashes[1]) if isinstance(look.dashes, tuple) else '')
    return (f'<svg class="sample" viewBox="0 0 40 10" aria-hidden="true"><path d="M0 5H40" stroke="{look.colour}" '
            f'stroke-width="2.5" stroke-dasharray="{dash}"/>{MARKS[look.marker].format(look.colour) if markers else ""}'
            '</svg>')


def charts(*figures: str) -> str:
    """Charts side by side where there is room."""
    return f'<div class="charts">{"".join(figures)}</div>'


def pair(*parts: str) -> str:
    """Wider parts side by side where there is room."""
    return f'<div class="pair">{"".join(f"<div>{part}</div>" for part in parts if part)}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str = '', kind: str = 'results') -> str:
    """A table whose first column names the rows; cells are HTML.

    Args:
        heads: Of the columns; the first may be empty.
        rows: Cells, as many as heads.
        caption: Over the table.
        kind: Its class.
    """
    head = ''.join(f'<th scope="col">{name}</th>' if name else '<td></td>' for name in heads)
    body = ''.join(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
                   for first, *cells in rows)
    caption = f'<caption>{caption}</caption>' if caption else ''
    return (f'<div class="scroll"><table class="{kind}">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
            '</table></div>')


def stacked_table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str = '') -> str:
    """A table that a narrow window shows as a list: under each row's name, its cells with their columns' names."""
    named = [[first, *(f'<span class="of">{head}</span><span>{cell}</span>' if head else f'<div>{cell}</div>'
                       for head, cell in zip(heads[1:], cells))] for first, *cells in rows]
    return table(heads, named, caption, 'stacked')


def bar(share: float, text: str) -> str:
    """A number with a bar of the given length, from 0 to 1, under it."""
    return f'{text}<span class="bar" style="--share:{min(max(share, 0), 1):.3f}"></span>'


def heat_cell(strength: float, text: str) -> str:
    """A table cell whose colour grows with ``strength``, from 0 to 1; :file:`page.html` has the colours."""
    strength = 0.0 if np.isnan(strength) else round(min(max(strength, 0), 1), 2)
    # From where text in the other colour is easier to read: in a dark page, and in a light one.
    shade = 'high' if strength > 0.935 else 'half' if strength > 0.635 else 'low'
    return f'<td class="{shade}" style="--heat:{strength:.2f}">{text}</td>'


def heat_table(rows: Sequence[str], columns: Sequence[str], strength: np.ndarray, texts: Sequence[Sequence[str]],
               caption: str, corner: str) -> str:
    """A matrix as a table of coloured numbers.

    Args:
        rows: Names of the rows.
        columns: Of the columns.
        strength: (rows, columns), 0 to 1.
        texts: What the cells say.
        caption: Over the table.
        corner: What rows and columns are.
    """
    # Long names stand upright, so that columns stay narrow.
    head = ''.join(f'<th scope="col"{" class=upright" if len(name) > UPRIGHT else ""}>{escape(name)}</th>'
                   for name in columns)
    body = ''.join(f'<tr><th scope="row">{breakable(name)}</th>{"".join(map(heat_cell, line, text))}</tr>'
                   for name, line, text in zip(rows, strength.tolist(), texts))
    return (f'<div class="scroll"><table class="heat"><caption>{caption}</caption><thead><tr><td>{corner}</td>{head}'
            f'</tr></thead><tbody>{body}</tbody></table></div>')


def plus_minus(value: str, spread: Optional[float], digits: int = 2) -> str:
    """A mean with its spread, where it has one."""
    # On a phone, the line may break before the sign but not after it.
    return value if spread is None else f'{value} ±\N{NO-BREAK SPACE}{spread:.{digits}f}'


def breakable(name: str) -> str:
    """A name that may be broken into lines after its separators."""
    return re.sub(r'(?<=[._/-])(?=\w)', '<wbr>', escape(name))


def listing(names: List[str]) -> str:
    """Names as in a sentence."""
    names = list(map(escape, names))
    return ' and '.join([', '.join(names[:-1]), names[-1]]) if len(names) > 1 else ''.join(names)
