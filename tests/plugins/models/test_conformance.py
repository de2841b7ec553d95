"""Every family of every built-in adapter passes the suite; experts are adapted where peft can."""

import re
from typing import Any

from built_in import suites
from mftkit.plugins import installed, kinds
from mftkit.testing.running import suite_for

LORA = {"rank": 4, "dropout": 0.0, "alpha": 8}


def families() -> Any:
    """A class a family, named after it."""
    found = {}
    for row in installed.registry().plugins:
        if row.kind == "model-adapter" and row.distribution == "mftkit":
            component: Any = installed.component_class(kinds.MODEL_ADAPTER, row.name)
            for family in component.families:
                settings = {
                    "config": family.config,
                    "attentions": family.attentions,
                    "router_loss": family.router_loss,
                    "plain_result": family.plain,
                    "tunings": {"full": {}, "lora": LORA, "qlora": {"rank": 4}},
                }
                name = re.sub(r"\W+", "_", f"Test_{row.name}_{family.name}")
                found[name] = suite_for(kinds.MODEL_ADAPTER, component, **settings)
    assert len(found) > 15
    return found


globals().update(families())
globals()["Test_fallback"] = suites(kinds.MODEL_ADAPTER)["Test_huggingface"]
