"""A real browser, without a window and without a network, for pages that draw themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from html import unescape
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=8000",
)  # fmt: skip


def found() -> str | None:
    """The program, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def read_back(page: Path, script: str, *flags: str) -> Any:
    """What ``script``, the body of a function that runs once the page is drawn, returns as JSON."""
    program = found()
    assert program is not None
    wait = (
        "const tell = () => { const told = document.createElement('pre'); told.id = 'told';"
        f" told.textContent = JSON.stringify((() => {{ {script} }})()); document.body.append(told); }};"
        "const look = () => document.documentElement.dataset.drawn ? tell() : setTimeout(look, 20); look();"
    )
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "page.html"
        html = page.read_text("utf-8")
        copy.write_text(html.replace("</body>", f"<script>{wait}</script></body>"), "utf-8")
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        done = subprocess.run(
            [program, *FLAGS, *root, f"--user-data-dir={directory}/profile", *flags, "--dump-dom", copy.as_uri()],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told, f"the page did not draw itself: {done.stderr[-2000:]}"
    return json.loads(unescape(told[1]))
