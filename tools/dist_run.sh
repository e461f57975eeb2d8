#!/usr/bin/env bash
# Usage: tools/dist_run.sh GPUS SCRIPT [arguments]
# What dist_train.sh and dist_test.sh share. Processes of one machine find each other at a free port unless PORT is set.
set -euo pipefail
GPUS=$1
PYTHON=${PYTHON:-python}
if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
    MEETING=(--standalone --local_addr=127.0.0.1)
else
    PORT=${PORT:-29500}
    MEETING=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --master_addr="${MASTER_ADDR:-127.0.0.1}"
             --master_port="$PORT")
    # The first machine listens there.
    if [ "${NODE_RANK:-0}" = 0 ] && ! "$PYTHON" -c 'import socket, sys
with socket.socket() as port:
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.bind(("", int(sys.argv[1])))' "$PORT" 2>/dev/null; then
        echo "Error: port $PORT of this machine is taken or not allowed. Name another one, the same on all machines:" \
            "PORT=29501 ...; on one machine alone, leave PORT out, and a free one is found." >&2
        exit 1
    fi
fi
exec "$PYTHON" -m torch.distributed.run "${MEETING[@]}" --nproc_per_node="$GPUS" "${@:2}"
