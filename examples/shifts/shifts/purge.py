"""``python -m shifts.purge``: the nightly job. Notifications older than 90 days go."""

from shifts import database


def main() -> None:
    with database.connect() as db:
        gone = db.execute("DELETE FROM notifications WHERE created_at < now() - interval '90 days'").rowcount
    print(f"{gone} notifications removed")


if __name__ == "__main__":
    main()
