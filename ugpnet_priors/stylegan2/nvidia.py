"""The layout of NVIDIA's stylegan2-ada-pytorch pickles.

https://github.com/NVlabs/stylegan2-ada-pytorch. Only the layout is used here, none of that code:
a dictionary with ``G_ema`` and ``D``, each a module tree described by dictionaries. The weights of
enlarging convolutions stand as in BasicSR's layout, since both hand them to a transposed
convolution as they are. Computes as the original does in float32 (``force_fp32``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ugpnet_core.plugins import (
    PERSISTENT_OBJECT,
    Checkpoint,
    Inert,
    WeightsError,
    is_tensor,
    load_tensors,
)
from ugpnet_priors.stylegan2.layouts import Part, State, check_kernel

LAYOUT = "NVIDIA's (stylegan2-ada-pytorch)"
# Modules of a network of 1024 pixels: about 120. A file could nest them without end.
MOST_MODULES = 2_000
MAPPING_RATE = 0.01
WHOLE_BATCH = 2**31

Tree = dict[str, Mapping[str, Any]]


def nvidia(file: Checkpoint) -> Part | None:
    """Read ``G_ema`` (or ``G``) and ``D``; None where the file holds no such modules.

    Raises:
        WeightsError: a conditional network, or an architecture other than skip G, residual D.
    """
    content = file.content if isinstance(file.content, Mapping) else {"G_ema": file.content}
    generator = _tree(content.get("G_ema"), file) or _tree(content.get("G"), file)
    options: dict[str, Any] = {}
    weights: State | None = None
    if generator is not None:
        _check(generator, file)
        weights = _generator(generator, file)
        options |= {"unscaled_epsilon": True, "conv_clamp": _clamp(generator, file)}
        options["w_avg"] = "w_avg" in weights
    if _is_network(content.get("D")):
        return Part(LAYOUT, weights, options, lambda: _read_discriminator(content["D"], file))
    return None if weights is None else Part(LAYOUT, weights, options)


def _read_discriminator(described: Any, file: Checkpoint) -> tuple[State, dict[str, Any]]:
    """Weights and options of a discriminator.

    Raises:
        WeightsError: of another architecture, as those of the published networks for CIFAR-10.
    """
    tree = _tree(described, file) or {}
    _check(tree, file)
    if "b4.mbstd" not in tree:
        raise WeightsError(
            f"{file.path} has a discriminator without minibatch deviation, which cannot be read; "
            "use one with mbstd_num_channels=1."
        )
    group = tree["b4.mbstd"].get("group_size", 4)
    return _discriminator(tree, file), {
        "conv_clamp": _clamp(tree, file),
        "stddev_group": WHOLE_BATCH if group is None else int(group),
    }


def _is_network(described: Any) -> bool:
    return isinstance(described, Inert) and described.name == PERSISTENT_OBJECT


def _tree(described: Any, file: Checkpoint) -> Tree | None:
    """The state of every module by its path; None where this is no module."""
    if not _is_network(described):
        return None
    tree: Tree = {}
    waiting: list[tuple[str, Any]] = [("", described)]
    while waiting:
        path, module = waiting.pop()
        meta = module.arguments[0] if isinstance(module, Inert) and module.arguments else None
        state = meta.get("state") if isinstance(meta, Mapping) else None
        if not isinstance(state, Mapping) or len(tree) >= MOST_MODULES:
            raise WeightsError(f"{file.path} is damaged: {path or 'a network'} is no module.")
        tree[path] = state
        children = state.get("_modules") or {}
        waiting += [
            (f"{path}.{name}".lstrip("."), child)
            for name, child in children.items()
            if child is not None
        ]
    return tree


def _check(tree: Tree, file: Checkpoint) -> None:
    top = tree[""]
    if top.get("c_dim") or any(path.endswith("mapping.embed") for path in tree):
        raise WeightsError(
            f"{file.path} is conditional ({top.get('c_dim')} classes or labels), which cannot be a "
            "prior; use a network trained without labels (cond=0)."
        )
    if top.get("img_channels", 3) != 3:
        raise WeightsError(f"{file.path} has {top['img_channels']} colour channels; use RGB.")
    is_generator = "synthesis" in tree
    wanted = "skip" if is_generator else "resnet"
    for path, state in tree.items():
        architecture = state.get("architecture", wanted)
        if architecture != wanted:
            raise WeightsError(
                f"{file.path} has a {'generator' if is_generator else 'discriminator'} of "
                f"architecture {architecture!r}, which cannot be read; only {wanted!r} can."
            )
        if state.get("activation", "lrelu") not in ("lrelu", "linear"):
            raise WeightsError(
                f"{file.path} activates {path} by {state['activation']!r}, which cannot be read; "
                "only 'lrelu' can."
            )
        rate = state.get("bias_gain", MAPPING_RATE)
        if path.startswith("mapping.fc") and not math.isclose(rate, MAPPING_RATE):
            raise WeightsError(
                f"{file.path} has a mapping network of learning rate multiplier {rate}, which "
                f"cannot be read; only {MAPPING_RATE} can."
            )


def _tensors(tree: Tree, file: Checkpoint) -> State:
    """All parameters and buffers by path; frozen layers keep their weights as buffers."""
    found = {
        f"{path}.{name}".lstrip("."): value
        for path, state in tree.items()
        for kind in ("_parameters", "_buffers")
        for name, value in (state.get(kind) or {}).items()
        if is_tensor(value)
    }
    tensors = {key: value.float() for key, value in load_tensors(found, file).items()}
    for key in [key for key in tensors if key.endswith("resample_filter")]:
        check_kernel(tensors.pop(key), str(file.path))
    return tensors


def _generator(tree: Tree, file: Checkpoint) -> State:
    state: State = {}
    for path, value in _tensors(tree, file).items():
        block = re.fullmatch(r"synthesis\.b(\d{1,4})\.(conv[01]|torgb)\.(.+)", path)
        mapping = re.fullmatch(r"mapping\.fc(\d{1,3})\.(weight|bias)", path)
        if block:
            side, layer, name = int(block[1]), block[2], block[3]
            key, value = _generator_entry(side, layer, name, value)
            state[key] = value
        elif mapping:
            state[f"style_mlp.{int(mapping[1]) + 1}.{mapping[2]}"] = value
        elif path == "mapping.w_avg":
            state["w_avg"] = value
        elif path == "synthesis.b4.const":
            state["constant_input.weight"] = value[None]
        else:
            raise _unknown(path, file)
    return _with_silent_noise(state)


def _generator_entry(side: int, layer: str, name: str, value: Tensor) -> tuple[str, Tensor]:
    """Key and shape in our layout of one tensor of a block."""
    level = side.bit_length() - 4  # 0 at 8 pixels
    if layer == "torgb":
        prefix = "to_rgb1" if side == 4 else f"to_rgbs.{level}"
    else:
        index = 2 * level + int(layer[-1])
        prefix = "style_conv1" if side == 4 else f"style_convs.{index}"
        if name == "noise_const":
            return f"noises.noise{index + 1}", value[None, None]
    if name.startswith("affine."):
        return f"{prefix}.modulated_conv.modulation.{name.removeprefix('affine.')}", value
    if name == "weight":
        return f"{prefix}.modulated_conv.weight", value[None]
    if name == "noise_strength":
        return f"{prefix}.weight", value.reshape(1)
    if name == "bias" and layer == "torgb":
        return f"{prefix}.bias", value.reshape(1, -1, 1, 1)
    return f"{prefix}.{'activate.' if name == 'bias' else ''}{name}", value


def _with_silent_noise(state: State) -> State:
    """A layer made without noise has none of its tensors; zeros compute the same."""
    for key in [key for key in state if key.endswith("activate.bias")]:
        prefix = key.removesuffix(".activate.bias")
        if f"{prefix}.weight" not in state:
            index = 0 if prefix == "style_conv1" else int(prefix.rpartition(".")[2]) + 1
            side = 2 ** ((index + 5) // 2)
            state[f"{prefix}.weight"] = torch.zeros(1)
            state[f"noises.noise{index}"] = torch.zeros(1, 1, side, side)
    return state


_DISCRIMINATOR = {
    "fromrgb.weight": "conv_body.0.0.weight",
    "fromrgb.bias": "conv_body.0.1.bias",
    "conv0.weight": "conv_body.{}.conv1.0.weight",
    "conv0.bias": "conv_body.{}.conv1.1.bias",
    "conv1.weight": "conv_body.{}.conv2.1.weight",
    "conv1.bias": "conv_body.{}.conv2.2.bias",
    "skip.weight": "conv_body.{}.skip.1.weight",
}
_EPILOGUE = {
    "conv.weight": "final_conv.0.weight",
    "conv.bias": "final_conv.1.bias",
    "fc.weight": "final_linear.0.weight",
    "fc.bias": "final_linear.0.bias",
    "out.weight": "final_linear.1.weight",
    "out.bias": "final_linear.1.bias",
}


def _discriminator(tree: Tree, file: Checkpoint) -> State:
    tensors = _tensors(tree, file)
    sides = [int(path[1:]) for path in tree if re.fullmatch(r"b\d{1,4}", path)]
    levels = max(sides, default=4).bit_length()
    state: State = {}
    for path, value in tensors.items():
        block, _, name = path.partition(".")
        key = (_EPILOGUE if block == "b4" else _DISCRIMINATOR).get(name)
        if key is None or not re.fullmatch(r"b\d{1,4}", block):
            raise _unknown(path, file)
        # Blocks count from the largest side; the one before them is fromrgb.
        state[key.format(levels - int(block[1:]).bit_length() + 1)] = value
    return state


def _clamp(tree: Tree, file: Checkpoint) -> float | None:
    """The one ``conv_clamp`` of a network; the 1x1 convolutions beside the blocks have none."""
    clamps = {
        state["conv_clamp"]
        for path, state in tree.items()
        if "conv_clamp" in state and re.search(r"\.(conv\d?|torgb|fromrgb)$", path)
    }
    if len(clamps) > 1:
        raise WeightsError(f"{file.path} clamps its layers differently, which cannot be read.")
    clamp = next(iter(clamps), None)
    return None if clamp is None else float(clamp)


def _unknown(path: str, file: Checkpoint) -> WeightsError:
    return WeightsError(
        f"{file.path} has {path!r}, which StyleGAN2 has not (it may be StyleGAN3 or a changed "
        "network); use a network of stylegan2-ada-pytorch."
    )
