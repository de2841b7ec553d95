"""What every generator promises; those that ask a chat model ask a scripted server, which is there at once."""

import atexit
import json
import tempfile
from pathlib import Path
from typing import Any

from built_in import suites
from chat_server import MODEL, ChatServer
from mftkit.plugins import kinds

SERVER = ChatServer()
atexit.register(SERVER.stop)
PLACE = tempfile.TemporaryDirectory()
SEEDS = Path(PLACE.name) / "seeds.jsonl"
NOUNS = ("list", "queue", "tree", "graph", "module", "class", "test", "file")
SEEDS.write_text(
    "".join(
        json.dumps(
            {"instruction": f"Explain to a {noun} what it is.", "output": "x", "is_classification": i < 3}
        )
        + "\n"
        for i, noun in enumerate(NOUNS)
    )
)


def asking(**options: Any) -> dict[str, Any]:
    model = {"name": "openai", "options": {"model": MODEL, "base_url": SERVER.url}}
    return {"options": {"model": model, "round": 2, **options}, "limit": 6, "reads_seed": True}


globals().update(
    suites(
        kinds.DATA_GENERATOR,
        python_source={"options": {"paths": [str(Path(json.__file__).parent)]}, "reads_seed": True},
        code_exercises=asking(exercises=2),
        self_instruct=asking(seeds=str(SEEDS), asked=2),
        camel=asking(topics=["sorting", "trees"], subtopics=4, goal=2),
    )
)
