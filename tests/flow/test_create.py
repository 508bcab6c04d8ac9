"""Several apps made at once, on purpose at the same moment."""

from concurrent.futures import ThreadPoolExecutor

from paas.ops import apps, pushes
from tests.flow.over_fakes import ALICE


def test_apps_made_at_once_get_ranges_of_their_own(flow):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: apps.create(flow.rt, ALICE, f"app-{n}"), range(8)))
    assert len({app.subnet for app in made}) == 8


def test_two_first_pushes_of_one_new_app_at_once_share_it(flow):
    with ThreadPoolExecutor(4) as pool:
        admitted = list(pool.map(lambda _: pushes.admit(flow.rt, ALICE, "hello"), range(4)))
    assert {app.id for app in admitted} == {flow.rt.store.app("hello").id}
