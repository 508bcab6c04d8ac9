"""Background jobs, run by the process type ``worker``.

Enqueue a job after the commit of what it is about: the worker may be faster than you.
"""

from huey import RedisHuey

from shifts import database, settings

huey = RedisHuey("shifts", results=False, url=settings.REDIS_URL)


@huey.task(retries=3, retry_delay=5)
def notify_of_shift(shift_id: int) -> None:
    """Tell the user of a new shift."""
    with database.connect() as db:
        db.execute("INSERT INTO notifications (user_id, shift_id, message) "
                   "SELECT user_id, id, 'You work as ' || role || ' on ' || to_char(starts_at, 'YYYY-MM-DD HH24:MI') "
                   "FROM shifts WHERE id = %s", (shift_id,))
