"""Retention carried out over a store that fails, lies, and is not ours alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from paas.backups.catalog import delete, hold, listed, whole
from paas.backups.owner import claim
from paas.backups.prune import Pruning, prune
from paas.errors import StoreError
from paas.model.backup import BackupState
from paas.model.retention import Policy
from paas.testing.faults import Crash
from tests.unit.backups.shelf import OURS, Shelf, row
from tests.unit.model.backup_examples import IDENTITY, OTHER, PLACE, at, manifest

DRILLED, FAILED, DELETED = BackupState.DRILLED, BackupState.FAILED, BackupState.DELETED


class Keeper:
    """A service with six backups a day apart, the second oldest of them drilled, and a policy that keeps four."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.store = self.shelf.store
        self.made = [self.shelf.add(-24 * age) for age in (6, 5, 4, 3, 2, 1)]
        self.shelf.drill(self.made[1])
        self.rows = [row(one) for one in self.made]
        self.run = Pruning(Policy(keep_last=3), PLACE, (IDENTITY,), OURS.machine, lambda: self.shelf.now, ())
        self.forgotten: list[str] = []
        self.store.faults.clear()

    def prune(self, **changed):
        return prune(self.store, replace(self.run, **{"history": tuple(self.rows), **changed}), self.forgotten.append)

    def left(self) -> list[int]:
        there = {one.id for one in listed(self.store, [IDENTITY, OTHER], layout=PLACE).backups}
        return [place for place, one in enumerate(self.made) if one.id in there]


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


def refused(keeper: Keeper, why: str, **changed) -> None:
    before = dict(keeper.store.objects)
    done = keeper.prune(**changed)
    assert why in done.plan.refused
    assert why in done.stopped
    assert (done.deleted, done.plan.delete, keeper.forgotten) == ((), (), [])
    assert keeper.store.objects == before


def test_what_the_policy_does_not_keep_goes(keeper):
    done = keeper.prune()
    assert keeper.left() == [1, 3, 4, 5]
    assert done.deleted == tuple(keeper.forgotten) == (keeper.made[0].id, keeper.made[2].id)
    assert (done.freed, done.stopped) == (12, "")
    assert done.plan.keep[keeper.made[1].id] == ("newest drilled",)
    assert all(whole(keeper.store, one) == "" for one in listed(keeper.store, [IDENTITY]).backups)
    assert keeper.prune().deleted == ()


def test_a_machine_without_rows_does_the_same(keeper):
    assert len(keeper.prune(history=()).deleted) == 2
    assert keeper.left() == [1, 3, 4, 5]


def test_a_dry_run_and_append_only_credentials_only_tell(keeper):
    for changed, stopped in (({"dry_run": True}, ""), ({"may_delete": False}, "may not delete")):
        done = keeper.prune(**changed)
        assert (len(done.plan.delete), done.deleted, keeper.forgotten) == (2, (), [])
        assert stopped in done.stopped
    assert keeper.left() == [0, 1, 2, 3, 4, 5]


def test_what_our_rows_know_counts(keeper):
    keeper.rows[0] = replace(keeper.rows[0], held=True)
    keeper.rows[2] = replace(keeper.rows[2], state=DRILLED)
    assert keeper.prune(dry_run=True).plan.delete == (keeper.made[1].id,)
    assert keeper.prune(dry_run=True, history=()).plan.delete == (keeper.made[0].id, keeper.made[2].id)


def test_a_hold_in_the_target_counts(keeper):
    hold(keeper.store, PLACE, keeper.made[0].id, True)
    assert keeper.prune().deleted == (keeper.made[2].id,)


def test_a_row_that_says_deleted_of_what_is_there_is_judged_again(keeper):
    keeper.rows[2] = replace(keeper.rows[2], state=DELETED)
    keeper.rows[4] = replace(keeper.rows[4], state=DELETED)
    assert len(keeper.prune().deleted) == 2
    assert keeper.left() == [1, 3, 4, 5]


def test_nothing_goes_while_the_newest_attempt_failed_or_is_overdue(keeper):
    refused(keeper, "overdue", overdue=True)
    keeper.rows.append(row(manifest(-0.5), FAILED, reason="stopped"))
    refused(keeper, "stopped")


def test_a_backup_whose_drill_failed_is_no_good_one(keeper):
    keeper.shelf.drill(keeper.made[5], passed=False)
    refused(keeper, "failed")
    keeper.made.append(keeper.shelf.add(-0.5))
    keeper.prune()
    assert keeper.left() == [1, 3, 4, 5, 6]


def test_what_only_our_rows_know_as_bad_is_no_good_one(keeper):
    """The drill's record did not reach the target."""
    keeper.rows[5] = replace(keeper.rows[5], state=FAILED, reason="drill: 3 rows differ")
    refused(keeper, "3 rows differ")
    keeper.made.append(keeper.shelf.add(-0.5))
    keeper.prune(policy=Policy(keep_last=1), force=True)
    assert keeper.left() == [1, 5, 6]


