"""Signals sent to programs of their own: they end, with a word, whoever swallows the exception."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
AREA = "Run folders"
HEAD = """
import gc, signal, sys, time, weakref
from ditta_jax.errors import UserError, run, stop_if_interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run where it is ignored,
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # or under nohup

def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def ready():
    print("ready", flush=True)

"""
# Each of them is struck between "ready" and half a second later.
BUSY = """
def main():
    ready()
    busy(20)
"""
WAITING = """
def main():
    ready()
    time.sleep(20)
"""
FINALIZER = """
class Held:
    def __del__(self):
        ready()
        busy(0.3)

def main():
    held = Held()
    del held
    busy(20)
"""
COLLECTOR = """
def main():
    def callback(phase, info):  # as JAX has one
        if phase == "start" and not told:
            told.append(1)
            ready()
            busy(0.3)
    told = []
    gc.callbacks.append(callback)
    gc.collect()
    busy(20)
"""
WEAK = """
class Held: pass

def main():
    held = Held()
    reference = weakref.ref(held, lambda _: (ready(), busy(0.3)))
    del held
    busy(20)
"""
SWALLOWED_TWICE = """
class Held:
    def __del__(self):
        ready()
        busy(0.3)
        Again()

class Again:
    def __del__(self):
        busy(0.3)

def main():
    held = Held()
    del held
    again = Again()
    del again
    busy(20)
"""
CAUGHT_BY_A_LIBRARY = """
def main():
    ready()
    try:
        busy(20)
    except BaseException:
        pass  # a library that means well
    while True:
        busy(0.01)
        stop_if_interrupted()
"""
PROGRAMS = {
    "busy": BUSY,
    "waiting": WAITING,
    "in a finalizer": FINALIZER,
    "in a callback of the garbage collector": COLLECTOR,
    "in a callback of a weak reference": WEAK,
    "swallowed twice": SWALLOWED_TWICE,
    "caught by a library": CAUGHT_BY_A_LIBRARY,
}


def start(program, *before):
    text = HEAD + program + "\nrun(main)\n"
    return subprocess.Popen(
        [*before, sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def strike(process, number, after=0.1):
    assert process.stdout.readline() == "ready\n"
    time.sleep(after)
    process.send_signal(number)


def end(process):
    """Status, standard output and standard error of a program that is to end soon."""
    try:
        out, error = process.communicate(timeout=8)
    finally:
        process.kill()
    return process.returncode, out, error


@pytest.mark.robustness(AREA, "Ctrl-C, SIGTERM, a closed terminal", "ends with a word")
@pytest.mark.parametrize(
    ("where", "number"),
    [(where, number) for where in PROGRAMS for number in (signal.SIGINT, signal.SIGTERM)]
    + [("busy", signal.SIGHUP)],
)
def test_a_signal_ends_the_program_wherever_it_is(where, number, said):
    process = start(PROGRAMS[where])
    strike(process, number)
    status, _, error = end(process)
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert said(error) == f"{word}; run the same command again to go on\n"
    assert status == 128 + number


@pytest.mark.parametrize("moment", range(4))
def test_ctrl_c_is_heard_at_any_moment_of_a_program_full_of_finalizers(moment):
    process = start("""
class Held:
    def __init__(self): self.self = self  # garbage that only the collector finds
    def __del__(self): busy(0.001)

def main():
    ready()
    while True:
        Held()
""")
    strike(process, signal.SIGINT, after=0.1 + 0.037 * moment)
    status, _, error = end(process)
    assert (status, error) == (130, "interrupted; run the same command again to go on\n")


CLEANING = """
def main():
    try:
        ready()
        busy(20)
    finally:
        print("cleaning", flush=True)
        busy({seconds})
        print("clean", flush=True)
"""


def test_a_signal_that_comes_twice_at_once_leaves_cleaning_up_alone():
    process = start(CLEANING.format(seconds=0.5))
    strike(process, signal.SIGINT)
    assert process.stdout.readline() == "cleaning\n"
    process.send_signal(signal.SIGINT)  # a wrapper passed on what the terminal sent to everybody
    status, out, _ = end(process)
    assert (status, out) == (130, "clean\n")


def test_who_asks_twice_does_not_wait():
    process = start(CLEANING.format(seconds=20))
    strike(process, signal.SIGTERM)
    assert process.stdout.readline() == "cleaning\n"
    time.sleep(1.2)
    process.send_signal(signal.SIGTERM)
    assert end(process)[:2] == (143, "")


def test_what_is_ignored_stays_ignored():
    process = start(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"  # as nohup does
        "def main():\n    ready()\n    busy(2.0)\n    print('whole')\n"
    )
    strike(process, signal.SIGHUP)
    assert end(process) == (0, "whole\n", "")


# ---------------------------------------------------------------------------- other ends


def run_program(program, **streams):
    text = HEAD + program + "\nrun(main)\n"
    return subprocess.run(
        [sys.executable, "-c", text], cwd=REPOSITORY, text=True, timeout=20, **streams
    )


PRINTING = "def main():\n    print('results')\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_output_to_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = run_program(PRINTING, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device\n"


def test_output_that_nobody_reads_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        done = run_program(PRINTING * 1, stdout=pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("open('/nowhere/x')", "error: /nowhere/x: No such file or directory"),
        ("open('/')", "error: /: Is a directory"),
        ("raise UserError('a: b')", "error: a: b"),
    ],
)
def test_what_the_system_refuses_is_one_line(body, line):
    done = run_program(f"def main():\n    {body}\n", stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, line + "\n")
