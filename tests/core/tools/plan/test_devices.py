"""The table of devices, and the choice of one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mftkit.tools.plan import devices
from mftkit.tools.plan.devices import DEFAULT, DEVICES, find_device
from mftkit_registry import MftError


def test_a_name_gives_the_vendors_figures() -> None:
    device, source = find_device("a100-40g")
    assert (device.memory_bytes, device.flops) == (40 * 2**30, 312e12)
    assert "vendor" in source


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(MftError, match="--device: unknown device h100-80; did you mean h100-80g"):
        find_device("h100-80")


def test_without_an_accelerator_the_default_is_used_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device, source = find_device(None)
    assert device.name == DEFAULT
    assert "this machine has no accelerator" in source


@pytest.mark.parametrize(
    ("product", "gibibytes", "name"),
    [
        ("NVIDIA H100 80GB HBM3", 79, "h100-80g"),
        ("NVIDIA A100-SXM4-40GB", 39, "a100-40g"),
        ("NVIDIA A100-SXM4-80GB", 79, "a100-80g"),
        ("NVIDIA GeForce RTX 4090", 24, "4090-24g"),
        ("Tesla T4", 15, None),
    ],
)
def test_the_device_of_this_machine_has_its_own_memory_and_the_tables_speed(
    product: str, gibibytes: int, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = SimpleNamespace(name=product, total_memory=gibibytes * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    device, source = find_device(None)
    assert device.memory_bytes == gibibytes * 2**30
    assert device.flops == (DEVICES[name].flops if name else None)
    assert source == "the device of this machine"


def test_a_machine_of_unknown_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "memory", lambda: SimpleNamespace(total_bytes=None))
    with pytest.raises(MftError, match="memory is unknown"):
        find_device("cpu")
