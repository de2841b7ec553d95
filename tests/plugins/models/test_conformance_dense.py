"""Every dense family of the built-in adapters passes the suite; so does the fallback, with every tuning."""

from built_in import suites
from mftkit.plugins import installed
from model_families import EVERY_TUNING, family_suites

globals().update(family_suites("dense"))
globals()["Test_fallback"] = suites("model-adapter")["Test_huggingface"]


def test_families_tried_with_every_tuning_exist():
    built_in = [row for row in installed.registry().plugins if row.kind == "model-adapter"]
    names = {
        family.name
        for row in built_in
        for family in installed.component_class(installed.registry().get("model-adapter", row.name)).families
    }
    assert EVERY_TUNING.keys() <= names
    assert len(names) > 20
