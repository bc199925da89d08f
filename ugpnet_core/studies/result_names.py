"""What a table is called as a folder, and where in the names of results that stands. Torch-free."""

from __future__ import annotations

import re

TASK, SET = "{task}", "{set}"


def folder_name(title: str) -> str:
    """A title as the name of a folder."""
    return re.sub(r"[^\w.+-]+", "-", title).strip(".-") or "task"


def filled(text: str, task: str, data_set: str) -> str:
    """A folder's name or a pattern, with the titles of one table in it; a set without a title is
    nothing, not even a level of folders."""
    if not data_set:
        text = text.replace(f"{SET}/", "")
    return text.replace(TASK, folder_name(task)).replace(SET, data_set and folder_name(data_set))
