"""Fixtures of the namespace and interop tests (each folder's conftest.py takes them from here)."""
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from lnlab import Lab, LinnetServer, programs_folder  # noqa: E402


def pytest_report_header(config):
    return f"programs under test: {programs_folder()}"


@pytest.fixture
def lab(request):
    """A laboratory that goes away with the test and keeps its logs when the test fails."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    with Lab(request.node.name.replace("test_", "")[:8]) as made:
        yield made
        report = getattr(request.node, "report_call", None)
        made.keep = bool(report and report.failed)
    assert not made.findings, "\n".join(made.findings)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.report_call = outcome.get_result()


@pytest.fixture
def server(lab):
    return LinnetServer(lab.server)


@pytest.fixture
def netbird():
    return by_path("NETBIRD_BIN", "NetBird's agent")


@pytest.fixture
def netbird_server():
    return by_path("NETBIRD_SERVER_BIN", "NetBird's combined server")


def by_path(variable, what):
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} does not name {what}")
    if not os.access(path, os.X_OK):
        pytest.fail(f"{variable}={path} cannot be run")
    return path
