#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
# On a machine without a GPU, GPUS processes run on the CPU (gloo).
set -euo pipefail
(($# >= 3)) || {
    echo "Usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]" >&2
    exit 1
}
HERE=$(dirname "$0")
"$HERE/dist_run.sh" "$3" "$HERE/test.py" "$1" "$2" --launcher pytorch "${@:4}"
