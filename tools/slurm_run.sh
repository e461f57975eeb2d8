#!/usr/bin/env bash
# Usage: tools/slurm_run.sh PARTITION JOB SCRIPT [arguments]
# What slurm_train.sh and slurm_test.sh share: one task for each of GPUS, GPUS_PER_NODE on each machine.
set -euo pipefail
GPUS=${GPUS:-8}
[[ $GPUS =~ ^[1-9][0-9]{0,5}$ ]] || { echo "Error: GPUS=$GPUS is no whole number of at least 1." >&2; exit 1; }
PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
if ! [[ $PER_NODE =~ ^[1-9][0-9]{0,5}$ ]] || ((GPUS % PER_NODE)); then
    echo "Error: GPUS=$GPUS cannot be GPUS_PER_NODE=$PER_NODE on each machine." >&2
    exit 1
fi
exec srun -p "$1" --job-name="$2" --gres="gpu:$PER_NODE" --nodes=$((GPUS / PER_NODE)) --ntasks="$GPUS" \
    --ntasks-per-node="$PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "${@:3}"
