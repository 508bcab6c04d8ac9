"""What a Dockerfile says about who is to read it: the frontend image of its ``# syntax=`` line.

BuildKit downloads that image and runs it as a part of itself (with CVE-2024-23653, as root of the server), so only
Docker's own ones are taken.
"""

import re

DIRECTIVE = re.compile(rb"\s*(?:#|//)\s*syntax\s*=\s*(\S+)", re.IGNORECASE)
OFFICIAL = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")


def foreign_frontend(content: bytes) -> str:
    """The first image that is asked to read the file and is not Docker's own; empty: none.

    Every form that BuildKit takes, over all its versions (its parser/directives.go): ``#`` or ``//`` comments before
    the first instruction, and JSON in place of a Dockerfile.
    """
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return "that its JSON names"
    for line in text.split(b"\n"):
        if line.strip() and not line.lstrip().startswith((b"#", b"//")):
            break
        found = DIRECTIVE.match(line)
        if found and not is_official(image := found[1].decode("utf-8", "replace")):
            return image
    return ""


def is_official(image: str) -> bool:
    return OFFICIAL.fullmatch(image) is not None
