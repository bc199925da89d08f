"""Weights by name: in a package, on this machine, on a Hub that this file serves itself."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import ugpnet_core as ug
from ugpnet_core.checkpoints import downloads
from ugpnet_core.checkpoints.downloads import find_weights, human_size, is_offline
from ugpnet_core.cli import main
from ugpnet_core.config import TrainConfig
from ugpnet_core.errors import PluginError, WeightsError
from ugpnet_core.model_files.prior import write_prior
from ugpnet_core.model_files.prior_weights import PriorWeights
from ugpnet_core.plugins import Installed, ModelEntry, PriorEntry, Registry
from ugpnet_core.plugins.discovery import registry
from ugpnet_core.plugins.locations import Hub, Local, Packaged, parse_location
from ugpnet_core.plugins.wellformed import fault_of

Install = Callable[..., Registry]

OPTIONS: dict[str, Any] = {"resolution": 16, "style_dim": 4, "num_mlp": 1, "narrow": 1 / 128}
OPTIONS |= {"base_size": 8}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What the server has, by path, and what it was asked."""

    content: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with one repository, acme/priors, and an empty cache."""
    fake = FakeHub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self, body: bool) -> None:
            fake.asked.append(f"{self.command} {self.path}")
            data = fake.content.get(self.path.split("?")[0])
            if data is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            begin = 0
            asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if asked:
                begin = int(asked[1])
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(data) - begin))
            if asked:
                self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(data[begin:])

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    import huggingface_hub.constants as constants

    monkeypatch.setenv("HF_ENDPOINT", fake.url)
    monkeypatch.setattr(constants, "ENDPOINT", fake.url)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        fake.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A small prior file."""
    torch.manual_seed(3)
    network = cast(nn.Module, ug.create_prior("stylegan2", **OPTIONS))
    path = tmp_path / "made.safetensors"
    write_prior(path, "stylegan2", PriorWeights("ours", OPTIONS, network.state_dict()))
    # The file says whose it is.
    data = path.read_bytes()
    return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def prior(file: str, digest: str | None, **fields: Any) -> Installed[PriorEntry]:
    own = registry().priors["stylegan2"].entry
    fields = {"licence": "CC-BY-4.0", **fields}
    return Installed(replace(own, file=file, sha256=digest, **fields), "acme-priors", "1.0")


def serve(hub: FakeHub, data: bytes, revision: str = "main") -> str:
    hub.content[f"/acme/priors/resolve/{revision}/tiny/a.safetensors"] = data
    return f"hub:acme/priors/tiny/a.safetensors@{revision}"


# Where weights are


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (
            "ugpnet_priors.portraits:a/b.safetensors",
            Packaged("ugpnet_priors.portraits", "a/b.safetensors"),
        ),
        ("hub:acme/priors/a.safetensors", Hub("acme/priors", "a.safetensors", "main")),
        ("hub:acme/my.priors/x/y.pth@v1.0", Hub("acme/my.priors", "x/y.pth", "v1.0")),
        (f"hub:a/b/c@{COMMIT}", Hub("a/b", "c", COMMIT)),
        ("hub:a/b/c@refs/pr/1", Hub("a/b", "c", "refs/pr/1")),
        ("/srv/a b.safetensors", Local(Path("/srv/a b.safetensors"))),
        ("file:/srv/a.pth", Local(Path("/srv/a.pth"))),
        ("~/a.pth", Local(Path.home() / "a.pth")),
    ],
)
def test_forms_of_locations(text: str, place: object) -> None:
    assert parse_location(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "weights.safetensors",
        "file:weights.safetensors",
        "hub:acme",
        "hub:acme/priors",
        "hub:acme/priors/",
        "hub:acme/priors/../x",
        "hub:../acme/x/y",
        "hub:acme/priors/a@",
        "acme:../secret",
        "acme:/etc/passwd",
        "acme:a b",
        "ac me:a",
        "acme:",
    ],
)
def test_other_texts_are_no_locations(text: str) -> None:
    with pytest.raises(ValueError, match="is n"):
        parse_location(text)
    assert "file=" in (fault_of(prior(text, "0" * 64).entry) or "")


@pytest.mark.parametrize(
    ("file", "digest", "fault"),
    [
        ("hub:a/b/c", None, "without sha256"),
        ("hub:a/b/c", "123", "64 hexadecimal"),
        ("acme:a.safetensors", None, "without sha256"),
        ("hub:a/b/c", "0" * 64, None),
        ("/srv/a.safetensors", None, None),
    ],
)
def test_what_an_entry_must_say_of_its_file(
    file: str, digest: str | None, fault: str | None
) -> None:
    said = fault_of(prior(file, digest).entry)
    assert said is None if fault is None else fault in (said or "")


def test_size_is_positive() -> None:
    assert "size" in (fault_of(prior("/srv/a", None, size=0).entry) or "")


