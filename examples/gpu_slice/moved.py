"""What a training was made by, said for another place.

A checkpoint and a finished stage belong to the settings and photographs they were made by, which
their fingerprint names: among others by paths, and by names and sizes of files. In a pack these are
others for the same training. So fingerprints are translated, at home's end only: when a state is
packed, and back when it returns. Nothing else of a state changes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from examples.gpu_slice.archive import digest
from ugpnet_core.atomic import write_beside
from ugpnet_core.training.checkpoint import read_checkpoint, read_result, write_checkpoint
from ugpnet_core.training.fingerprint import Fingerprint

CONTENT = "content of "

# For each key of a fingerprint that differs between two places: what it is in one and the other.
Words = Mapping[str, tuple[str, str]]
Translate = Callable[[Fingerprint], Fingerprint]


def differing(one: Fingerprint, other: Fingerprint) -> dict[str, tuple[str, str]]:
    """What has to be translated from one place to the other."""
    return {key: (one[key], other[key]) for key in one if one[key] != other.get(key, one[key])}


def translator(words: Words, digests: Mapping[str, str], known: Fingerprint) -> Translate:
    """A function that says a fingerprint for another place.

    Args:
        words: what differs between the places, in the direction of the translation.
        digests: of files of earlier stages, here and there.
        known: a complete fingerprint of today's code in the place that is translated from.
    """

    def translate(made_by: Fingerprint) -> Fingerprint:
        said = dict(made_by)
        for key, value in made_by.items():
            if key.startswith(CONTENT):
                content = json.loads(value)
                said[key] = json.dumps(digests.get(content, content))
            elif key in words and _same(value, words[key][0], known.get(key)):
                said[key] = words[key][1]
        return said

    return translate


def _same(value: str, expected: str, known: str | None) -> bool:
    """Whether a value is the expected one; older code left out what is new in nested sections."""
    if value == expected or known is None:
        return value == expected
    return _covers(json.loads(expected), json.loads(value))


def _covers(now: object, before: object) -> bool:
    if isinstance(now, dict) and isinstance(before, dict):
        return all(key in now and _covers(now[key], before[key]) for key in before)
    if isinstance(now, list) and isinstance(before, list):
        return len(now) == len(before) and all(map(_covers, now, before))
    return now == before


def move_result(source: Path, target: Path, translate: Translate) -> tuple[str, str]:
    """Copy the result of a finished stage with its fingerprint translated, byte for byte the same
    each time.

    Returns:
        SHA-256 of the file here and there.
    """
    read_result(source)  # refuses what is damaged
    data = source.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    made_by = translate(json.loads(metadata["fingerprint"]))
    metadata["fingerprint"] = json.dumps(made_by)
    if "config" in metadata:  # which older code did not write
        metadata["config"] = _model_config(made_by)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    moved = struct.pack("<Q", len(text)) + text + data[8 + length :]
    write_beside(target, lambda partial: partial.write_bytes(moved))
    return hashlib.sha256(data).hexdigest(), hashlib.sha256(moved).hexdigest()


def _model_config(made_by: Fingerprint) -> str:
    """The configuration of the model as ugpnet_core.model_files.stage_results writes it: paths in
    it are translated with the fingerprint."""
    prefix = "model."
    sections = {
        key.removeprefix(prefix): json.loads(value)
        for key, value in made_by.items()
        if key.startswith(prefix)
    }
    return json.dumps(sections, sort_keys=True)


def move_checkpoint(source: Path, target: Path, translate: Translate) -> None:
    """Copy a checkpoint with its fingerprint translated."""
    state = read_checkpoint(source)
    write_checkpoint(target, {**state, "fingerprint": translate(state["fingerprint"])})


def steps_done(path: Path) -> int:
    """After how many iterations a checkpoint was written."""
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return int(state["step"])


def same_file(one: Path, other: Path) -> bool:
    """Whether two files have the same content."""
    return other.is_file() and digest(one) == digest(other)
