"""What can be seen of a network while it runs: the operations that it uses, and large tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    """While it is entered: ``operations`` by name; ``halves``, those that give 16 bits a number;
    ``largest``, the bytes of the largest tensor that one of them makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: set[str] = set()
        self.halves: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and look at what comes out."""
        result = func(*args, **(kwargs or {}))
        name = str(func).split(".")[1]
        self.operations.add(name)
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self.largest = max(self.largest, made.untyped_storage().nbytes())
                if made.dtype in (torch.float16, torch.bfloat16):
                    self.halves.add(name)
        return result
