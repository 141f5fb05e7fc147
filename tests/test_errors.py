import pytest

from ditta_jax.errors import UserError, run


@pytest.mark.parametrize(("status", "expected"), [(None, 0), (0, 0), (3, 3)])
def test_the_result_of_a_program_is_its_status(status, expected):
    with pytest.raises(SystemExit) as end:
        run(lambda: status)
    assert end.value.code == expected


def test_an_error_for_people_is_one_line_on_standard_error(capsys):
    def main():
        raise UserError("a.json: broken\n  in two\nlines")

    with pytest.raises(SystemExit) as end:
        run(main)
    assert end.value.code == 2
    assert capsys.readouterr() == ("", "error: a.json: broken in two lines\n")


def test_an_interruption_says_how_to_go_on(capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        run(main)
    assert end.value.code == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"


def test_a_fault_of_the_program_keeps_its_traceback():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)


def test_too_little_memory_is_one_line(capsys):
    def main():
        raise MemoryError("Unable to allocate 7 TiB")

    with pytest.raises(SystemExit) as end:
        run(main)
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: not enough memory: Unable to allocate 7 TiB\n"
