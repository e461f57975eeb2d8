#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# On a machine without a GPU, GPUS processes run on the CPU (gloo).
set -euo pipefail
(($# >= 2)) || {
    echo "Usage: tools/dist_train.sh CONFIG GPUS [arguments of train.py]" >&2
    exit 1
}
HERE=$(dirname "$0")
case "${MAX_RESTARTS:-0} ${*:3} " in
    '0 '* | *' --resume ' | *' --resume --'*) ;;
    *)
        echo "Error: MAX_RESTARTS=$MAX_RESTARTS needs --resume without a file, so that processes that are started again" \
            "go on from the newest checkpoint." >&2
        exit 1
        ;;
esac
"$HERE/dist_run.sh" "$2" "$HERE/train.py" "$1" --launcher pytorch "${@:3}"
