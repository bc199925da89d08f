"""Devices, precisions, and the memory that is kept."""

from __future__ import annotations

import pytest
import torch

import ugpnet_core as ug
from ugpnet_core.devices import choose_precision, has_bfloat16, keep_memory
from ugpnet_core.errors import ConfigError

CPU = torch.device("cpu")


def test_auto_is_bfloat16_where_the_device_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_precision("float32", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16
    for has, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("ugpnet_core.devices.has_bfloat16", lambda device, has=has: has)
        assert choose_precision("auto", CPU) == expected
    with pytest.raises(ConfigError, match="auto, float32 or bfloat16, not 'half'"):
        choose_precision("half", CPU)  # type: ignore[arg-type]


def test_a_device_that_is_neither_has_none() -> None:
    assert not has_bfloat16(torch.device("mps"))


def test_keeping_memory_says_whether_it_can() -> None:
    assert keep_memory() in (True, False)
    assert keep_memory() == keep_memory()


def test_both_precisions_restore_alike() -> None:
    pytest.importorskip("ugpnet_priors.portraits")
    data = pytest.importorskip("skimage.data")
    clean = torch.from_numpy(data.astronaut()[:160, 150:310].copy()).permute(2, 0, 1).float() / 255
    noise = 0.15 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = (clean + noise).clamp(0, 1)
    one, other = (
        ug.Restorer("portraits", device="cpu", precision=precision)(noisy)
        for precision in ("float32", "bfloat16")
    )
    assert one.faces[0]
    for name in ("regression", "image"):
        error = (getattr(one, name) - getattr(other, name)).square().mean()
        assert 0 < float(error) < 10**-4.5  # 45 dB
