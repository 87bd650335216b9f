# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from installed import Installed  # noqa: E402


@pytest.fixture(scope="session")
def machine():
    """Sluice as it is installed, started by systemd, with two tenants' pods at work."""
    with Installed() as made:
        yield made


@pytest.fixture
def node(machine):
    """The same, started, whatever the test before has left."""
    machine.settle()
    yield machine
