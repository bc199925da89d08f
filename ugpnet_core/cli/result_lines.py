"""What became of a file, as a line of JSON on stdout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugpnet_core.image.listing import LeftOut
    from ugpnet_core.inference.turn import Result


def result_record(result: Result, done: str) -> dict[str, Any]:
    """A result; ``done`` is what its status is called where nothing went wrong."""
    return {
        "input": str(result.job.source),
        "output": None if result.error else str(result.job.target),
        "status": "failed" if result.error else "skipped" if result.skipped else done,
        "seconds": round(result.seconds, 3),
        "faces": result.faces,
        "notices": list(result.notices),
        "error": result.error,
    }


def left_out_record(left_out: LeftOut) -> dict[str, Any] | None:
    """An image that cannot be read here; None for what is no image, or was not asked for."""
    if not isinstance(left_out.reason, str):
        return None
    return {"input": str(left_out.path), "status": "left out", "error": left_out.reason}


def print_record(record: dict[str, Any]) -> None:
    """Print it at once, in letters that every console has."""
    print(json.dumps(record), flush=True)
