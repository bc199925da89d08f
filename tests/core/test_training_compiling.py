"""What of a network is compiled."""

from __future__ import annotations

import pytest
from torch import nn

from ugpnet_core.factory import create_backbone
from ugpnet_core.training.compiling import compile_network, repeated_blocks


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList([Part(), Part()])


class Part(nn.Module):
    pass


class Other(nn.Module):
    pass


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[nn.Module, dict[str, object]]]:
    asked: list[tuple[nn.Module, dict[str, object]]] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: asked.append((self, options)))
    return asked


def test_the_outermost_blocks_that_repeat_are_found() -> None:
    blocks = [Block() for _ in range(4)]
    few = [Other() for _ in range(3)]
    convolutions = [nn.Conv2d(1, 1, 1) for _ in range(9)]
    network = nn.Sequential(*blocks, *few, *convolutions)
    assert list(repeated_blocks(network)) == blocks


def test_nafnets_blocks_are_compiled_each_for_its_size(
    compiled: list[tuple[nn.Module, dict[str, object]]],
) -> None:
    network = create_backbone("nafnet", width=4, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1])
    assert isinstance(network, nn.Module)
    compile_network(network, "blocks")
    assert [type(one).__name__ for one, _ in compiled] == ["NAFBlock"] * 5
    assert all(options == {"dynamic": False} for _, options in compiled)


@pytest.mark.parametrize("what", [True, "blocks"])
def test_a_network_without_blocks_is_compiled_whole(
    what: bool, compiled: list[tuple[nn.Module, dict[str, object]]]
) -> None:
    network = nn.Conv2d(1, 1, 1)
    compile_network(network, what)
    assert compiled == [(network, {})]


def test_nothing_is_compiled_unless_asked(
    compiled: list[tuple[nn.Module, dict[str, object]]],
) -> None:
    compile_network(nn.Conv2d(1, 1, 1), False)
    assert compiled == []
