"""Hooks for all tests."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# the time of an example depends on the load of the machine
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Turn a skip into a failure if FOREWARN_NO_SKIP is set, because CI installs every program.

    Tests on the recordings of real servers may still skip: CI does not have them.
    """
    report = yield
    wanted = os.environ.get("FOREWARN_NO_SKIP") and "FOREWARN_REAL_DATA" not in str(report.longrepr)
    if report.skipped and wanted and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped where nothing may skip: {report.longrepr}"
    return report
