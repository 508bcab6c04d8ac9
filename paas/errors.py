"""The one family of foreseen errors: what happened, what to do next, a stable exit code.

Exit codes are part of the interface (``docs/errors.md``). 1 is any failure without a code of its own, 2 a usage
error (as click and the shell use it), 20 an app that does not exist (as in Dokku), 130 an interrupt.
"""


class PaasError(Exception):
    """Base of every foreseen error.

    :param what: one sentence: what happened. Shown to the user as it is; never a secret, never a server path.
    :param hint: what to do next; may be empty when there is nothing to add.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class UsageError(PaasError):
    """The words of the command are wrong: unknown option, missing argument, bad format."""

    exit_code = 2


class BadInput(PaasError):
    """A value was understood but is not acceptable (a name, a domain, a limit)."""

    exit_code = 3


class Conflict(PaasError):
    """The thing exists already, belongs to another app, or is in use."""

    exit_code = 4


class Locked(PaasError):
    """The app does not take deploys now: locked by a person, or the queue is full."""

    exit_code = 5


class Forbidden(PaasError):
    """This key may not do that."""

    exit_code = 6


class PushRefused(PaasError):
    """Policy refused the push before any build: wrong branch, deletion, shallow history, bad tree."""

    exit_code = 10


class BuildFailed(PaasError):
    """The image could not be built."""

    exit_code = 11


class CheckFailed(PaasError):
    """The new release did not prove itself; the old one keeps serving."""

    exit_code = 12


class SwitchFailed(PaasError):
    """The proxy did not take, or did not confirm, the new route; the old one is back."""

    exit_code = 13


class Cancelled(PaasError):
    """Somebody stopped the build or the deploy."""

    exit_code = 14


class TaskFailed(PaasError):
    """A release task (`release:` of the Procfile, a script of app.json) failed; the old release keeps serving."""

    exit_code = 15


class NotFound(PaasError):
    """No such app, release, build, domain, key… (also what a stranger sees instead of 'forbidden')."""

    exit_code = 20


class EngineError(PaasError):
    """Docker did not answer or refused an operation."""

    exit_code = 30


class ProxyError(PaasError):
    """The proxy did not answer or refused a configuration."""

    exit_code = 31


class NoSpace(PaasError):
    """Too little free disk to go on safely."""

    exit_code = 32


class StateError(PaasError):
    """The state database or the master key is missing, newer than this program, or damaged."""

    exit_code = 33


class StoreError(PaasError):
    """The store that holds backups did not answer, refused, or gave something else than what it was given."""

    exit_code = 34


class Forged(PaasError):
    """A backup is not what was written: another key, a changed byte, a cut end, a manifest of somebody else."""

    exit_code = 35


class ServiceError(PaasError):
    """A datastore, or a program in its container, failed."""

    exit_code = 36


class Unavailable(PaasError):
    """The daemon is not running or stopped answering."""

    exit_code = 69


def reason_of(error: BaseException) -> str:
    """For a row, an event or a message: why a piece of work ended, without a word of the platform's inside."""
    return error.what if isinstance(error, PaasError) else f"internal error: {type(error).__name__}"
