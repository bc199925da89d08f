"""Read pickles without executing anything from them (torch-free).

A pickle is a program for a small stack machine, and some of its instructions import and call
whatever they name. Here a name means only what the caller's table says; of every other class or
function there is the name and what was pickled into it (:class:`Inert`).
:func:`pickletools.genops` of the standard library splits the program into instructions and calls
nothing.

Memory is bounded by the file: nothing is made because a number in the file says so, and what is
copied is counted.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

# The largest published training states take some 400,000.
MAX_INSTRUCTIONS = 4_000_000
# Longer pieces are not copied out of the file.
COPIED = 65_536
LONGEST_LINE = 65_536
# What the table's functions may be given in all, in items and in multiples of the file.
REPEATED = 8


class ForbiddenError(Exception):
    """A pickle asks for something that is never done; the message names it."""


class DamagedError(Exception):
    """A pickle ends too early, or is none."""


class OtherError(Exception):
    """A file is whole, and holds no weights."""


class Inert:
    """What a pickle describes, as data that does nothing: the name of a class or function, what it
    was called with, its state, and what was put into it (items, or keys and values in turn).

    ``build`` is what the pickle's own state setting does here; subclasses refine it.

    Args:
        name: The dotted name of the class or function.
        arguments: What it was called with.
    """

    __slots__ = ("arguments", "held", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None
        self.held: list[Any] | None = None

    def build(self, state: Any) -> None:
        """Keep the state.

        Args:
            state: What the pickle sets it to.
        """
        self.state = state

    def put(self, values: list[Any]) -> None:
        """Keep items.

        Args:
            values: The items, or keys and values in turn.
        """
        self.held = self.held or []
        self.held += values


class Named(Inert):
    """A class or function that is mentioned and not called."""

    __slots__ = ()


Constructor = Callable[..., Any]


class Stream:
    """Bytes as a file for :func:`pickletools.genops`, which cannot be made to give more than
    there are. Long pieces are views, not copies."""

    def __init__(self, content: memoryview, position: int = 0) -> None:
        self.content = content
        self.position = position

    def tell(self) -> int:
        """Where the next byte is read."""
        return self.position

    def read(self, count: int) -> bytes | memoryview:
        """The next bytes; as many as asked for.

        Raises:
            DamagedError: there are fewer.
        """
        if not 0 <= count <= len(self.content) - self.position:
            raise DamagedError("it ends too early")
        piece = self.content[self.position : self.position + count]
        self.position += count
        return piece if count > COPIED else bytes(piece)

    def readline(self) -> bytes:
        """The next bytes up to a line feed."""
        end = self.position + LONGEST_LINE
        line, feed, _ = bytes(self.content[self.position : end]).partition(b"\n")
        if not feed:
            raise DamagedError("a line of it does not end")
        self.position += len(line) + 1
        return line + feed


def load(
    stream: Stream,
    table: Mapping[str, Constructor],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle and leave the stream behind it.

    Args:
        table: what names mean when they are called, by "module.name": a function from plain data
            to plain data, that makes no more than it is given.
        persistent: what a persistent id stands for, if there may be any.

    Raises:
        ForbiddenError: an instruction that no checkpoint needs.
        Exception: the pickle is damaged; of what kind depends on the damage.
    """
    machine = _Machine(table, persistent, REPEATED * len(stream.content))
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
        if count > MAX_INSTRUCTIONS:
            raise DamagedError(f"it has more than {MAX_INSTRUCTIONS} instructions")
        name = opcode.name
        if name in _LITERALS:
            machine.stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](machine, argument)
        elif name not in _IGNORED:
            raise ForbiddenError(f"the pickle instruction {name}")
    return machine.stack.pop()


