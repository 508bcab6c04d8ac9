"""Patterns of a .dockerignore, matched in time that grows with the path's length only.

They mean what they mean to docker-py and Moby (docs.docker.com, "build context", .dockerignore files): ``*`` and ``?``
stay within a directory, ``**`` is any number of directories, ``[a-z]`` one of a set. As a regular expression of many
wildcards such a pattern can take ages on one path, and Python's engine stops the whole process meanwhile; those are
matched by all their states at once instead (Thompson, "Regular Expression Search Algorithm", 1968).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from paas.errors import BuildFailed
from paas.model.names import printable

STAR, DIRECTORIES, REST = "*", "**", "**$"           # within a name; "" or what ends with "/"; everything
REGEX = {STAR: "[^/]*", DIRECTORIES: "(?:.*/)?", REST: ".*"}
FEW = 2                                              # wildcards with which a regular expression stays quick
TOKEN = re.compile(r"\*\*/?|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


@dataclass(frozen=True)
class Token:
    kind: str                                        # one of the wildcards, or "" for one character
    one: re.Pattern[str] | None = None


def matcher(pattern: str) -> Callable[[str], object]:
    """What tells whether a path fits *pattern*. :raises BuildFailed: a set that cannot be."""
    tokens = tokens_of(pattern)
    if sum(bool(token.kind) for token in tokens) > FEW:
        return States(tokens).fit
    return re.compile("".join(REGEX[one.kind] if one.kind else one.one.pattern for one in tokens), re.DOTALL).fullmatch


def tokens_of(pattern: str) -> list[Token]:
    found: list[Token] = []
    for match in TOKEN.finditer(pattern):
        token = token_of(pattern, match[0], match.end() == len(pattern))
        if not (token.kind == DIRECTORIES and found and found[-1].kind == DIRECTORIES):
            found.append(token)
    return found


def token_of(pattern: str, text: str, last: bool) -> Token:
    if text.startswith("**"):
        return Token(REST if last else DIRECTORIES)
    if text == "*":
        return Token(STAR)
    if text == "?":
        return Token("", re.compile("[^/]"))
    if len(text) == 1:
        return Token("", re.compile(re.escape(text), re.DOTALL))
    inside = text[1:-1].replace("\\", "\\\\").replace("[", "\\[")
    inside = f"^{inside[1:]}" if inside.startswith("!") else f"\\{inside}" if inside.startswith("^") else inside
    try:
        return Token("", re.compile(f"[{inside}]", re.DOTALL))
    except re.error:
        raise BuildFailed(f"the .dockerignore has a pattern that cannot be read: {printable(pattern)}",
                          "Correct what stands in its brackets.") from None


@dataclass
class States:
    """All places in the pattern where a path may be, as the bits of a number; a directory wildcard has two of them:
    before it, and in it."""

    tokens: list[Token]
    ones: list[tuple[int, re.Pattern[str]]] = field(default_factory=list)
    masks: dict[str, int] = field(default_factory=dict)
    stars: int = 0
    rests: int = 0
    before: int = 0                                  # a directory wildcard
    inside: int = 0
    end: int = 0

    def __post_init__(self) -> None:
        place = 0
        for token in self.tokens:
            bit = 1 << place
            if token.one:
                self.ones.append((bit, token.one))
            self.stars |= bit * (token.kind == STAR)
            self.rests |= bit * (token.kind == REST)
            self.before |= bit * (token.kind == DIRECTORIES)
            self.inside |= bit * 2 * (token.kind == DIRECTORIES)
            place += 2 if token.kind == DIRECTORIES else 1
        self.end = 1 << place

    def fit(self, path: str) -> bool:
        states = self.reach(1)
        for character in path:
            stay = self.inside | self.rests | (self.stars if character != "/" else 0)
            over = states & self.mask(character) | (states & self.inside if character == "/" else 0)
            states = self.reach(states & stay | over << 1)
            if not states:
                return False
        return bool(states & self.end)

    def reach(self, states: int) -> int:
        """With the places that are reached without a character."""
        while True:
            skip = states & (self.stars | self.rests | self.before)
            more = states | skip << 1 | (states & self.before) << 2
            if more == states:
                return states
            states = more

    def mask(self, character: str) -> int:
        if character not in self.masks:
            self.masks[character] = sum(bit for bit, one in self.ones if one.fullmatch(character))
        return self.masks[character]
