"""Plain text and log lines: one item a line, whose only column is `text`.

Blank lines are neither items nor rejected rows: logs are full of them, and they say nothing.
"""

from collections.abc import Iterator

from pipeline.adapters.sources.feed import Block
from pipeline.adapters.sources.render import Renderer
from pipeline.domain.errors import ConfigError
from pipeline.ports.source import Row


def check_columns(renderer: Renderer) -> None:
    """Raise ConfigError when the job wants a column that lines do not have."""
    foreign = sorted(set(renderer.needed) - {"text"})
    if foreign:
        msg = (
            f"{renderer.source} is read as lines, whose only column is text; the job also wants: {', '.join(foreign)}. "
            'Write text = "{text}" and no key in the job, or give --format csv, tsv or jsonl'
        )
        raise ConfigError(msg)


def line_rows(blocks: Iterator[Block], renderer: Renderer) -> Iterator[Row]:
    """Yield one row for each line that is not blank."""
    width = len(renderer.needed)
    row = renderer.row
    for block in blocks:
        flaws = block.flaws
        for number, line in enumerate(block.lines, block.first_line):
            if flaws and number in flaws:
                yield renderer.rejected(number, flaws[number])
                continue
            text = line.rstrip("\r\n")
            if text and not text.isspace():
                yield row(number, (text,) * width)
