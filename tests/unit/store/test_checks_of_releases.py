"""The checks of a release as they are stored: every field comes back, and rows of earlier versions are readable."""

import json

from paas.model.release import Check, CheckKind, Process
from paas.store.secrets import formation_of, json_of

OLD = {"kind": "http", "path": "/up", "status": "200", "host": "",
       "timeout": 12.5, "attempt_timeout": 5.0, "uptime": 2.0}


def there_and_back(*formation: Process) -> tuple[Process, ...]:
    return formation_of(json.loads(json.dumps(json_of(formation))))


def test_every_field_of_several_checks_comes_back():
    check = Check(CheckKind.HTTP, "/up", "204", "a.example", 9.5, 0.5, 1.5, "ünï", 8080,
                  (("A", "1"), ("Host", "b")), "réady\n", (), 3.0, 0.25, warn=True,
                  https=True, on_failure=("./report", "--now"),
                  also=(Check(CheckKind.COMMAND, command=("sh", "-c", "x")), Check(CheckKind.PORT)))
    formation = Process("web", check=check, declared=check), Process("worker", check=Check(CheckKind.UPTIME))
    found = there_and_back(*formation)
    assert found == formation
    assert [type(one.kind) for one in found[0].check.all] == [CheckKind] * 3
    assert hash(found[0].check) == hash(check)


def test_a_row_from_before_there_were_several_checks_is_readable():
    words = json_of([Process("web")])
    words[0].update(check=OLD, declared=OLD)
    (found,) = formation_of(words)
    assert found.check == found.declared == Check(CheckKind.HTTP, "/up", "200", timeout=12.5)
    assert found.check.all == (found.check,)
