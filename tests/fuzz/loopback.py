"""What cases reach on this machine: a server of files that misbehaves by name, and a dask cluster of one worker.

    python -m tests.fuzz.loopback FOLDER

serves the files of FOLDER, prints the port of the server and the address of the cluster, and ends with its stdin.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

# In a case, which follows from seed and index; the places that these have in a run are put in for them.
SERVER, CLUSTER = "127.0.0.1:59999", "tcp://127.0.0.1:59998"


class Misbehaving(SimpleHTTPRequestHandler):
    """GET /HOW/NAME answers with the file NAME, or as HOW says; ranges are answered, but for HOW that says otherwise."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        how, _, name = self.path.lstrip("/").partition("/")
        code = {"404": 404, "403": 403, "500": 500, "503": 503, "204": 204}.get(how)
        path = Path(self.directory, Path(self.translate_path(f"/{name}")).name)
        if code is not None or how == "around" or not path.is_file():
            self.send_response(302 if how == "around" else code or 404)
            self.send_header("Location", self.path)  # of "around": to itself
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = b"<html>log in first</html>" if how == "page" else b"" if how == "empty" else path.read_bytes()
        if how == "noise":
            data = Random(0).randbytes(len(data))
        first, last, part = 0, len(data) - 1, False
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is not None and how != "whole":
            part = True
            first, last = int(asked[1]), min(last, int(asked[2] or last))
        self.send_response(206 if part else 200)
        if part:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data) * (1000 if how == 'long' else 1)}")
        content = data[first : last + 1]
        size = {"long": 10**12, "lie": 2 * len(content) + 10, "negative": -5}.get(how, len(content))
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if body:
            with suppress(OSError):  # the other side has gone
                self.wfile.write(content[: len(content) // 2] if how == "cut" else content)
        self.close_connection = True


HOWS = ("ok", "ok", "ok", "ok", "404", "403", "500", "503", "204", "around", "page", "empty", "noise", "whole", "long", "lie", "negative", "cut")  # fmt: skip


@dataclass(frozen=True)
class Loopback:
    """Where they are in this run."""

    port: int
    cluster: str

    def placed(self, argument: str) -> str:
        return argument.replace(SERVER, f"127.0.0.1:{self.port}").replace(CLUSTER, self.cluster)


@contextmanager
def loopback(folder: Path) -> Iterator[Loopback]:
    """Serve the files of `folder`, in a process of its own: children of this one are forked."""
    command = [sys.executable, "-m", "tests.fuzz.loopback", str(folder)]
    root = str(Path(__file__).parents[2])
    own = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=own
    ) as made:
        assert made.stdin is not None
        assert made.stdout is not None
        port, cluster = made.stdout.readline().split()
        try:
            yield Loopback(int(port), cluster)
        finally:
            made.stdin.close()


def _serve(folder: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Misbehaving, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cluster = "tcp://127.0.0.1:9"  # nobody, where dask is not installed
    with suppress(ImportError):
        from distributed import LocalCluster

        local: Any = LocalCluster
        made = local(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        )
        cluster = str(made.scheduler_address)
    print(server.server_port, cluster, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
