"""Which of several generators in a checkpoint is read is never guessed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import ugpnet_core as ug
from tests.core.test_checkpoint_locating import PRIOR, State, under
from ugpnet_core.errors import SeveralNetworksError, WeightsError
from ugpnet_core.model_files.inspection import inspect
from ugpnet_core.model_files.prior import create_discriminator, read_prior


def networks_of_a_prior() -> tuple[State, State]:
    generator: Any = ug.create_prior("stylegan2", **PRIOR)
    return generator.state_dict(), create_discriminator("stylegan2", **PRIOR).state_dict()


CONSTANT = "constant_input.weight"
SEVERAL: dict[str, tuple[str, ...]] = {
    "dictionaries": ("G_a", "G_b"),
    "roles": ("student", "teacher"),
    "usual names": ("generator", "netG"),
}


@pytest.mark.parametrize("form", ["dictionaries", "modules", "wrapped modules"])
@pytest.mark.parametrize("case", SEVERAL)
def test_which_of_several_generators_is_never_guessed(case: str, form: str, tmp_path: Path) -> None:
    generator, discriminator = networks_of_a_prior()
    first, second = SEVERAL[case]
    content: Any = {first: generator, second: under("", generator, 1), "D": discriminator}
    if form != "dictionaries":
        before = "module." if form == "wrapped modules" else ""
        inner = [under(f"{before}{name}.", state) for name, state in content.items()]
        content = {"state_dict": {key: v for state in inner for key, v in state.items()}}
    path = tmp_path / "two.ckpt"
    torch.save(content, path)
    said = rf"{first}'.*{second}'.*key="
    with pytest.raises(SeveralNetworksError, match=said):
        read_prior(path)
    assert re.search(said, inspect(path)["problem"])
    for plus, key in enumerate((first, second)):
        stored = read_prior(path, key=key)
        assert stored is not None
        assert torch.equal(stored.generator[CONSTANT], generator[CONSTANT] + plus)
        # What there is but once belongs to each of them.
        assert stored.discriminator is not None
        made: Any = ug.create_prior("stylegan2", weights=path, key=key, base_size=8)
        assert torch.equal(made.constant_input.weight, generator[CONSTANT] + plus)
        assert inspect(path, key)["holds"] == ["generator", "discriminator"]
    with pytest.raises(WeightsError, match="nothing under 'pupil'"):
        read_prior(path, key="pupil")


@pytest.mark.parametrize("form", ["dictionaries", "modules"])
@pytest.mark.parametrize(
    ("plain", "copy"),
    [
        ("generator", "generator_ema"),
        ("netG", "netG_ema"),
        ("G", "ema"),
        ("params", "params-ema"),
        ("g", "G_EMA"),
        ("g_ema", "g"),
    ],
)
def test_of_several_generators_the_averaged_copy_is_read(
    plain: str, copy: str, form: str, tmp_path: Path
) -> None:
    generator, discriminator = networks_of_a_prior()
    averaged = under("", generator, 1)
    content: Any = {plain: generator, copy: averaged, "discriminator": discriminator}
    if plain == "g_ema":  # in another order
        content = {plain: averaged, copy: generator}
    names = content.keys()
    if form == "modules":
        inner = [under(f"{name}.", state) for name, state in content.items()]
        content = {"state_dict": {key: v for state in inner for key, v in state.items()}}
    torch.save(content, tmp_path / "both.pth")
    stored = read_prior(tmp_path / "both.pth")
    assert stored is not None
    assert torch.equal(stored.generator[CONSTANT], averaged[CONSTANT])
    assert (stored.discriminator is not None) == ("discriminator" in names)


def test_dictionaries_of_one_name_are_not_taken_for_one(tmp_path: Path) -> None:
    generator, discriminator = networks_of_a_prior()
    path = tmp_path / "nested.pth"
    torch.save({"G": {"state_dict": generator}, "D": {"state_dict": discriminator}}, path)
    stored = read_prior(path)
    assert stored is not None
    assert stored.discriminator is not None
    two = {"a": {"G": generator, "D": discriminator}, "b": {"G": under("", generator, 1)}}
    torch.save(two, path)
    with pytest.raises(WeightsError, match=r"under 'a\.G', 'b\.G'; .*key="):
        read_prior(path)
    for key, plus in (("a.G", 0), ("b.G", 1), ("a", 0), ("b", 1)):
        chosen = read_prior(path, key=key)
        assert chosen is not None
        assert torch.equal(chosen.generator[CONSTANT], generator[CONSTANT] + plus)


def test_the_discriminator_of_one_generator_among_several_is_not_guessed(tmp_path: Path) -> None:
    generator, discriminator = networks_of_a_prior()
    path = tmp_path / "pairs.pth"
    torch.save(
        {"G_a": generator, "G_b": generator, "D_a": discriminator, "D_b": discriminator}, path
    )
    stored = read_prior(path, key="G_a")
    assert stored is not None
    assert stored.discriminator is None
    assert re.search(r"left out: .*several.*'D_a', 'D_b'", stored.facts["discriminator"])
    alone = read_prior(path, key="D_b")
    assert alone is not None
    assert not alone.generator


def test_a_list_has_its_places_for_names(tmp_path: Path) -> None:
    generator, discriminator = networks_of_a_prior()
    torch.save([generator, under("", generator, 1), discriminator], tmp_path / "w.pth")
    with pytest.raises(SeveralNetworksError, match=r"'0', '1'; .*key="):
        read_prior(tmp_path / "w.pth")
    stored = read_prior(tmp_path / "w.pth", key="1")
    assert stored is not None
    assert torch.equal(stored.generator[CONSTANT], generator[CONSTANT] + 1)
    torch.save((generator, discriminator), tmp_path / "w.pth")
    both = read_prior(tmp_path / "w.pth")
    assert both is not None
    assert both.discriminator is not None