def test_a_local_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "with space.safetensors"
    path.write_bytes(content)
    assert find_weights(prior(str(path), None)) == path
    assert find_weights(prior(f"file:{path}", sha256(content).upper())) == path
    with pytest.raises(WeightsError, match="damaged; check the file"):
        find_weights(prior(str(path), "0" * 64))
    with pytest.raises(WeightsError, match=r"^Prior 'stylegan2' lacks its file"):
        find_weights(prior(str(tmp_path / "no"), None))


@pytest.mark.parametrize("place", [0, 7, 8, 31, 32, 63])
def test_every_digit_of_a_digest_counts(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"weights")
    digest = sha256(b"weights")
    other = "1" if digest[place] == "0" else "0"
    with pytest.raises(WeightsError, match="damaged"):
        find_weights(prior(str(path), digest[:place] + other + digest[place + 1 :]))


def test_a_file_inside_a_package(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "acme_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.safetensors").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = prior("acme_weights:a.safetensors", sha256(content))
    assert find_weights(source) == package / "a.safetensors"
    with pytest.raises(PluginError, match="no package"):
        find_weights(prior("acme_nothing:a.safetensors", sha256(content)))
    with pytest.raises(PluginError, match="no weights of its own"):
        find_weights(registry().priors["stylegan2"])


# From the Hub


