"""What plugins may import, and that nothing a plugin does reaches others."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import ugpnet_core as ug
from ugpnet_core import factory as factory_module
from ugpnet_core import plugins
from ugpnet_core.errors import PluginError
from ugpnet_core.plugins import BackboneEntry, Installed, Options, discover

ROOT = Path(__file__).parents[2]
OURS = [
    path
    for folder in ("ugpnet_backbones", "ugpnet_priors", "examples/custom_backbone")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "build" not in path.parts
]
HEAD = """
from ugpnet_core.plugins import BackboneEntry, Options, hookimpl
def entry(**more):
    given = dict(name="mine", description="A test.", factory="a.b:C", kind="direct",
                 feature_channels=8, options=Options)
    return BackboneEntry(**{**given, **more})
"""
HOOK = """
@hookimpl
def ugpnet_backbones():
    return [entry()]
"""


Load = Callable[[str], plugins.Registry]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Discovers one plugin whose module has a given text."""
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(99))

    def load(text: str) -> plugins.Registry:
        name = f"{tmp_path.name}_{next(count)}"  # no other test has imported that
        (tmp_path / f"{name}.py").write_text(HEAD + text)
        return discover([EntryPoint("mine", name, plugins.GROUP)])

    return load


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_our_plugins_import_the_interface_only(path: Path) -> None:
    allowed = {"ugpnet_core", "ugpnet_core.plugins", "ugpnet_core.testing"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ugpnet_core"):
            assert node.module in allowed, f"line {node.lineno}: {node.module}"
            if node.module == "ugpnet_core.plugins":
                names = {one.name for one in node.names}
                assert names <= set(plugins.INTERFACE), names


@pytest.mark.parametrize("name", plugins.INTERFACE)
def test_every_name_of_the_interface_is_there_and_documented(name: str) -> None:
    assert getattr(plugins, name) is not None
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert re.search(rf"`{name}`", text), f"docs/plugins.md does not say what {name} is"


def test_what_is_not_in_the_interface_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plugins.nothing  # noqa: B018
    assert "RegressionNetwork" in dir(plugins)


@pytest.mark.parametrize(
    ("declared", "is_usable"), [("1", True), ("2", False), ("'soon'", False), ("1.5", False)]
)
def test_a_plugin_for_a_later_interface_says_so(
    loaded: Load, declared: str, is_usable: bool
) -> None:
    found = loaded(f"PLUGIN_API = {declared}\n" + HOOK)
    assert ("mine" in found.backbones) == is_usable
    reasons = [problem.reason for problem in found.problems]
    said = f"is made for plugin interface {declared}, and this ugpnet-core has 1; install a newer"
    assert not reasons if is_usable else reasons[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@hookimpl\ndef ugpnet_engines(): return []\n", "unknown hook 'ugpnet_engines'; did"),
        (
            "@hookimpl\ndef ugpnet_backbones(): return [entry(colour='red')]\n",
            "unexpected keyword argument 'colour'",
        ),
    ],
)
def test_what_this_version_does_not_know_may_be_of_a_later_one(
    loaded: Load, text: str, said: str
) -> None:
    (problem,) = loaded(text).problems
    assert said in problem.reason
    assert "If it was made for a later ugpnet-core, install that" in problem.reason


def test_a_later_hook_may_be_optional(loaded: Load) -> None:
    found = loaded(HOOK + "@hookimpl(optionalhook=True)\ndef ugpnet_engines(): return []\n")
    assert list(found.backbones) == ["mine"]
    assert not found.problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "class Odd(list):\n    def __iter__(self): raise OSError('gone')\n"
            "@hookimpl\ndef ugpnet_backbones(): return Odd([entry()])\n",
            "ugpnet_backbones() failed: OSError: gone",
        ),
        (
            "@hookimpl\ndef ugpnet_backbones(): return [entry(parameters=10**400)]\n",
            "which should be a number that a network can have",
        ),
    ],
)
def test_what_would_break_a_listing_is_named(loaded: Load, text: str, said: str) -> None:
    (problem,) = loaded(text).problems
    assert said in problem.reason
    assert len(problem.reason) < 200


