"""With CI=true a test that is skipped for a reason not listed here fails the run."""

import os

import pytest

# Beginnings of reasons, and where they are expected.
EXPECTED = {
    "a part of the tests was asked for": "the page of cases is compared where all were collected",
    "no shared data": "a clone without the reference numbers and real videos beside it",
    "no compiler for": "436 MB, which COMPILERS of the Makefile names",
    "Ray is not installed": "an extra of 79 MB, 240 MB unpacked, for whoever has a cluster",
    "root may write everywhere": "containers, whose user no permission stops",
    "this system's high-water mark": "systems whose mark of a process cannot be set back",
    "no matplotlib": "the plots are an extra of their own",
}
_unexpected = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[_unexpected] = []
    config.pluginmanager.register(_Listener(config.stash[_unexpected]))


class _Listener:
    """Notes the skips that nobody expects."""

    def __init__(self, unexpected):
        self.unexpected = unexpected

    def pytest_runtest_logreport(self, report):
        self._note(report)

    def pytest_collectreport(self, report):
        self._note(report)

    def _note(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "no reason"
            if not reason.removeprefix("Skipped: ").startswith(tuple(EXPECTED)):
                self.unexpected.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    unexpected = session.config.stash[_unexpected]
    if os.environ.get("CI") and unexpected and not hasattr(session.config, "workerinput"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if os.environ.get("CI"):
        for line in config.stash[_unexpected]:
            terminalreporter.write_line(f"skipped in CI without being expected: {line}", red=True)
