import json
from pathlib import Path

from built_in import suites

globals().update(
    suites("data-generator", python_source={"options": {"paths": [str(Path(json.__file__).parent)]}})
)
