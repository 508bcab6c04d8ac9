import pytest

from tests.unit.backups.shelf import Shelf


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()
