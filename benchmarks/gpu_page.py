"""What :mod:`bench_gpu` measured, as a section of the docs."""
from typing import Dict, List

COMMAND = 'python benchmarks/bench_gpu.py'
TARGETS = dict(neuron_share_of_copy='of the rate of copies that a neuron reaches, at least 0.8 wanted',
               neuron_speedup="times as fast as spikingjelly's fastest neuron, at least 1.2 wanted",
               step_speedup="times as fast as spikingjelly's fastest step in bf16, at least 1.3 wanted",
               step_ann_ratio='times T steps of the ANN in bf16, at most 1.15 wanted')


def gpu_section(result: dict) -> List[str]:
    """Lines of the page; an empty ``result`` says that it was not run."""
    lines = ['### GPU', '', f'`{COMMAND}`', '']
    if not result:
        return [*lines, 'Not run.', '']
    sections = result['sections']
    lines += ['| smallest, of the ratio to the ANN largest | |', '|---|---|']
    lines += [f'| {result[key]:.3g} | {what} |' for key, what in TARGETS.items() if key in result]
    lines += neuron_table(sections) + step_table(sections) + recipe_table(sections) + profiles(sections)
    for key, what in (('failed', 'Failed'), ('skipped', 'Not run for lack of time')):
        if result[key]:
            lines += ['', f'{what}: {", ".join(result[key])}.']
    card = sections.get('card', {})
    rate = f', which copies {card["copy_gb_per_s"]:.0f} GB/s' if 'copy_gb_per_s' in card else ''
    versions = dict(result['versions'], CUDA=card.get('cuda'), driver=card.get('driver'), **card.get('packages', {}))
    versions = ', '.join(f'{name} {version}' for name, version in versions.items() if version)
    return [*lines, '', f'({card.get("card", "unknown card")}{rate}; {versions}; {result["date"]}.)', '']


def times_of(times: Dict[str, dict], side: str) -> str:
    return f'{times[side]["median_ms"]:.3g} ({times[side]["minimum_ms"]:.3g})' if side in times else ''


def number(row: dict, key: str) -> str:
    return f'{row[key]:.3g}' if row.get(key) is not None else ''


def neuron_table(sections: Dict[str, dict]) -> List[str]:
    rows = []
    for name, section in sections.items():
        for dtype, found in section.items() if name.startswith('neuron ') and name != 'neuron others' else ():
            for direction in ('forward', 'forward_backward'):
                row = found.get(direction) if isinstance(found, dict) else None
                if row:
                    fastest = row.get('fastest', '')
                    rows.append(f'| {name.removeprefix("neuron ")} | {dtype} | {direction.replace("_", " and ")} | '
                                f'{times_of(row["times"], "ours")} | {number(row["share_of_copy"], "ours")} | '
                                f'{times_of(row["times"], fastest)} | {fastest} | {number(row, "speedup")} |')
    head = ['', '| neuron | dtype | | ours, ms (minimum) | share of copy | spikingjelly, ms (minimum) | its fastest | '
            'speedup |', '|---|---|---|---|---|---|---|---|']
    return [*head, *rows] if rows else []


def step_table(sections: Dict[str, dict]) -> List[str]:
    rows = []
    for name, row in sections.items():
        if not name.startswith('step ') or 'times' not in row:
            continue
        chosen, cells = row['chosen'], []
        for side in ('ours', 'spikingjelly', 'ann'):
            option = row['options'][side].get(chosen.get(side), {})
            cells.append(f'{times_of(row["times"], side)} | {option.get("peak_mib", 0):.0f} | {chosen.get(side, "")}')
        rows.append(f'| {name.removeprefix("step ")}, {row["batch_size"]} images | {" | ".join(cells)} | '
                    f'{number(row, "speedup")} | {number(row, "ann_ratio")} |')
    head = ['', '| step | ours, ms (minimum) | MiB | with | spikingjelly | MiB | with | ANN | MiB | with | speedup | '
            'ANN ratio |', '|' + '---|' * 12]
    return [*head, *rows] if rows else []


def recipe_table(sections: Dict[str, dict]) -> List[str]:
    rows = [f'| {name.removeprefix("recipe ")} | {row["batch_size"]} | {row["dtype"].removeprefix("torch.")} | '
            f'{row["median_ms"]:.0f} ({row["minimum_ms"]:.0f}) | {row["images_per_second"]:.0f} | '
            f'{row["peak_mib"]:.0f} |'
            for name, row in sections.items() if name.startswith('recipe ') and 'images_per_second' in row]
    head = ['', '| distillation config | images a step | dtype | ms (minimum) | images/s | MiB |', '|' + '---|' * 6]
    return [*head, *rows] if rows else []


def profiles(sections: Dict[str, dict]) -> List[str]:
    lines = []
    for name, section in sections.items():
        if name.startswith('profile ') and 'kernels' in section:
            lines += ['', f'Kernels of a step of {name.removeprefix("profile ")} in bf16, {section["ms"]:.1f} ms in '
                      f'{section["launches"]:.0f} launches:', '', '| kernel | ms | calls | share |', '|' + '---|' * 4]
            lines += [f'| `{kernel["name"].replace("|", "/")[:70]}` | {kernel["ms"]:.2f} | {kernel["calls"]:.0f} | '
                      f'{kernel["share"]:.0%} |' for kernel in section['kernels']]
    return lines
