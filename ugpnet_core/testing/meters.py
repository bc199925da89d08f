"""What can be seen of a network while it runs: the memory it takes, and the operations it uses."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

HALVES = (torch.float16, torch.bfloat16)


class Meter(TorchDispatchMode):
    """While it is entered: ``peak``, the bytes of the largest set of tensors that comes into being
    and lives at one time; ``operations`` by name; ``halves``, those that give 16 bits a number."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self.operations: set[str] = set()
        self.halves: set[str] = set()
        self._live = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note what new memory its results take."""
        for given in tree_flatten((args, kwargs))[0]:
            if isinstance(given, Tensor):
                self._note(given, 0)
        result = func(*args, **(kwargs or {}))
        name = str(func).split(".")[1]
        self.operations.add(name)
        for made in tree_flatten(result)[0]:
            if isinstance(made, Tensor):
                self._note(made, made.untyped_storage().nbytes())
                if made.dtype in HALVES:
                    self.halves.add(name)
        return result

    def _note(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._seen:
            self._seen.add(key)
            self._live += size
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._live -= size