class _Machine:
    """The stack, the marks on it and the memo."""

    def __init__(
        self,
        table: Mapping[str, Constructor],
        persistent: Callable[[Any], Any] | None,
        allowance: int,
    ) -> None:
        self.table = table
        self.allowance = allowance
        self.resolve_persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def marked(self) -> list[Any]:
        """Take what lies above the last mark."""
        start = self.marks.pop()
        taken = self.stack[start:]
        if start > len(self.stack):
            raise DamagedError("a mark of it is lost")
        del self.stack[start:]
        return taken

    def drop_marked(self, _: Any) -> None:
        self.marked()

    def take(self, count: int) -> list[Any]:
        """Take the topmost values."""
        if count > len(self.stack):
            raise DamagedError("its stack is empty")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def stack_global(self, _: Any) -> None:
        module, name = self.take(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ForbiddenError("a name that is no text")
        self.count((module, name))
        self.stack.append(Named(f"{module}.{name}"))

    def call(self, _: Any) -> None:
        """REDUCE and NEWOBJ: the constructor that the table has, or a placeholder."""
        function, arguments = self.take(2)
        if not isinstance(function, Inert):
            raise ForbiddenError(f"a call of {type(function).__name__}")
        if type(arguments) is not tuple:
            raise DamagedError("the arguments of a call are no tuple")
        make = self.table.get(function.name) if isinstance(function, Named) else None
        if make is not None:
            self.count(arguments)
        self.stack.append(make(*arguments) if make else Inert(function.name, arguments))

    def call_with_keywords(self, _: Any) -> None:
        """NEWOBJ_EX: as :meth:`call`; keywords are kept by a placeholder only."""
        (keywords,) = self.take(1)
        self.call(None)
        if keywords and isinstance(self.stack[-1], Inert):
            self.stack[-1].put([keywords])

    def build(self, _: Any) -> None:
        (state,) = self.take(1)
        target = self.stack[-1]
        # What a dictionary or a tensor has beside its items is not needed.
        if isinstance(target, Inert):
            self.count(state if type(state) is tuple else ())
            target.build(state)

    def count(self, values: tuple[Any, ...]) -> None:
        """Refuse a file that has the same long values copied again and again."""
        self.allowance -= sum(len(value) for value in values if hasattr(value, "__len__"))
        if self.allowance < 0:
            raise DamagedError("it repeats itself")

    def persistent(self, _: Any) -> None:
        if self.resolve_persistent is None:
            raise ForbiddenError("a persistent id")
        self.stack.append(self.resolve_persistent(self.stack.pop()))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def put_into(self, kind: type[Any], values: list[Any]) -> None:
        """APPENDS, SETITEMS and ADDITEMS: to a list, a dictionary or a set, or a placeholder."""
        target: Any = self.stack[-1]
        if isinstance(target, Inert):
            target.put(values)
        elif target.__class__ is not kind:
            raise DamagedError(f"it adds to what is no {kind.__name__}")
        elif kind is list:
            target.extend(values)
        else:
            target.update(pairs(values) if kind is dict else map(plain_key, values))


def pairs(values: Sequence[Any]) -> dict[Hashable, Any]:
    """A dictionary from keys and values in turn."""
    if len(values) % 2:
        raise DamagedError("a dictionary of it lacks a value")
    keys = map(plain_key, values[::2])
    return dict(zip(keys, values[1::2], strict=True))


def plain_key(value: Any) -> Hashable:
    """The value, if it is text, a number, a placeholder or a flat tuple of them; instead of others
    a placeholder, which is equal to nothing else, since hashing them can recurse without end. Only
    what this returns may be hashed."""
    flat = value if type(value) is tuple else (value,)
    if not all(isinstance(each, _KEYS) for each in flat):
        return Inert("a key", (value,))
    return value  # type: ignore[no-any-return]


_KEYS = (str, bytes, int, float, bool, type(None), Inert)
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
})  # fmt: skip
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.stack.__delitem__(-1),
    "POP_MARK": _Machine.drop_marked,
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "GET": lambda m, index: m.stack.append(m.memo[index]),
    "BINGET": lambda m, index: m.stack.append(m.memo[index]),
    "LONG_BINGET": lambda m, index: m.stack.append(m.memo[index]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.take(3))),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "LIST": lambda m, _: m.stack.append(m.marked()),
    "APPEND": lambda m, _: m.put_into(list, m.take(1)),
    "APPENDS": lambda m, _: m.put_into(list, m.marked()),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "DICT": lambda m, _: m.stack.append(pairs(m.marked())),
    "SETITEM": lambda m, _: m.put_into(dict, m.take(2)),
    "SETITEMS": lambda m, _: m.put_into(dict, m.marked()),
    "EMPTY_SET": lambda m, _: m.stack.append(set()),
    "FROZENSET": lambda m, _: m.stack.append(frozenset(map(plain_key, m.marked()))),
    "ADDITEMS": lambda m, _: m.put_into(set, m.marked()),
    "GLOBAL": lambda m, name: m.stack.append(Named(name.replace(" ", ".", 1))),
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