def test_a_slow_plugin_is_named_with_its_time(
    loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not loaded(HOOK).slow
    monkeypatch.setattr("ugpnet_core.plugins.discovery.SLOW_SECONDS", 0.05)
    (said,) = loaded("import time; time.sleep(0.1)\n" + HOOK).slow
    assert re.match(r"The plugin 'mine' of \S.+ takes 1\d\d ms to load, which every command", said)


def test_a_plugin_that_imports_torch_makes_listings_slow(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text("import torch\n" + HEAD + HOOK)
    program = """
import sys; from importlib.metadata import EntryPoint; from ugpnet_core.plugins import discover
found = discover([EntryPoint("mine", "heavy", "ugpnet")])
print(found.slow[0]); print(list(found.backbones))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "ms to load and imports torch, which" in done.stdout
    assert "['mine']" in done.stdout


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("sys:exit", "'sys:exit' of acme failed to make 'mine' (SystemExit"),
        ("collections:OrderedDict.fromkeys", "of acme failed to make 'mine' (TypeError"),
        ("ugpnet_nowhere.network:Net", "cannot be imported: ModuleNotFoundError"),
        ("plugin_that_gives_a_class:make", "returned the class int for 'mine' and not one of its"),
    ],
)
def test_a_factory_that_fails_names_its_distribution(
    factory: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugin_that_gives_a_class.py").write_text("def make(): return int\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = BackboneEntry(
        name="mine", description="A test.", factory=factory, kind="direct", feature_channels=8
    )
    installed = Installed(entry, "acme", "1")
    monkeypatch.setattr(factory_module, "find", lambda *_: installed)
    with pytest.raises(PluginError) as caught:
        ug.create_backbone("mine")
    assert said in str(caught.value)
    assert "acme" in str(caught.value)


def test_listings_say_what_is_slow(
    installed_plugins: Callable[..., plugins.Registry], capsys: pytest.CaptureFixture[str]
) -> None:
    from ugpnet_core import cli

    installed_plugins(base=plugins.Registry(), slow=("The plugin 'mine' takes 12 s.",))
    assert cli.main(["list-backbones"]) == 0
    assert capsys.readouterr().err == "The plugin 'mine' takes 12 s.\n"
    assert cli.main(["list-backbones", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slow"] == ["The plugin 'mine' takes 12 s."]


class Mine(Options):
    width: int = 8


MINE = """
from torch import nn
from ugpnet_core.plugins import RegressionNetwork

def options_of(tensors):
    return {'width': tensors['mine.stem.weight'].shape[0]}

class Mine(RegressionNetwork):
    kind, scale, feature_channels = 'direct', 1, 8

    def __init__(self, width):
        super().__init__()
        self.mine = nn.ModuleDict({'stem': nn.Linear(3, width, bias=False)})

    def forward_features(self, x):
        return x

    def head(self, f):
        return f
"""


def test_a_plugin_tells_its_checkpoints_and_reads_their_options(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed_plugins: Callable[..., plugins.Registry],
) -> None:
    """The core knows no architecture of a plugin by name: entries bring signatures and readers."""
    import torch
    from safetensors.torch import save_file

    from ugpnet_core.model_files.inspection import inspect

    (tmp_path / "reads_mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    entry = BackboneEntry(
        name="mine",
        description="A test.",
        factory="reads_mine:Mine",
        options=Mine,
        kind="direct",
        feature_channels=8,
        signatures={"mine.stem.weight": "MyNet"},
        reader="reads_mine:options_of",
    )
    installed_plugins(Installed(entry, "acme", "1"))
    path = tmp_path / "weights.safetensors"
    save_file({"net.mine.stem.weight": torch.zeros(6, 3), "loss.other": torch.zeros(1)}, path)
    facts = inspect(path)
    assert (facts["kind"], facts["layout"]) == ("backbone", "MyNet")
    assert facts["backbone"] == {"name": "mine", "options": {"width": 6}}
    assert "model.backbone.name=mine" in facts["use"][0]


def test_no_architecture_of_a_plugin_is_named_in_the_core() -> None:
    """But for the paper's, which a configuration has that names none."""
    names = [entry.name for entry in ug.list_backbones() if entry.name != "unet"]
    for path in sorted((ROOT / "ugpnet_core").rglob("*.py")):
        # Nor is a library one that has the name of a plugin.
        if path.name == "config.py" or path.parts[-2:] == ("studies", "code.py"):
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and node.value in names:
                raise AssertionError(f"{path}:{node.lineno} names {node.value}")
