"""``ugpnet show``: the card of a backbone, preset, prior, model or task."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Annotated, Any

import typer

from ugpnet_core.cli.card import Card, card_of
from ugpnet_core.cli.console import output, plain
from ugpnet_core.cli.listing import Json, millions
from ugpnet_core.cli.options import OptionPairs, parse_options
from ugpnet_core.plugins import WORDS, find, find_any
from ugpnet_core.plugins.origin import Origin

Row = tuple[str, object]


class Kind(str, Enum):
    """What ``--kind`` takes."""

    backbone = "backbone"
    prior = "prior"
    model = "model"
    task = "task"


def show(
    name: Annotated[str, typer.Argument(help="Of a backbone, preset, prior, model or task.")],
    options: OptionPairs = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Where several kinds have the name: only this one.")
    ] = None,
    count: Annotated[
        bool,
        typer.Option("--count", help="Build the network, and count parameters and GMACs: seconds."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show all there is to know of an installed backbone, preset, prior, model or task.

    What it is and takes, its options and presets, parameters, paper and licence, and where it was
    installed from. With options or --count the network is built, and parameters, GMACs and features
    are its own; otherwise they are what its package declares.

    Example: ugpnet show nafnet -O width=64
    """
    given = parse_options(options or [])
    if kind is None:
        found = find_any(name)
    else:
        found = [find(next(each for each in WORDS if WORDS[each] == kind.value), name)]
    cards = [card_of(one, given, count=count) for one in found]
    if as_json:
        print(json.dumps({"cards": cards}, indent=2))
        return
    for card in cards:
        _print(card)


def _print(card: Card) -> None:
    from rich.text import Text

    console = output()
    preset_of = card.get("preset_of")
    what = f"preset of the backbone {preset_of}" if preset_of else card["what"]
    console.print(Text(f"{plain(card['name'])} ({plain(what)})"))
    console.print(Text(plain(card["description"])))
    console.print()
    _print_grid((label, _words(value)) for label, value in rows_of(card))
    if card.get("options"):
        console.print("\nOptions: name, default, type, meaning")
        _print_grid(map(_option_cells, card["options"]))
    if card.get("presets"):
        console.print("\nPresets: name, parameters, what it sets")
        _print_grid(map(_preset_cells, card["presets"]))
    console.print()


def _print_grid(rows: Iterable[tuple[str, ...]]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for cells in rows:
        while len(table.columns) < len(cells):
            table.add_column(overflow="fold")
        table.add_row(*(Text(plain(cell)) for cell in cells))
    output().print(Padding(table, (0, 0, 0, 2)))


def rows_of(card: Card) -> Iterator[Row]:
    """The facts of a card in the order of reading, each with its label."""
    measured: Mapping[str, Any] = card.get("measured") or {}
    facts = {**card, **{key: value for key, value in measured.items() if value is not None}}
    if card["what"] == "backbone":
        yield from _backbone_rows(facts)
    elif card["what"] == "prior":
        yield "resolution", facts.get("resolution")
        yield "feature channels", facts.get("feature_channels")
        if measured:
            yield "base code", f"{facts['base_channels']} channels, {_square(facts['base_size'])}"
            yield "styles", f"{facts['num_styles']} of {facts['style_dim']}"
    elif card["what"] == "model":
        yield from _model_rows(facts)
    else:
        scale = facts["scale"] or "set by the options"
        yield "scale", f"{scale} (the degraded image is so many times smaller)"
    if card["what"] != "task":
        yield "parameters", _parameters(card, measured)
        yield "GMACs", _gmacs(card, measured)
    for label in ("paper", "licence"):
        if card.get(label):
            yield label, card[label]
    yield "distribution", f"{card['distribution']} {card['version']}"
    yield "installed from", Origin(**card["origin"])


def _backbone_rows(facts: Mapping[str, Any]) -> Iterator[Row]:
    if facts["preset_of"]:
        yield "sets", _assignments(facts["preset_options"])
    if facts["given"]:
        yield "given", _assignments(facts["given"])
    yield "kind", facts["kind"]
    yield "feature channels", facts["feature_channels"]
    yield "scale", facts["scale"]
    yield "image sizes", _sizes(facts)
    yield "loss", facts["loss"]
    for label, key in (
        ("bfloat16", "bfloat16"),
        ("channels_last", "channels_last"),
        ("torch.compile", "compiles"),
        ("ONNX export", "exports_onnx"),
    ):
        yield label, {True: "yes", False: "no", None: "not declared"}[facts[key]]


def _sizes(facts: Mapping[str, Any]) -> str:
    if facts["fixed_size"]:
        return f"up to {_square(facts['fixed_size'])}, padded to that"
    multiple = facts["size_multiple"]
    return "any" if multiple == 1 else f"any, padded to multiples of {multiple}"


_DOMAINS = {
    "faces": "faces, aligned as FFHQ's (eyes and mouth give the crop); found in photographs",
    "": "none: photographs are restored in tiles",
}


def _model_rows(facts: Mapping[str, Any]) -> Iterator[Row]:
    yield "task", facts["task"]
    yield "resolution", facts["resolution"]
    yield "domain", _DOMAINS[facts["domain"] or facts.get("config", {}).get("domain", "")]
    if facts["file_problem"]:
        yield "file", facts["file_problem"]
        return
    for part in ("backbone", "prior"):
        component = facts["config"][part]
        yield part, f"{component['name']} {_assignments(component['options'])}".strip()
    yield "file", f"{facts['path']} ({facts['bytes'] / 1e6:.1f} MB, SHA-256 as declared)"
    stages = facts["record"].get("stages")
    for stage, record in stages.items() if isinstance(stages, Mapping) else ():
        if isinstance(record, Mapping):
            yield f"trained: {stage}", _assignments(record)
    made_with = ", ".join(f"{name} {version}" for name, version in facts["plugins"].items())
    if made_with:
        yield "made with", made_with


def _parameters(card: Card, measured: Mapping[str, Any]) -> str:
    declared, counted = card["parameters"], measured.get("parameters")
    number = declared if counted is None else counted
    if number is None:
        return f"not known: {card['not_measured']}"
    words = f"{millions(number)} ({number:,})"
    if declared not in (None, number) and not card.get("given"):
        words += f", and declared are {declared:,}"
    return words


def _gmacs(card: Card, measured: Mapping[str, Any]) -> str:
    macs = measured.get("macs")
    if macs is None:
        return f"not known: {measured.get('macs_not_known') or card['not_measured']}"
    place = "an image" if card["what"] == "backbone" else "a result"
    return f"{macs / 1e9:.2f} for {place} of {_square(measured['macs_side'])}"


def _option_cells(option: Mapping[str, Any]) -> tuple[str, ...]:
    default = "required" if option["required"] else json.dumps(option["default"])
    type_ = ", ".join(filter(None, (option["type"], option["bounds"])))
    return option["name"], default, type_, option["description"]


def _preset_cells(preset: Mapping[str, Any]) -> tuple[str, ...]:
    words = f"{preset['description']}: {_assignments(preset['options'])}"
    return preset["name"], _words(millions(preset["parameters"])), words


def _assignments(options: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in options.items())


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _square(side: int) -> str:
    return f"{side}x{side} pixels"


def _words(value: object) -> str:
    return "-" if value in (None, "") else str(value)
