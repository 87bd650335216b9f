# SPDX-License-Identifier: Apache-2.0
import os

import pytest

import sluice_e2e


@pytest.fixture(scope="session", autouse=True)
def machine():
    assert os.geteuid() == 0, "the end-to-end tests make namespaces and load BPF programs: run them as root"
    sluice_e2e.clean_leftovers()
    yield
    sluice_e2e.clean_leftovers()
