"""The program that tries a regular expression on lines (:mod:`paas.adapters.confined`): no thread can stop Python's
matcher.

Input: frames of 4 bytes of length (big-endian) and as many bytes; the first is the pattern with its flags in front
(``i`` or ``-``), every other one line. A frame of length 0xFFFFFFFF asks for the answers so far: a byte ``0`` or ``1``
for each line. First answer: one byte, ``+``; or ``!`` and what is wrong with the pattern.
"""

import re
import struct
import sys
import warnings

ASK = 0xFFFFFFFF


def main() -> int:
    warnings.simplefilter("ignore")
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    (size,) = struct.unpack(">L", source.read(4))
    words = source.read(size)
    try:
        pattern = re.compile(words[1:], re.IGNORECASE if words[:1] == b"i" else 0)
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        sink.write(b"!" + str(error).encode("utf-8", "replace")[:200])
        return 1
    sink.write(b"+")
    sink.flush()
    answers = bytearray()
    while head := source.read(4):
        (size,) = struct.unpack(">L", head)
        if size == ASK:
            sink.write(answers)
            sink.flush()
            answers.clear()
        else:
            answers.append(49 if pattern.search(source.read(size)) else 48)
    return 0
