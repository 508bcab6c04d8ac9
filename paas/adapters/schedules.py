"""When a cron expression is due: crontab(5) as Debian reads it, by cronsim."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from paas.errors import BadInput
from paas.model.names import printable

# crontab(5), "Extensions"
NICKNAMES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
             "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}
EXAMPLE = datetime(2026, 1, 1, tzinfo=UTC)


class CronSchedules:
    """See :class:`paas.ports.Schedules`."""

    def check(self, text: str) -> None:
        self.next(text, "UTC", EXAMPLE)

    def next(self, text: str, zone: str, after: datetime) -> datetime:
        local = after.astimezone(zone_of(zone))
        try:
            times = CronSim(expression(text), local)
            # In the hour that a clock repeats, a fixed time is the first of two: it may lie before *after*.
            return next(due for due in (one.astimezone(UTC) for one in times) if due > after)
        except (CronSimError, AssertionError, TypeError, ValueError) as error:
            reason = str(error).lower() or "a part of it has no meaning"
            raise BadInput(f"'{printable(text)}' is not a cron expression: {reason}", hint()) from None
        except (StopIteration, OverflowError):
            raise BadInput(f"'{printable(text)}' is never due", hint()) from None


def expression(text: str) -> str:
    wanted = NICKNAMES.get(text, text)
    if len(wanted.split()) != 5:
        raise CronSimError("it has not five fields")
    return wanted


def zone_of(name: str) -> tzinfo:
    if name == "UTC":
        return UTC                       # also where the machine has no zone files
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadInput(f"this server does not know the time zone '{printable(name)}'",
                       "Give a name like Europe/Berlin or UTC.") from None


def hint() -> str:
    return "Five fields: minute hour day-of-month month day-of-week. Or one of " + ", ".join(NICKNAMES) + "."
