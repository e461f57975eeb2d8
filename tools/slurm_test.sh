#!/usr/bin/env bash
# Usage: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of test.py]
set -euo pipefail
(($# >= 4)) || {
    echo "Usage: tools/slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [arguments of test.py]" >&2
    exit 1
}
HERE=$(dirname "$0")
"$HERE/slurm_run.sh" "$1" "$2" "$HERE/test.py" "$3" "$4" --launcher=slurm "${@:5}"
