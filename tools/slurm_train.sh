#!/usr/bin/env bash
# Usage: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [arguments of train.py]
set -euo pipefail
(($# >= 4)) || {
    echo "Usage: tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [arguments of train.py]" >&2
    exit 1
}
HERE=$(dirname "$0")
"$HERE/slurm_run.sh" "$1" "$2" "$HERE/train.py" "$3" --work-dir="$4" --launcher=slurm "${@:5}"