def test_another_machine_writes_here(keeper):
    claim(keeper.store, replace(OURS, machine="machine-2", host="beta"), adopt=True)
    refused(keeper, "beta")


def test_clocks(keeper):
    keeper.store.skew = timedelta(seconds=400)
    refused(keeper, "400 s")
    keeper.store.skew = timedelta()
    keeper.shelf.now = at(-30)
    refused(keeper, "behind")


@pytest.mark.parametrize("place", [0, 5])
def test_a_manifest_in_doubt(keeper, place):
    key = PLACE.manifest(keeper.made[place].id)
    text = keeper.store.get(key)
    keeper.store.put(key, text.replace(b"17.6", b"17.7"))
    refused(keeper, "in doubt")
    keeper.store.put(key, text)
    refused(keeper, "in doubt", keys=(OTHER,))
    assert keeper.prune(keys=(OTHER,)).plan.keep == {}             # nothing that is not surely ours counts as good


@pytest.mark.parametrize("place", range(6))
def test_one_that_we_know_is_gone(keeper, place):
    delete(keeper.store, PLACE, keeper.made[place].id)
    refused(keeper, keeper.made[place].id)


def test_the_newest_good_one_must_be_whole_before_another_goes(keeper):
    for place in (1, 5):
        key = keeper.made[place].parts[0].key
        data = keeper.store.get(key)
        keeper.store.cut(key, 3)
        refused(keeper, "not whole")
        keeper.store.delete([key])
        refused(keeper, "not whole")
        keeper.store.put(key, data)
    keeper.store.cut(keeper.made[0].parts[0].key, 3)
    assert len(keeper.prune().deleted) == 2


def test_more_than_half(keeper):
    refused(keeper, "half", policy=Policy(keep_last=1))
    assert len(keeper.prune(policy=Policy(keep_last=1), force=True).deleted) == 4
    assert keeper.left() == [1, 5]


def test_what_a_point_in_time_needs_stays(keeper):
    assert keeper.prune(needed={keeper.made[0].id}).deleted == (keeper.made[2].id,)


# Something changes between the plan and a deletion


def meanwhile(keeper: Keeper, act) -> None:
    """*act* happens when the first backup has been forgotten, before the second is looked at."""
    def forget(backup_id):
        keeper.forgotten.append(backup_id)
        if len(keeper.forgotten) == 1:
            act()
    done = prune(keeper.store, replace(keeper.run, history=tuple(keeper.rows)), forget)
    assert done.deleted == (keeper.made[0].id,)
    assert keeper.forgotten == [keeper.made[0].id]
    assert done.stopped


def test_it_is_held_in_the_meantime(keeper):
    meanwhile(keeper, lambda: hold(keeper.store, PLACE, keeper.made[2].id, True))
    assert keeper.left() == [1, 2, 3, 4, 5]


def test_its_manifest_changes_in_the_meantime(keeper):
    meanwhile(keeper, lambda: keeper.store.flip(PLACE.manifest(keeper.made[2].id), 9))


def test_the_newest_goes_in_the_meantime(keeper):
    meanwhile(keeper, lambda: delete(keeper.store, PLACE, keeper.made[5].id))


def test_another_machine_comes_in_the_meantime(keeper):
    meanwhile(keeper, lambda: claim(keeper.store, replace(OURS, machine="machine-2"), adopt=True))


# Faults


def points() -> list[tuple[str, int]]:
    keeper = Keeper()
    keeper.prune()
    assert len(keeper.forgotten) == 2
    return keeper.store.faults.points()


@pytest.mark.parametrize("point", points(), ids=str)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_fault_at_any_call_never_takes_what_is_needed(point, after):
    keeper = Keeper()
    name, nth = point
    keeper.store.faults.fail_on(name, nth, StoreError("503"), after=after)
    done = keeper.prune()
    assert {1, 3, 4, 5} <= set(keeper.left())
    assert done.stopped or (not done.plan.refused and keeper.store.faults.pending)
    keeper.store.faults.clear()
    judge_second_run(keeper)


@pytest.mark.parametrize("point", points(), ids=str)
def test_killed_at_any_call_it_goes_on_the_next_time(point):
    keeper = Keeper()
    keeper.store.faults.fail_on(*point, Crash())
    with pytest.raises(Crash):
        keeper.prune()
    keeper.store.faults.clear()
    assert {1, 3, 4, 5} <= set(keeper.left())
    judge_second_run(keeper)


def judge_second_run(keeper: Keeper) -> None:
    """Rows as the database has them: what was forgotten is DELETED."""
    keeper.rows = [replace(one, state=DELETED) if one.id in keeper.forgotten else one for one in keeper.rows]
    assert not keeper.prune().stopped
    assert keeper.left() == [1, 3, 4, 5]
    assert all(whole(keeper.store, one) == "" for one in listed(keeper.store, [IDENTITY]).backups)
