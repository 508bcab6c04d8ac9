"""What the ``…:set`` and ``…:report`` commands over the tables of settings share."""

from collections.abc import Iterable, Sequence
from typing import Any

from paas.cli.base import Call
from paas.model.app import App
from paas.ops import settings


def set_and_tell(call: Call, app: App, namespace: str, key: str, value: str, effect: str) -> None:
    if not settings.set_app(call.rt, app, namespace, key, value):
        call.say("Nothing changed.")
    else:
        call.say(f"{namespace} {key} of {app.name}: {value or 'the default'}. {effect}")


def put_report(call: Call, lines: Iterable[settings.Line], format: str) -> None:
    call.rows(("key", "value", "set", "meaning"), [(one.key, one.value, one.own, one.meaning) for one in lines], format)


def put_rows_and_report(call: Call, app: App, namespace: str, what: str, columns: Sequence[str],
                        rows: Sequence[Sequence[Any]], format: str) -> None:
    """A table, then the settings; as JSON one object: *what* → a list of objects, `settings` → key and value."""
    lines = settings.report(call.rt, app, namespace)
    if format == "json":
        call.record({"app": app.name, what: [dict(zip(columns, row, strict=True)) for row in rows],
                     "settings": {one.key: one.value for one in lines}}, format)
        return
    if rows:
        call.rows(columns, rows)
        call.put("")
    put_report(call, lines, format)
