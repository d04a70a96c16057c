#!/usr/bin/env bash
# distributed 2026.8.0 (dask 2026.8.0), seen on 2026-11-30.
# The documentation of LocalCluster says of `dashboard_address`: "Set to None to disable the dashboard."
# Expected: a cluster with dashboard_address=None opens no port but those of its scheduler and workers.
# Seen: an HTTP server of the scheduler listens at port 8787 all the same, or at another with a warning where that is taken. No
# setting leaves the server out; scheduler_kwargs={"dashboard_address": "127.0.0.1:0"} beside it moves it to any free port.
# Exit 0 while that is so, 1 once it has changed, 2 where the packages cannot be installed.
set -u
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q distributed==2026.8.0 dask==2026.8.0 >/dev/null 2>&1 || exit 2
cd "$folder" && cat > port.py <<'PY'
import sys
import warnings

import distributed
from distributed import LocalCluster


def port(**more):
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, **more) as cluster:
        return cluster.scheduler.services["dashboard"].port


if __name__ == "__main__":
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        plain = port()
    taken = any("8787 is already in use" in str(w.message) for w in said)
    moved = port(scheduler_kwargs={"dashboard_address": "127.0.0.1:0"})
    print(f"distributed {distributed.__version__}: without a dashboard port {plain}{' (8787 was taken)' if taken else ''}, moved {moved}")
    sys.exit(0 if (plain == 8787 or taken) and moved != 8787 else 1)
PY
"$folder/venv/bin/python" -W ignore port.py
