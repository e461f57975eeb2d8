"""What a comparison tells while it goes on."""
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .plan import name_of, text_of
from .work import Progress


class View:
    """A line for each finished run, and on a terminal a bar.

    Args:
        progress: Of the comparison.
        console: Where to write.
    """

    def __init__(self, progress: Progress, console: Console) -> None:
        self.progress, self.console = progress, console
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TextColumn('runs'),
                   TimeElapsedColumn(), TextColumn('ETA'), TimeRemainingColumn())
        self.bar = Bar(*columns, console=console, speed_estimate_period=3600, disable=not console.is_terminal)
        self.told = set(progress.ledger.lines())
        self.task = self.bar.add_task('Comparing')
        if done := progress.done():
            console.print(f'{done} of {progress.total()} runs were done before and are not repeated.', highlight=False)

    def __enter__(self) -> 'View':
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
        if failed := self.progress.failed():
            self.console.print(f'Failed runs: {failed}; --retry-failed trains them once more.', highlight=False)

    def update(self) -> None:
        """Tell what is new."""
        lines, done, total = self.progress.ledger.lines(), self.progress.done(), self.progress.total()
        for key in [key for key in lines if key not in self.told]:
            self.told.add(key)
            self.console.print(f'[{done}/{total}] {describe(lines[key])}', highlight=False, markup=False,
                               soft_wrap=True)
        self.bar.update(self.task, completed=done, total=total)


def describe(line: dict) -> str:
    """A result in a line of text."""
    name = name_of(line['method'], line.get('neuron'), line.get('variation'))
    what = f'{name} {text_of(line["point"])} seed {line["seed"]}'
    if line['status'] == 'failed':
        return f'{what}: FAILED, {line["reason"]}'
    return f'{what}: {line["accuracy"]:.2f} % of the {line["split"]} split'
