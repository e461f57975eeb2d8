"""Several machines train as one: two network namespaces joined by a cable, and tasks of a Slurm that is played."""
import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bkdsnn.checkpoints.files import load_file
from helpers import REPOSITORY, assert_same_checkpoint, demo_config, run_tool_in_processes, tool_environment

TESTS = Path(__file__).parents[1]
SETTINGS = ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'PORT', 'MAX_RESTARTS', 'JOIN_TIMEOUT', 'GPUS',
            'GPUS_PER_NODE')
EPOCHS = 2
# Sums the ranks of all processes, a second time after one has died where that is asked for.
MEET = '''
import os, signal, sys
import torch.distributed as dist
from torch import tensor
dist.init_process_group('gloo')
if sys.argv[2:] == [os.environ['RANK']] and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0':
    os.kill(os.getpid(), signal.SIGKILL)
total = tensor(dist.get_rank() + 1)
dist.all_reduce(total)
open(f'{sys.argv[1]}-{dist.get_rank()}', 'w').write(f"{total} {os.environ['MASTER_PORT']}")
dist.barrier()
dist.destroy_process_group()
'''
# Starts as many tasks as it is told, with their names, and waits for them.
SRUN = f'''#!{sys.executable}
import os, subprocess, sys
given = dict(word.split('=', 1) for word in sys.argv if word.startswith('--') and '=' in word)
number, command = int(given['--ntasks']), sys.argv[sys.argv.index('-u') - 1:]
print(sys.argv[1:sys.argv.index('-u') - 1])
names = dict(SLURM_JOB_ID='4711', SLURM_NTASKS=str(number), SLURM_NODELIST='node[1-2]')
tasks = [subprocess.Popen(command, env=dict(os.environ, SLURM_PROCID=str(i), SLURM_LOCALID='0', **names))
         for i in range(number)]
sys.exit(max(task.wait() for task in tasks))
'''
SCONTROL = '''#!/bin/sh
[ "$*" = "show hostnames node[1-2]" ] && printf '127.0.0.1\\nnode2\\n'
'''


def environment(**env):
    path = os.pathsep.join(map(str, (TESTS, REPOSITORY)))
    return {**{k: v for k, v in tool_environment(PYTHONPATH=path).items() if k not in SETTINGS}, **env}


def script(name, *arguments, **env):
    """Run a script of tools."""
    return subprocess.run([REPOSITORY / 'tools' / name, *map(str, arguments)], env=environment(**env),
                          capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize('arguments, env, words', [
    ((), dict(NNODES='2'), 'NNODES=2 needs MASTER_ADDR, the address of the machine with NODE_RANK=0'),
    ((), dict(NNODES='1:4'), 'NNODES=1:4 is no whole number of at least 1.'),
    ((), dict(NODE_RANK='1'), 'NODE_RANK=1, but machines are numbered from 0 to NNODES - 1, and NNODES=1.'),
    ((), dict(NNODES='2', NODE_RANK='2'), 'NODE_RANK=2, but machines are numbered'),
    ((), dict(NODE_RANK='-1'), 'NODE_RANK=-1 is no whole number of at least 0.'),
    (('--resume', ), dict(MAX_RESTARTS='often'), 'MAX_RESTARTS=often is no whole number of at least 0.'),
    ((), dict(MAX_RESTARTS='3'), 'MAX_RESTARTS=3 needs --resume without a file'),
    (('--resume', 'x.pth', '--amp'), dict(MAX_RESTARTS='3'), 'MAX_RESTARTS=3 needs --resume without a file'),
    ((), dict(JOIN_TIMEOUT='0'), 'JOIN_TIMEOUT=0 is no whole number of at least 1.'),
    ((), dict(PORT='http'), 'PORT=http is no whole number of at least 1.'),
    ((), dict(PORT='99999'), 'port 99999 of this machine is taken or not allowed.'),
    ((), dict(NNODES='2', MASTER_ADDR='127.0.0.1.5'), 'MASTER_ADDR=127.0.0.1.5 with PORT=29500 is no address'),
    ((), dict(NNODES='2', MASTER_ADDR='192.0.2.1'), 'MASTER_ADDR=192.0.2.1 is 192.0.2.1, which is not where others'),
    ((), dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='127.0.0.1', PORT='1', JOIN_TIMEOUT='1'),
     'nothing answers at port 1 of MASTER_ADDR=127.0.0.1 after JOIN_TIMEOUT=1 seconds (Connection refused).'),
])
def test_settings_that_cannot_work_are_named_before_anything_starts(arguments, env, words):
    done = script('dist_train.sh', 'config.py', 2, *arguments, **env)
    assert done.returncode == 1 and done.stdout == '' and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith(f'Error: {words}')


