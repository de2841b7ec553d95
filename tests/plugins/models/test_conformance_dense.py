"""Every dense family of the built-in adapters passes the suite; so does the fallback, with every tuning."""

from built_in import suites
from mftkit.plugins import installed, kinds
from model_families import EVERY_TUNING, family_suites

globals().update(family_suites("dense"))
globals()["Test_fallback"] = suites(kinds.MODEL_ADAPTER)["Test_huggingface"]


def test_families_tried_with_every_tuning_exist() -> None:
    adapters = [
        installed.build(kinds.MODEL_ADAPTER, row.name, {})
        for row in installed.registry().plugins
        if row.kind == "model-adapter" and row.distribution == "mftkit"
    ]
    names = {family.name for adapter in adapters for family in adapter.families}
    assert EVERY_TUNING.keys() <= names
    assert len(names) > 20
