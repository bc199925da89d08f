"""Random generators that belong to a seed and a thing, so that order does not matter."""

from __future__ import annotations

import hashlib

import numpy as np


def rng_for(seed: int, *keys: str | int) -> np.random.Generator:
    """A generator for one thing, for instance ``rng_for(seed, file_name, index)``.

    The same seed and keys give the same numbers on every machine, in every process and in every
    order of calls; others give independent ones. Nothing global is read or changed.
    """
    text = "\0".join([str(seed), *(f"{type(key).__name__}:{key}" for key in keys)])
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
