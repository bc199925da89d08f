"""What a table is called as a folder, and where in the names of results that stands. Torch-free."""

from __future__ import annotations

import re

TASK, SET = "{task}", "{set}"


def folder_name(title: str) -> str:
    """A title as the name of a folder."""
    return re.sub(r"[^\w.+-]+", "-", title).strip(".-") or "task"


def filled(text: str, task: str, data_set: str) -> str:
    """A folder's name or a pattern, with the titles of one table; a set without one is nothing."""
    return text.replace(TASK, folder_name(task)).replace(
        SET, folder_name(data_set) if data_set else ""
    )
