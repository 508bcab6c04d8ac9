"""One error family: stable, distinct exit codes, documented."""

from pathlib import Path

from paas import errors

ROOT = Path(__file__).parents[2]


def family() -> list[type[errors.PaasError]]:
    return [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.PaasError)]


def test_exit_codes_are_distinct():
    codes = [one.exit_code for one in family()]
    assert len(codes) == len(set(codes))


def test_every_error_is_documented():
    text = (ROOT / "docs/errors.md").read_text()
    for one in family():
        assert f"| {one.exit_code} | `{one.__name__}` |" in text
