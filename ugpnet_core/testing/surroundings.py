"""What belongs to the whole process: random states and the settings of torch."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.backends import cudnn

# By name: how a setting is read, and how it is written.
_SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "default data type": (torch.get_default_dtype, torch.set_default_dtype),
    "number of threads": (torch.get_num_threads, torch.set_num_threads),
    "gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "default device": (
        lambda: str(torch.empty(0).device),
        lambda _: torch.set_default_device(None),
    ),
    "precision of float32 products": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "cudnn.allow_tf32": (torch._C._get_cudnn_allow_tf32, torch._C._set_cudnn_allow_tf32),
    "mkldnn.enabled": (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    **{
        f"cudnn.{name}": (partial(getattr, cudnn, name), partial(setattr, cudnn, name))
        for name in ("enabled", "benchmark", "deterministic")
    },
}


def settings() -> dict[str, Any]:
    """The settings of torch that hold for the whole process (or thread), by name."""
    return {name: read() for name, (read, _) in _SETTINGS.items()}


def changed_setting(before: dict[str, Any]) -> str:
    """What differs from settings read earlier, in words: ``number of threads from 2 to 1``; empty
    where nothing does."""
    for name, value in settings().items():
        if value != before[name]:
            return f"{name} from {before[name]} to {value}"
    return ""


def seed_all(seed: int) -> None:
    """Seed each global random generator."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def settings_kept() -> Iterator[None]:
    """Put the settings of torch back afterwards, so that a network which changes them fails the
    check of settings and no other."""
    before = settings()
    try:
        yield
    finally:
        for name, (read, write) in _SETTINGS.items():
            if read() != before[name]:
                write(before[name])


@contextmanager
def untouched() -> Iterator[None]:
    """Put random states and settings back afterwards, and keep warnings to ourselves."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        with settings_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
