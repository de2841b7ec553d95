"""Runs inside the sandbox: compiles a program once and runs it on each input. Its source is passed as a file.

Standard input: JSON with ``compile`` (a command or null), ``run`` (a command), ``source`` (a file that is removed once
it is compiled, or null), ``inputs`` (texts), ``seconds`` and ``output`` (bytes) per run. Standard output: JSON with
``compiled`` (null, or the error) and ``runs``: [{how, code, out, err}]. What is expected never comes in here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path


def once(command: list[str], text: str, seconds: float, most: int) -> dict[str, object]:
    """Run a command with its input and output in files, and end all of its processes."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(text.encode())
        given.seek(0)
        try:
            child = subprocess.Popen(command, stdin=given, stdout=out, stderr=err, start_new_session=True)
        except OSError as error:
            return {"how": "exited", "code": 127, "out": "", "err": f"{command[0]}: {error.strerror}"}
        how = "exited"
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            how = "time"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            read = file.read(most + 1)
            if len(read) > most and how == "exited":
                how = "output"
            texts.append(read[:most].decode(errors="replace"))
        return {"how": how, "code": code, "out": texts[0], "err": texts[1]}


def main() -> None:
    """Compile and run."""
    given = json.loads(sys.stdin.readline())
    seconds, most = given["seconds"], given["output"]
    compiled = None
    if given["compile"] is not None:
        done = once(given["compile"], "", given["compile_seconds"], most)
        if done["code"] != 0 or done["how"] != "exited":
            compiled = str(done["err"] or done["out"]).strip() or f"the compiler ends with {done['code']}"
        if given["source"] is not None:
            Path(given["source"]).unlink(missing_ok=True)
    command = [sys.executable if word == "python" else word for word in given["run"]]
    runs = [] if compiled is not None else [once(command, text, seconds, most) for text in given["inputs"]]
    print(json.dumps({"compiled": compiled, "runs": runs}))  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
