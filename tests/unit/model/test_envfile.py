"""Config vars as text: what is exported is imported byte for byte, and a shell reads the same."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.errors import BadInput
from paas.model import envfile

KEYS = st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
NASTY = {"A": "", "B": "two\nlines\n",
         "C": "it's \"quoted\"", "D": "$HOME `id` \\n \\", "E": "  blanks  ", "F": "#no comment",
         "G": "a=b", "H": "ünï😀", "I": "\t\r\n", "J": "-x"}


@pytest.mark.parametrize("format", ["envfile", "exports"])
@given(config=st.dictionaries(KEYS, VALUES))
def test_round_trip_of_any_value(format, config):
    assert envfile.read_envfile(envfile.WRITERS[format](config)) == config


@given(config=st.dictionaries(KEYS, VALUES))
def test_round_trip_as_json(config):
    assert envfile.read_json(envfile.WRITERS["json"](config)) == config


@pytest.mark.parametrize("format", ["exports", "shell"])
def test_a_shell_reads_the_same_values(format):
    script = "eval \"$1\"; " + "; ".join(f"printf '%s\\0' \"${key}\"" for key in NASTY)
    text = envfile.WRITERS[format](NASTY)
    shown = subprocess.run(["/bin/sh", "-c", script, "sh", text], capture_output=True, check=True).stdout
    assert shown.decode().split("\0")[:-1] == list(NASTY.values())


@pytest.mark.parametrize(("text", "wanted"), [
    ("A=b", {"A": "b"}),
    ("\ufeffA=b\r\n\r\n# note\r\n  export B = c d \r\n", {"A": "b", "B": "c d"}),
    ("A=it's fine # said he\nB=#none\nC=a#b", {"A": "it's fine", "B": "", "C": "a#b"}),
    ("A='x\ny' # two lines\nB=\"p\\nq\\\"\"", {"A": "x\ny", "B": 'p\nq"'}),
    ("A=1\nA=2", {"A": "2"}),
    ("A=\nB=2", {"A": "", "B": "2"}),
    ("", {}),
])
def test_what_people_write(text, wanted):
    assert envfile.read_envfile(text) == wanted


@pytest.mark.parametrize("text", ["word", "A b=c", "A='open", 'A="open\nB=2', "A='x' y", "=x"])
def test_refused_without_showing_the_line(text):
    with pytest.raises(BadInput) as caught:
        envfile.read_envfile(f"OK=1\n{text}")
    assert "line 2" in caught.value.what
    assert "open" not in caught.value.what


@pytest.mark.parametrize("text", ["[]", "{", '{"A": 1}', '{"A": {}}', "null", "[" * 100_000])
def test_json_that_is_not_texts(text):
    with pytest.raises(BadInput):
        envfile.read_json(text)