def test_a_download_is_announced_checked_and_kept(
    hub: FakeHub, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source = prior(serve(hub, content, "v1"), sha256(content), size=12_345_678)
    path = find_weights(source)
    assert path.read_bytes() == content
    said = capsys.readouterr().err.splitlines()[0]
    assert said == (
        "Downloading the weights of prior 'stylegan2': tiny/a.safetensors, 12.3 MB, from "
        f"{hub.url}/acme/priors (revision v1), licence CC-BY-4.0"
    )
    asked = len(hub.asked)
    assert find_weights(source) == path
    assert len(hub.asked) == asked
    assert "Downloading" not in capsys.readouterr().err


def test_the_hub_says_how_large_where_the_entry_does_not(hub: FakeHub, content: bytes) -> None:
    lines: list[str] = []
    find_weights(prior(serve(hub, content), sha256(content), licence=""), say=lines.append)
    (line,) = lines
    assert f" {human_size(len(content))}, from" in line
    assert line.endswith("licence not stated")
    assert hub.asked[0].startswith("HEAD")


def test_a_file_with_another_digest_is_not_used(
    hub: FakeHub, content: bytes, tmp_path: Path
) -> None:
    file = serve(hub, content[:-1] + b"!")
    source = prior(file, sha256(content), size=1)
    with pytest.raises(WeightsError, match=r"another SHA-256 .* not used"):
        find_weights(source)
    assert not [path for path in (tmp_path / "cache").rglob("*.safetensors") if path.exists()]
    # Put right there, it is fetched anew.
    serve(hub, content)
    assert find_weights(source).read_bytes() == content


def test_a_damaged_cache_is_fetched_anew(hub: FakeHub, content: bytes) -> None:
    source = prior(serve(hub, content), sha256(content))
    path = find_weights(source)
    path.resolve().write_bytes(b"rotten")
    assert find_weights(source).read_bytes() == content


def test_offline_is_one_sentence_that_says_what_to_do(
    hub: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = prior(serve(hub, content), sha256(content))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError) as caught:
        find_weights(source)
    message = str(caught.value)
    assert "run it once without --offline" in message
    assert f"{hub.url}/acme/priors/resolve/main/tiny/a.safetensors" in message
    assert "\n" not in message
    assert not hub.asked
    monkeypatch.delenv("HF_HUB_OFFLINE")
    path = find_weights(source)
    monkeypatch.setenv("HF_HUB_OFFLINE", "yes")
    assert find_weights(source) == path


def test_without_permission_nothing_is_fetched(hub: FakeHub, content: bytes) -> None:
    source = prior(serve(hub, content), sha256(content))
    with pytest.raises(WeightsError, match="have not been downloaded"):
        find_weights(source, download=False)
    assert not hub.asked


@pytest.mark.parametrize("gone", ["file", "server"])
def test_what_cannot_be_fetched_is_one_sentence(
    hub: FakeHub, content: bytes, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = prior(serve(hub, content), sha256(content), size=3)
    hub.content.clear()
    if gone == "server":
        import huggingface_hub

        def refuse(*_: object, **__: object) -> str:
            raise ConnectionError("no route\nto host")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(
        WeightsError, match=r"cannot be downloaded .*check the connection"
    ) as caught:
        find_weights(source)
    assert "\n" not in str(caught.value)
    assert ("it is not there" if gone == "file" else "no route to host") in str(caught.value)


def test_a_missing_library_is_named(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ug.DependencyError, match="pip install huggingface_hub"):
        find_weights(prior("hub:a/b/c", sha256(content)))


@pytest.mark.parametrize(
    ("value", "offline"),
    [("1", True), ("ON", True), ("true", True), ("0", False), ("", False), ("no", False)],
)
def test_the_usual_variables(value: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in downloads.OFFLINE_VARIABLES:
        for other in downloads.OFFLINE_VARIABLES:
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv(name, value)
        assert is_offline() is offline


def test_sizes_in_words() -> None:
    sizes = (None, 12, 1_500, 3_400_000, 2_000_000_000)
    words = ["of unknown size", "12 bytes", "1.5 kB", "3.4 MB", "2.0 GB"]
    assert [human_size(size) for size in sizes] == words


# In use


def test_create_prior_loads_the_weights_of_its_entry(
    hub: FakeHub, content: bytes, installed_plugins: Install
) -> None:
    installed_plugins(prior(serve(hub, content), sha256(content), size=1))
    made = ug.create_prior("stylegan2")
    torch.manual_seed(3)
    from ugpnet_core.factory import make_prior

    expected = cast(nn.Module, make_prior("stylegan2", **OPTIONS)).state_dict()
    state = cast(nn.Module, made).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in state.items())
    with pytest.raises(ug.ConfigError, match="leave it out"):
        ug.create_prior("stylegan2", resolution=32)


def test_building_a_model_downloads_nothing(
    hub: FakeHub, content: bytes, installed_plugins: Install
) -> None:
    installed_plugins(prior(serve(hub, content), sha256(content)))
    small = {"width": 4, "enc_blk_nums": [1], "middle_blk_num": 0, "dec_blk_nums": [1]}
    config = ug.ModelConfig(
        backbone=ug.ComponentConfig(name="nafnet", options=small),
        prior=ug.ComponentConfig(name="stylegan2", options=OPTIONS),
    )
    ug.build_model(config)
    assert not hub.asked


def test_training_starts_from_the_weights_of_the_prior(
    hub: FakeHub, content: bytes, installed_plugins: Install, training_config: Any
) -> None:
    from ugpnet_core.training.pretrained import read_pretrained_prior

    installed_plugins(prior(serve(hub, content), sha256(content)))
    config: TrainConfig = training_config(prior=None, model__prior={"name": "stylegan2"})
    taken, _ = read_pretrained_prior(config)
    assert taken.synthesis.weights is not None
    assert taken.synthesis.weights.read_bytes() == content
    assert taken.model.prior.options["resolution"] == 16
    scratch = training_config(model__prior={"name": "stylegan2"})
    assert read_pretrained_prior(scratch) == (scratch, None)


def test_sample_and_the_offline_flag(
    hub: FakeHub,
    content: bytes,
    installed_plugins: Install,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installed_plugins(prior(serve(hub, content), sha256(content)))
    words = ["sample", "stylegan2", "-o", str(tmp_path / "grid.png"), "--count", "1"]
    for place in (0, len(words)):
        offline = [*words]
        offline.insert(place, "--offline")
        assert main(offline) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not hub.asked
    assert not is_offline()
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "Downloading the weights" in said
    assert "untrained" not in said
    assert main(["--offline", *words]) == 0
    assert (tmp_path / "grid.png").is_file()


def test_a_model_on_the_hub(hub: FakeHub, tmp_path: Path, installed_plugins: Install) -> None:
    from ugpnet_core.model_files.finding import find_model_file
    from ugpnet_core.model_files.model import read_card

    small = {"width": 4, "enc_blk_nums": [1], "middle_blk_num": 0, "dec_blk_nums": [1]}
    config = ug.ModelConfig(
        backbone=ug.ComponentConfig(name="nafnet", options=small),
        prior=ug.ComponentConfig(name="stylegan2", options=OPTIONS),
        merging_channels=4,
        fusion_blocks=1,
    )
    path = tmp_path / "model.safetensors"
    ug.save_model(ug.build_model(config), path)
    data = path.read_bytes()
    entry = ModelEntry(
        name="faces",
        description="",
        file=serve(hub, data, COMMIT),
        sha256=sha256(data),
        size=len(data),
        task="denoise",
        resolution=16,
    )
    assert fault_of(entry) is None
    installed_plugins(Installed(entry, "acme", "1"))
    with pytest.raises(WeightsError, match="have not been downloaded"):
        find_model_file("faces", download=False)
    assert ug.load_model("faces").resolution == 16
    asked = len(hub.asked)
    assert read_card("faces").config == config
    assert len(hub.asked) == asked


def test_importing_it_imports_no_torch() -> None:
    code = (
        "import sys, ugpnet_core.checkpoints.downloads; "
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_listings_show_where_weights_are(
    content: bytes, installed_plugins: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    installed_plugins(prior("hub:a/b/c@v1", sha256(content), size=5))
    assert main(["list-priors", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["priors"]
    assert (entry["file"], entry["size"]) == ("hub:a/b/c@v1", 5)
