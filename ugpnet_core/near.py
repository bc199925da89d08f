"""Names that look like one that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def did_you_mean(
    name: str,
    known: Iterable[str],
    otherwise: str = "",
    *,
    count: int = 1,
    cutoff: float = 0.6,
    quoted: bool = False,
    kinds: Mapping[str, str] | None = None,
) -> str:
    """ "did you mean width?", with up to ``count`` names that look most like the given one.

    Args:
        otherwise: what is said where none looks like it.
        cutoff: how alike they have to be, from 0 to 1.
        kinds: what each of the names is, which is said behind it.
    """
    # In lower case all of them: someone who writes "NAFNet" means nafnet.
    alike = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), list(alike), n=count, cutoff=cutoff)
    found = [alike[each] for each in near]
    words = [repr(one) if quoted else one for one in found]
    if kinds is not None:
        words = [f"{word} ({kinds[one]})" for word, one in zip(words, found, strict=True)]
    return f"did you mean {' or '.join(words)}?" if found else otherwise
