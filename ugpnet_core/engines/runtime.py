"""ONNX files and onnxruntime."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from ugpnet_core.errors import ConfigError, DependencyError, WeightsError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def session_of(path: Path, device: torch.device | None = None) -> Any:
    """Open a file in onnxruntime, on as many threads as torch computes with.

    Args:
        device: default: the CPU.

    Raises:
        DependencyError: onnxruntime is not installed.
        ConfigError: it cannot compute on that device.
        WeightsError: the file is missing, or no ONNX file.
    """
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise DependencyError(
            "ONNX files need onnxruntime; pip install 'ugpnet-core[export]'."
        ) from error
    kind = "cpu" if device is None else device.type
    provider = PROVIDERS.get(kind)
    if provider not in runtime.get_available_providers():
        raise ConfigError(
            f"onnxruntime cannot compute on {kind} here; choose the device cpu, or for cuda "
            "pip install onnxruntime-gpu."
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    if not path.is_file():
        raise WeightsError(f"There is no file {path}; check the path.")
    try:
        return runtime.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # its classes of errors are not public
        raise WeightsError(
            f"{path} cannot be read as an ONNX file; export the model again."
        ) from error
