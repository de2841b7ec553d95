"""A hub on the loopback interface that speaks the endpoints of a push: create, branch, preupload, LFS and commit."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub:
    """What the stub received."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.status: dict[str, int] = {}
        """Path prefix to the status with which requests to it are refused."""
        self.requests: list[tuple[str, str]] = []
        self.tokens: set[str | None] = set()
        self.created: list[dict[str, Any]] = []
        self.branches: list[str] = []
        self.blobs: dict[str, bytes] = {}
        """Large files by their SHA-256."""
        self.commits: list[dict[str, Any]] = []
        """Each with repo, revision, message and files by name."""

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/api/repos/create":
            self.created.append(asked := json.loads(body))
            owner = asked.get("organization") or "somebody"
            return {"url": f"{self.endpoint}/{owner}/{asked['name']}"}
        if "/branch/" in path:
            self.branches.append(path.rpartition("/")[2])
            return {}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
            return {"files": [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]}
        if path.endswith("/info/lfs/objects/batch"):
            return {
                "transfer": "basic",
                "objects": [self._upload(one) for one in json.loads(body)["objects"]],
            }
        if "/commit/" in path:
            return self._commit(path, [json.loads(line) for line in body.splitlines()])
        raise AssertionError(path)

    def _upload(self, one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "actions": {"upload": {"href": f"{self.endpoint}/blobs/{one['oid']}"}}}

    def _commit(self, path: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        _, _, _, owner, name, _, revision = path.split("/")
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
        message = next(line["value"]["summary"] for line in lines if line["key"] == "header")
        self.commits.append(
            {"repo": f"{owner}/{name}", "revision": revision, "message": message, "files": files}
        )
        oid = f"{len(self.commits):040x}"
        return {
            "success": True,
            "commitOid": oid,
            "commitUrl": f"{self.endpoint}/{owner}/{name}/commit/{oid}",
        }


@contextmanager
def hub() -> Iterator[Hub]:
    """A stub that runs while the block does."""
    stub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            stub.requests.append((self.command, path))
            stub.tokens.add(self.headers.get("Authorization"))
            refused = next((code for prefix, code in stub.status.items() if path.startswith(prefix)), None)
            if refused is not None:
                self.reply(refused, {"error": "refused by the stub"})
            elif self.command == "PUT":
                stub.blobs[path.rpartition("/")[2]] = body
                self.reply(200, {})
            else:
                self.reply(200, stub.answer(path, body))

        def do_PUT(self) -> None:
            self.do_POST()

        def do_GET(self) -> None:
            stub.requests.append((self.command, self.path))
            name = self.path.removeprefix("/api/models/").partition("?")[0].partition("/revision/")[0]
            if name.rpartition("/")[2] in [asked["name"] for asked in stub.created]:
                self.reply(
                    200, {"id": name, "modelId": name, "private": False, "tags": [], "xetEnabled": False}
                )
            else:
                self.reply(404, {"error": "the stub has no such repository"})

        def reply(self, status: int, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
