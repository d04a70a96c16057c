#!/usr/bin/env bash
# distributed 2026.8.0 (dask 2026.8.0), seen on 2026-11-30.
# The documentation of Client says of `timeout`: "Timeout duration for initial connection to the scheduler".
# Expected: Client("tcp://...", timeout="2s") raises OSError after two seconds where no scheduler answers.
# Seen: it does where nobody listens; where something listens that takes the connection and says nothing, such as a server of
# another kind, it waits without end: `connect` (distributed/comm/core.py) reads the greeting of the other side without the timeout.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q distributed==2026.8.0 dask==2026.8.0 >/dev/null 2>&1 || exit 2
cd "$folder" && "$folder/venv/bin/python" -W ignore - <<'PY'
import os
import socket
import threading

import distributed
from distributed import Client

silent = socket.create_server(("127.0.0.1", 0))
with socket.create_server(("127.0.0.1", 0)) as gone:
    nobody = gone.getsockname()[1]
outcome = {}


def connect(name, port):
    try:
        Client(f"tcp://127.0.0.1:{port}", timeout="2s")
        outcome[name] = "connected"
    except OSError:
        outcome[name] = "OSError"


for name, port in (("nobody", nobody), ("silent", silent.getsockname()[1])):
    thread = threading.Thread(target=connect, args=(name, port), daemon=True)
    thread.start()
    thread.join(20)
print(f"distributed {distributed.__version__}: nobody there: {outcome.get('nobody')}; silence: {outcome.get('silent', 'still waiting after 20 s')}", flush=True)
os._exit(0 if outcome == {"nobody": "OSError"} else 1)
PY
