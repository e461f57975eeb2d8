#!/usr/bin/env bash
# Usage: tools/dist_run.sh GPUS SCRIPT [arguments]
# What dist_train.sh and dist_test.sh share: torchrun on one machine, or on NNODES of them (docs/more_machines.md).
# Processes of one machine meet at a free port unless PORT is set, those of several at PORT of MASTER_ADDR.
set -euo pipefail
PYTHON=${PYTHON:-python} NNODES=${NNODES:-1} NODE_RANK=${NODE_RANK:-0} MAX_RESTARTS=${MAX_RESTARTS:-0}
JOIN_TIMEOUT=${JOIN_TIMEOUT:-600}
fail() {
    echo "Error: $*" >&2
    exit 1
}
at_least() {
    [[ ${!1} =~ ^(0|[1-9][0-9]{0,8})$ ]] && ((${!1} >= $2)) || fail "$1=${!1} is no whole number of at least $2."
}
at_least NNODES 1
at_least NODE_RANK 0
at_least MAX_RESTARTS 0
at_least JOIN_TIMEOUT 1
((NODE_RANK < NNODES)) || fail "NODE_RANK=$NODE_RANK, but machines are numbered from 0 to NNODES - 1, and NNODES=$NNODES."
GPUS=${1:-}
at_least GPUS 1
MEETING=(--nnodes="$NNODES" --nproc_per_node="$GPUS" --max_restarts="$MAX_RESTARTS")
# A process that is started again must not read in a store what one before it has written there.
((MAX_RESTARTS == 0)) || export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
if ((NNODES == 1)) && [ -z "${PORT:-}" ]; then
    MEETING+=(--standalone --local_addr=127.0.0.1)
else
    ((NNODES == 1)) || [ -n "${MASTER_ADDR:-}" ] ||
        fail "NNODES=$NNODES needs MASTER_ADDR, the address of the machine with NODE_RANK=0, the same on all machines."
    MASTER_ADDR=${MASTER_ADDR:-127.0.0.1} PORT=${PORT:-29500}
    at_least PORT 1
    # This machine's address in the network of the others. The first one has to be free to listen, others wait for it.
    ADDRESS=$("$PYTHON" - "$MASTER_ADDR" "$PORT" "$NODE_RANK" "$JOIN_TIMEOUT" <<'END'
import socket
import sys
import time

name, port, rank, patience = sys.argv[1], *map(int, sys.argv[2:])
try:
    family, _, _, _, there = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
except OSError as error:
    sys.exit(f'Error: MASTER_ADDR={name} with PORT={port} is no address: {error}.')
deadline = time.monotonic() + patience
if rank == 0:
    with socket.socket(family, socket.SOCK_DGRAM) as way:
        try:
            way.connect(there)
            here = way.getsockname()[0]
        except OSError as error:
            here = error.strerror
    if here != there[0]:
        sys.exit(f'Error: MASTER_ADDR={name} is {there[0]}, which is not where others reach this machine, which has '
                 f'NODE_RANK=0 ({here}). Name its address in the network of all machines.')
    with socket.socket(family) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(('', port))
        except (OSError, OverflowError):
            sys.exit(f'Error: port {port} of this machine is taken or not allowed. Name another one, the same on all '
                     'machines: PORT=29501 ...; on one machine alone, leave PORT out, and a free one is found.')
else:
    while True:
        try:
            with socket.create_connection(there[:2], max(1, deadline - time.monotonic())) as way:
                here = way.getsockname()[0]
            break
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f'Error: nothing answers at port {port} of MASTER_ADDR={name} after JOIN_TIMEOUT={patience} '
                         f'seconds ({error.strerror or error}). Start the machine with NODE_RANK=0 there, with the '
                         'same PORT, and let the others through to its ports.')
            time.sleep(0.5)
print(here)
END
    )
    MEETING+=(--rdzv_backend=c10d --rdzv_endpoint="$MASTER_ADDR:$PORT" --local_addr="$ADDRESS"
              --rdzv_conf="is_host=$((NODE_RANK == 0)),join_timeout=$JOIN_TIMEOUT,read_timeout=$JOIN_TIMEOUT")
fi
exec "$PYTHON" -m torch.distributed.run "${MEETING[@]}" "${@:2}"
