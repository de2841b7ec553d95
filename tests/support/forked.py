"""Several processes of one run, forked from one that has imported everything: torch is imported once for all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from commands import environment

FORK = """
import atexit, json, os, socket, sys, traceback
import mftkit.cli.run, mftkit.tools.run, peft

code = compile(sys.argv[1], "<the code of the processes>", "exec")
for count in json.loads(sys.argv[2]):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            try:
                os.environ |= {
                    "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
                    "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                }
                exec(code, {"__name__": "__main__"})
                atexit._run_exitfuncs()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit(1)
"""


def run_forked(code: str, counts: Sequence[int], cwd: Path) -> None:
    """Run ``code`` in ``count`` processes that know of each other, for each of ``counts``, one after another."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, code, str(list(counts))],
        cwd=cwd,
        env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-8000:]
