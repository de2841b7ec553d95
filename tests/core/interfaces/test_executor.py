"""The session that needs only ``run``: it replays the program, and ends where the program does not repeat itself."""

import pytest

import mftkit


class Answers(mftkit.Executor):
    """Answers each line of the input, with the number of the run before it if ``numbered``."""

    numbered = False

    def __init__(self) -> None:
        super().__init__(mftkit.Options())
        self.runs = 0

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        self.runs += 1
        mark = f"{self.runs} " if self.numbered else ""
        lines = "".join(f"{mark}got {line}\n" for line in program.stdin.splitlines())
        return mftkit.Execution("exited", 0, lines + "unfinished", "", 0.1)


class Changes(Answers):
    numbered = True


def test_it_receives_line_by_line() -> None:
    executor = Answers()
    with executor.open(mftkit.Program({}, stdin="first\n"), mftkit.Limits()) as session:
        assert session.receive() == "got first"
        session.send("a")
        session.send("b")
        assert [session.receive(), session.receive()] == ["got a", "got b"]
        assert executor.runs == 2  # not again for lines of a run that has been made
        assert session.receive() is None
    assert session.close().stdout == "got first\ngot a\ngot b\nunfinished"


def test_it_ends_if_earlier_lines_change() -> None:
    session = Changes().open(mftkit.Program({}, stdin="first\n"), mftkit.Limits())
    assert session.receive() == "1 got first"
    session.send("a")
    assert session.receive() is None


def test_a_newline_in_a_line_is_refused() -> None:
    with pytest.raises(ValueError, match="one line at a time"):
        Answers().open(mftkit.Program({}), mftkit.Limits()).send("a\nb")
