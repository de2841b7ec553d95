"""Runs inside the sandbox: queries on one database, each on its own connection. Its source is passed as a file.

Standard input: JSON with ``schema`` (statements that make the database, or null if it is in the file of base64),
``queries``, and ``seconds`` and ``most`` (bytes of JSON) of each. Standard output: a line of JSON per query, with
``rows`` or ``error``. Queries may read, and nothing else.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

ENCODED = "database.base64"
_FILE = "database.sqlite"
_CHUNK = 1 << 20
_STEPS = 1000
_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


def make(schema: str | None) -> None:
    """Write the database's file."""
    if schema is not None:
        connection = sqlite3.connect(_FILE)
        connection.executescript(schema)
        connection.commit()
        connection.close()
        return
    with Path(ENCODED).open("rb") as encoded, Path(_FILE).open("wb") as file:
        while part := encoded.read(_CHUNK):
            file.write(base64.b64decode(part))
    Path(ENCODED).unlink()


def rows_of(query: str, seconds: float, most: int) -> dict[str, Any]:
    """Return the rows of a query, or the error."""
    connection = sqlite3.connect(f"file:{_FILE}?mode=ro&immutable=1", uri=True)
    connection.text_factory = lambda raw: raw.decode(errors="ignore")
    until = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    connection.set_authorizer(
        lambda action, *_more: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
    )
    if hasattr(connection, "setlimit"):
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)
    found, size = [], 0
    try:
        cursor = connection.execute(query)
        if cursor.description is None:
            return {"error": "it is no query"}
        for row in cursor:
            values = [{"hex": value.hex()} if isinstance(value, bytes) else value for value in row]
            size += len(json.dumps(values))
            if size > most:
                return {"error": "it returns too much"}
            found.append(values)
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
        late = time.monotonic() > until
        return {"error": "it takes too long" if late else str(error) or type(error).__name__}
    finally:
        connection.close()
    return {"rows": found}


def main() -> None:
    """Make the database and answer the queries."""
    given = json.loads(sys.stdin.readline())
    try:
        make(given["schema"])
    except (sqlite3.Error, sqlite3.Warning, OSError, ValueError) as error:
        print(json.dumps({"database": str(error)}), flush=True)  # noqa: T201 - the protocol
        return
    for query in given["queries"]:
        print(json.dumps(rows_of(query, given["seconds"], given["most"])), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
