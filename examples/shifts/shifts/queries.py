"""Every statement that the web process runs. Rows are dicts."""

from datetime import datetime

from psycopg import AsyncConnection

from shifts.schemas import NewShift

Row = dict[str, object]
HOURS = "(extract(epoch FROM ends_at - starts_at) / 3600)::float AS hours"


async def user(db: AsyncConnection, user_id: int) -> Row | None:
    found = await db.execute("SELECT id, workplace_id, name, weekly_hours FROM users WHERE id = %s", (user_id,))
    return await found.fetchone()


async def credentials(db: AsyncConnection, email: str) -> Row | None:
    found = await db.execute("SELECT id, password_hash FROM users WHERE email = %s", (email,))
    return await found.fetchone()


async def workplace(db: AsyncConnection, workplace_id: int) -> Row:
    found = await db.execute(
        "SELECT id, name, city, (SELECT count(*) FROM users u WHERE u.workplace_id = w.id) AS staff "
        "FROM workplaces w WHERE id = %s", (workplace_id,))
    return await found.fetchone()


async def shifts(db: AsyncConnection, workplace_id: int, begin: datetime, end: datetime) -> list[Row]:
    found = await db.execute(
        f"SELECT s.id, s.user_id, u.name AS user_name, s.starts_at, s.ends_at, {HOURS}, s.role, s.note "
        "FROM shifts s JOIN users u ON u.id = s.user_id "
        "WHERE s.workplace_id = %s AND s.starts_at >= %s AND s.starts_at < %s ORDER BY s.starts_at, s.id",
        (workplace_id, begin, end))
    return await found.fetchall()


async def hours(db: AsyncConnection, user_id: int, begin: datetime, end: datetime) -> float:
    found = await db.execute(
        "SELECT coalesce(extract(epoch FROM sum(ends_at - starts_at)) / 3600, 0)::float AS hours FROM shifts "
        "WHERE user_id = %s AND starts_at >= %s AND starts_at < %s", (user_id, begin, end))
    return (await found.fetchone())["hours"]


async def unread(db: AsyncConnection, user_id: int) -> int:
    found = await db.execute(
        "SELECT count(*) AS unread FROM notifications WHERE user_id = %s AND read_at IS NULL", (user_id,))
    return (await found.fetchone())["unread"]


async def notifications(db: AsyncConnection, user_id: int, limit: int = 50) -> list[Row]:
    found = await db.execute(
        "SELECT id, shift_id, message, created_at FROM notifications WHERE user_id = %s "
        "ORDER BY created_at DESC, id DESC LIMIT %s", (user_id, limit))
    return await found.fetchall()


async def add_shift(db: AsyncConnection, who: Row, new: NewShift) -> Row:
    found = await db.execute(
        "INSERT INTO shifts (workplace_id, user_id, starts_at, ends_at, role, note) VALUES (%s, %s, %s, %s, %s, %s) "
        f"RETURNING id, user_id, starts_at, ends_at, {HOURS}, role, note",
        (who["workplace_id"], who["id"], new.starts_at, new.ends_at, new.role, new.note))
    return {**await found.fetchone(), "user_name": who["name"]}
