"""docs/backups.md says what the code does."""

import re
from pathlib import Path

from paas.model import backup_health
from paas.model.backup import BackupState
from paas.model.retention import DEFAULT, Policy, read_policy

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/backups.md").read_text()


def test_every_finding_is_explained_and_no_other():
    section = PAGE.partition("## What status and doctor say")[2].partition("\n## ")[0]
    source = Path(backup_health.__file__).read_text()
    codes = set(re.findall(r'(?:failure|warning|level)\("([a-z-]+)"', source))
    assert len(codes) > 12
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", section)) == codes


def test_every_rule_of_a_policy_is_explained_with_its_default():
    rows = re.findall(r"^\| `(--[a-z-]+ \w+)` \|", PAGE, re.M)
    shown = read_policy([word for row in rows for word in row.split()])
    assert len(rows) == len(Policy.__dataclass_fields__)
    assert [getattr(shown, name) for name in ("keep_last", "keep_daily", "keep_weekly", "keep_monthly")] == [
        getattr(DEFAULT, name) for name in ("keep_last", "keep_daily", "keep_weekly", "keep_monthly")]


def test_every_state_is_named():
    section = PAGE.partition("## States")[2].partition("\n## ")[0]
    assert set(BackupState) - {BackupState.DELETED} <= set(re.findall(r"`([a-z-]+)`", section))