@pytest.mark.parametrize('env, words', [
    (dict(GPUS='all'), 'GPUS=all is no whole number'), (dict(GPUS='12'), 'GPUS=12 cannot be GPUS_PER_NODE=8 on each'),
    (dict(GPUS='4', GPUS_PER_NODE='0'), 'GPUS=4 cannot be GPUS_PER_NODE=0 on each machine.')])
def test_tasks_that_do_not_fill_machines_are_refused(env, words):
    done = script('slurm_train.sh', 'part', 'job', 'config.py', 'work', **env)
    assert done.returncode == 1 and done.stderr.startswith(f'Error: {words}')


@pytest.mark.parametrize('name', ['slurm_train.sh', 'slurm_test.sh', 'dist_train.sh', 'dist_test.sh'])
def test_too_few_arguments_show_what_a_script_takes(name):
    done = script(name, 'part')
    assert done.returncode == 1 and done.stderr.startswith(f'Usage: tools/{name} ')


def test_two_runs_at_once_meet_at_ports_of_their_own(tmp_path):
    """One of them a second time, after one of its processes was killed."""
    (tmp_path / 'meet.py').write_text(MEET)
    with ExitStack() as stack:
        for name, rank, restarts in (('a', '1', '1'), ('b', '', '0')):
            command = [REPOSITORY / 'tools/dist_run.sh', '2', 'meet.py', name, *filter(None, [rank])]
            process = subprocess.Popen(command, env=environment(MAX_RESTARTS=restarts), cwd=tmp_path,
                                       stderr=subprocess.PIPE, text=True)
            stack.callback(process.kill)
            stack.callback(lambda process=process: assert_ended(process))
    found = {name: {(tmp_path / f'{name}-{rank}').read_text() for rank in (0, 1)} for name in 'ab'}
    (a, ), (b, ) = found.values()
    assert a.split()[0] == b.split()[0] == '3' and a != b


def assert_ended(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-8000:]


# ---- two machines ----

@pytest.fixture(scope='module')
def machines():
    """Names of two network namespaces with the addresses 10.77.0.1 and 10.77.0.2 at ``eth0``."""
    if os.geteuid() or shutil.which('ip') is None:
        pytest.skip('network namespaces need root and iproute2')
    names = [f'bkdsnn-{os.getpid()}-{i}' for i in (0, 1)]

    def ip(*words):
        return subprocess.run(['ip', *words], capture_output=True, text=True, check=False)

    commands = [('netns', 'add', name) for name in names]
    commands.append(('link', 'add', 'eth0', 'netns', names[0], 'type', 'veth', 'peer', 'name', 'eth0', 'netns',
                     names[1]))
    for i, name in enumerate(names):
        commands += [('-n', name, 'addr', 'add', f'10.77.0.{i + 1}/24', 'dev', 'eth0'),
                     ('-n', name, 'link', 'set', 'eth0', 'up'), ('-n', name, 'link', 'set', 'lo', 'up')]
    try:
        for command in commands:
            done = ip(*command)
            if done.returncode:
                pytest.skip(f'network namespaces are not allowed here: {done.stderr.strip()}')
        yield names
    finally:
        for name in names:
            ip('netns', 'del', name)


