#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# On a machine without a GPU, GPUS processes run on the CPU (gloo).
set -euo pipefail
HERE=$(dirname "$0")
"$HERE/dist_run.sh" "$2" "$HERE/train.py" "$1" --launcher pytorch "${@:3}"
