"""Run a network that knows nothing of this toolkit, and see what passes through its layers.

Hooks live only as long as a run and see only the thread that started it; :func:`undisturbed` puts
back everything else that a run may change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ugpnet_core.errors import PluginError

Call = Callable[[nn.Module, Tensor], Any]
"""How a network is run on images (N, 3, H, W): what it returns may be anything."""


def plain_call(network: nn.Module, x: Tensor) -> Any:
    """Run a network as most want to be run: on the images alone.

    Args:
        network: The network.
        x: The images (N, 3, H, W), RGB in [0, 1].
    """
    return network(x)


def run_to(
    network: nn.Module, layer: nn.Module, x: Tensor, call: Call, copy: bool = False
) -> tuple[list[Any], Any]:
    """Run a network on x and note what enters one of its layers at the last of its calls.

    Args:
        copy: note a copy, for layers that change what enters them.

    Returns:
        All arguments of that call (an empty list: the layer was never called), and what the
        network returned.
    """
    thread = threading.get_ident()
    entered: list[Any] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if threading.get_ident() == thread:
            given = (*args, *kwargs.values())
            entered[:] = [a.clone() if copy and isinstance(a, Tensor) else a for a in given]

    handle = layer.register_forward_pre_hook(note, with_kwargs=True)
    try:
        returned = call(network, x)
    finally:
        handle.remove()
    return entered, returned


def run_through(
    network: nn.Module, x: Tensor, call: Call
) -> tuple[dict[str, tuple[Tensor, Tensor]], Any]:
    """Run a network on x and note the one map that enters and the one that leaves each layer.

    Returns:
        By name, in the order in which the layers finished (the last call counts): input and
        output, of those layers that turn one 4-D tensor into another; and what the network
        returned.
    """
    thread = threading.get_ident()
    noted: dict[str, tuple[Tensor, Tensor]] = {}
    handles: list[RemovableHandle] = []

    def note(name: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(_: nn.Module, args: Any, kwargs: dict[str, Any], returned: Any) -> None:
            given = (*args, *kwargs.values())
            noted.pop(name, None)
            maps = [a for a in (*given, returned) if isinstance(a, Tensor) and a.dim() == 4]
            if threading.get_ident() == thread and len(given) == 1 and len(maps) == 2:
                # What happens to the map later must not show.
                noted[name] = (maps[0], maps[1].clone())

        return hook

    try:
        for name, layer in network.named_modules():
            if name:
                handles.append(layer.register_forward_hook(note(name), with_kwargs=True))
        returned = call(network, x)
    finally:
        for handle in handles:
            handle.remove()
    return noted, returned


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """In evaluation mode and without gradients; afterwards each layer's mode, the buffers (such
    as running statistics) and the random state are what they were."""
    modes = [(layer, layer.training) for layer in network.modules()]
    buffers = [
        (layer, name, buffer, buffer.detach().clone())
        for layer in network.modules()
        for name, buffer in layer.named_buffers(recurse=False)
    ]
    devices = {p.device for p in network.parameters() if p.device.type == "cuda"}
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(list(devices)):
            yield
    finally:
        for layer, mode in modes:
            layer.training = mode
        with torch.no_grad():
            for layer, name, buffer, saved in buffers:
                buffer.copy_(saved)
                setattr(layer, name, buffer)


def image_of(returned: Any, output: int | str | None) -> Tensor:
    """The restored image among what a network returned.

    Args:
        output: index or key (or attribute) of the image where the network returns several things;
            None where it returns a tensor.

    Raises:
        PluginError: it is not there; the message lists what was returned.
    """
    if output is None and isinstance(returned, Tensor):
        return returned
    if output is None:
        raise PluginError(
            f"The network returns {_described(returned)}; say with output= which of them is the "
            "restored image."
        )
    if isinstance(returned, Tensor):
        raise PluginError("The network returns one tensor; leave output= out.")
    image = _parts(returned).get(output)
    if image is None and isinstance(output, int) and isinstance(returned, tuple | list):
        image = returned[output] if -len(returned) <= output < 0 else None
    if not isinstance(image, Tensor):
        raise PluginError(
            f"The network has no image at output={output!r}; it returns {_described(returned)}."
        )
    return image


def _parts(returned: Any) -> dict[int | str, Any]:
    if isinstance(returned, Mapping):
        return dict(returned)
    if isinstance(returned, tuple | list):
        named = dict.fromkeys(getattr(returned, "_fields", ()))
        names: dict[int | str, Any] = {name: getattr(returned, name) for name in named}
        return names | dict(enumerate(returned))
    if is_dataclass(returned):
        return {field.name: getattr(returned, field.name) for field in fields(returned)}
    return {}


def _described(returned: Any) -> str:
    parts = [
        f"{key!r}: {tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__}"
        for key, part in _parts(returned).items()
    ]
    return f"a {type(returned).__name__}" + (f" with {', '.join(parts)}" if parts else "")
