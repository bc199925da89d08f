"""Making things in a thread while those before them are used."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Full, Queue
from typing import Generic, TypeVar

import torch

T = TypeVar("T")

# How soon a thread that waits for room notices that nobody wants anything more.
PATIENCE_SECONDS = 0.1


class _Item(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterable[T], count: int) -> Iterator[Iterator[T]]:
    """Iterate over ``items`` in a thread of its own, up to ``count`` items ahead of their use.

    Their order and values are those of ``items``; what ``items`` raises is raised where the item
    would have come. torch computes them on one core. The thread has ended when the context is
    left, however that happens.
    """
    ready: Queue[_Item[T] | _End] = Queue(count)
    unwanted = threading.Event()

    def hand_over(one: _Item[T] | _End) -> None:
        while not unwanted.is_set():
            with suppress(Full):
                ready.put(one, timeout=PATIENCE_SECONDS)
                return

    def make() -> None:
        # Of this thread only: two threads that each call for every core slow each other down.
        torch.set_num_threads(1)
        try:
            for item in items:
                hand_over(_Item(item))
                if unwanted.is_set():
                    return
            hand_over(_End())
        except BaseException as error:  # it belongs to whoever uses the items
            hand_over(_End(error))

    def used() -> Iterator[T]:
        while True:
            one = ready.get()
            if isinstance(one, _Item):
                yield one.value
            elif one.error is not None:
                raise one.error
            else:
                return

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        yield used()
    finally:
        unwanted.set()
        thread.join()
