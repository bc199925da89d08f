"""Checkpoints of the published UGPNet: resmodule, synmodule and fusmodule, together or in three
files. Everything that the constructor needs is derived from the shapes of the tensors."""

from __future__ import annotations

from ugpnet_core.model_files.published.parts import gather, parts_of
from ugpnet_core.model_files.published.translation import PREFIXES, from_published, module_in

__all__ = ["PREFIXES", "from_published", "gather", "module_in", "parts_of"]
