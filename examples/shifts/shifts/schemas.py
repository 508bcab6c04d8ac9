"""What the API takes and gives."""

import datetime
import re

from pydantic import BaseModel, Field, model_validator


class Credentials(BaseModel):
    email: str = Field(max_length=200)
    password: str = Field(max_length=200)


class Token(BaseModel):
    token: str


class NewShift(BaseModel):
    starts_at: datetime.datetime
    ends_at: datetime.datetime
    role: str = Field(min_length=1, max_length=40)
    note: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def ends_after_it_starts(self) -> "NewShift":
        if None in (self.starts_at.tzinfo, self.ends_at.tzinfo):
            raise ValueError("give both times with their offset, as in 2026-11-23T06:00:00+01:00")
        if not self.starts_at < self.ends_at <= self.starts_at + datetime.timedelta(hours=24):
            raise ValueError("a shift ends after it starts, within 24 hours")
        return self


class Shift(BaseModel):
    id: int
    user_id: int
    user_name: str
    starts_at: datetime.datetime
    ends_at: datetime.datetime
    hours: float
    role: str
    note: str


class Workplace(BaseModel):
    id: int
    name: str
    city: str
    staff: int


class Week(BaseModel):
    week: str
    workplace: Workplace
    my_hours: float
    my_weekly_hours: int
    unread: int
    shifts: list[Shift]


class Notification(BaseModel):
    id: int
    shift_id: int
    message: str
    created_at: datetime.datetime


def week_range(week: str) -> tuple[datetime.datetime, datetime.datetime]:
    """Begin and end (exclusive), UTC, of an ISO 8601 week such as 2026-W47. Raises ValueError."""
    found = re.fullmatch(r"(\d{4})-W(\d\d)", week)
    if not found:
        raise ValueError("a week looks like 2026-W47")
    monday = datetime.date.fromisocalendar(int(found[1]), int(found[2]), 1)
    begin = datetime.datetime.combine(monday, datetime.time(), datetime.UTC)
    return begin, begin + datetime.timedelta(days=7)