@pytest.fixture(scope='module')
def config(tmp_path_factory, small_teacher):
    """A distillation of two epochs of two steps in two processes, whose teacher's words are kept in ``caches``."""
    folder = tmp_path_factory.mktemp('machines')
    cfg = demo_config('mixed', 'work', small_teacher, EPOCHS, **{
        'train_dataloader.batch_size': 25, 'custom_hooks.0.augmentation_epochs': 1, 'train_cfg.val_interval': 1,
        'val_dataloader.dataset.indices': 20, 'model.teacher_cache': dict(folder='caches')})
    cfg.custom_imports = dict(imports=['killer'])
    cfg.custom_hooks.append(dict(type='Killer'))
    cfg.dump(str(folder / 'config_of_test.py'))
    return folder / 'config_of_test.py'


@pytest.fixture(scope='module')
def one_machine(config):
    """Folder of a run of two processes of this machine."""
    folder = config.parent / 'one'
    folder.mkdir()
    done = run_tool_in_processes(2, 'tools/train.py', config, cwd=folder, PYTHONPATH=str(TESTS))
    assert not any(process.returncode for process in done), done[0].stderr
    return folder


def losses(folder):
    lines = [json.loads(line) for path in sorted(folder.glob('work/*/vis_data/scalars.json'))
             for line in path.read_text().splitlines()]
    return {line['step']: {k: v for k, v in line.items() if 'loss' in k} for line in lines if 'loss' in line}


def files_of_cache(folder):
    return {path.name: path.read_bytes() for path in (folder / 'caches').glob('*/*') if path.suffix == '.tap'}


def assert_as_one(folder, one_machine):
    assert len(losses(one_machine)) == 2 * EPOCHS and losses(folder) == losses(one_machine)
    assert_same_checkpoint(*(load_file(str(path / 'work' / f'epoch_{EPOCHS}.pth')) for path in (folder, one_machine)))
    assert files_of_cache(one_machine) and files_of_cache(folder) == files_of_cache(one_machine)


@pytest.mark.parametrize('kill', ['none 0 0', 'validation 1 1'])
def test_two_machines_give_the_losses_weights_and_teacher_cache_of_one(machines, config, one_machine, tmp_path, kill):
    """A process that dies on one of them after the first checkpoint is started again, with the other machine's."""
    env = environment(NNODES='2', MASTER_ADDR='10.77.0.1', GLOO_SOCKET_IFNAME='eth0', KILL=kill)
    arguments = ['1']
    if not kill.startswith('none'):
        env['MAX_RESTARTS'], arguments = '1', ['1', '--resume']
    with ExitStack() as stack:
        for rank, name in reversed(list(enumerate(machines))):  # the second one waits for the first
            command = ['ip', 'netns', 'exec', name, REPOSITORY / 'tools/dist_train.sh', config, *arguments]
            process = subprocess.Popen(command, env=dict(env, NODE_RANK=str(rank)), cwd=tmp_path,
                                       stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            stack.callback(process.kill)
            stack.callback(lambda process=process: assert_ended(process))
    assert_as_one(tmp_path, one_machine)
    assert len(list((tmp_path / 'work').glob('*/vis_data'))) == 1 + (len(arguments) > 1)


def test_tasks_of_slurm_train_as_one(config, one_machine, tmp_path):
    (tmp_path / 'bin').mkdir()
    for name, text in (('srun', SRUN), ('scontrol', SCONTROL)):
        (tmp_path / 'bin' / name).write_text(text)
        (tmp_path / 'bin' / name).chmod(0o755)
    done = subprocess.run(
        [REPOSITORY / 'tools/slurm_train.sh', 'part', 'job', config, 'work', '--cfg-options', 'log_level=INFO'],
        env=environment(GPUS='2', GPUS_PER_NODE='1', PATH=f'{tmp_path / "bin"}{os.pathsep}{os.environ["PATH"]}',
                        SRUN_ARGS='--time=5 --quiet'),
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str([
        '-p', 'part', '--job-name=job', '--gres=gpu:1', '--nodes=2', '--ntasks=2', '--ntasks-per-node=1',
        '--cpus-per-task=5', '--kill-on-bad-exit=1', '--time=5', '--quiet'])
    assert_as_one(tmp_path, one_machine)
