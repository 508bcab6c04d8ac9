"""The web application: the API under /api, the front end everywhere else."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio.to_thread
import redis.asyncio
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.staticfiles import StaticFiles
from psycopg import AsyncConnection

from shifts import auth, database, jobs, queries, settings
from shifts.schemas import Credentials, NewShift, Notification, Shift, Token, Week, Workplace, week_range

STATIC = Path(__file__).resolve().parents[1] / "static"
WORKPLACE_SECONDS = 60                   # a workplace's card may be that old


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.cache = redis.asyncio.from_url(settings.REDIS_URL)
    async with database.pool() as app.state.pool:
        yield
    await app.state.cache.aclose()


app = FastAPI(title="Shifts", lifespan=lifespan)


async def connection(request: Request) -> AsyncIterator[AsyncConnection]:
    async with request.app.state.pool.connection() as db:
        yield db


Database = Annotated[AsyncConnection, Depends(connection)]


async def signed_in(db: Database, authorization: Annotated[str, Header()] = "") -> queries.Row:
    """The user of a ``Bearer`` token (RFC 6750); 401 without a valid one."""
    scheme, _, token = authorization.partition(" ")
    user_id = auth.user_of(token) if scheme.lower() == "bearer" else None
    found = await queries.user(db, user_id) if user_id else None
    if found is None:
        raise HTTPException(401, "Sign in first.", {"WWW-Authenticate": "Bearer"})
    return found


User = Annotated[queries.Row, Depends(signed_in)]


@app.get("/healthz")
async def healthz(db: Database) -> dict[str, str]:
    await db.execute("SELECT 1")
    return {"status": "ok"}


@app.post("/api/login")
async def login(given: Credentials, db: Database) -> Token:
    found = await queries.credentials(db, given.email)
    # scrypt takes tens of milliseconds: not on the event loop.
    if not found or not await anyio.to_thread.run_sync(auth.is_password, given.password, found["password_hash"]):
        raise HTTPException(401, "Wrong e-mail address or password.")
    return Token(token=auth.token_of(found["id"]))


@app.get("/api/shifts")
async def shifts(week: str, user: User, db: Database, request: Request) -> Week:
    """The week of the user's workplace."""
    try:
        begin, end = week_range(week)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    return Week(
        week=week,
        workplace=await workplace(db, request.app.state.cache, user["workplace_id"]),
        my_hours=await queries.hours(db, user["id"], begin, end),
        my_weekly_hours=user["weekly_hours"],
        unread=await queries.unread(db, user["id"]),
        shifts=await queries.shifts(db, user["workplace_id"], begin, end),
    )


async def workplace(db: AsyncConnection, cache: redis.asyncio.Redis, workplace_id: int) -> Workplace:
    key = f"workplace:{workplace_id}"
    cached = await cache.get(key)
    if cached is None:
        cached = json.dumps(await queries.workplace(db, workplace_id))
        await cache.set(key, cached, ex=WORKPLACE_SECONDS)
    return Workplace.model_validate_json(cached)


@app.post("/api/shifts", status_code=201)
async def add_shift(new: NewShift, user: User, db: Database) -> Shift:
    made = await queries.add_shift(db, user, new)
    await anyio.to_thread.run_sync(jobs.notify_of_shift, made["id"])
    return made


@app.get("/api/notifications")
async def notifications(user: User, db: Database) -> list[Notification]:
    return await queries.notifications(db, user["id"])


app.mount("/", StaticFiles(directory=STATIC, html=True))
