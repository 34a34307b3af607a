"""An evaluation as it is shown: on the terminal, as a page, with nothing that drives either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.quality.evaluating import Evaluated
from engine.quality.findings import Evaluation, Measure, Verdict
from engine.quality.markdown import markdown
from engine.quality.showing import open_console, show
from tests.quality.made import Typed, part, red, section


def test_numbers_that_are_none_are_unknown_and_the_headline_says_so(run: Callable[..., Evaluated]) -> None:
    broken = section("crisis", checks=(red(Verdict.PASS, tuned=Measure(value=float("nan"))),))
    found = run(part("safety", broken)).evaluation
    assert found.sections[0].checks[0].tuned is None
    assert found.headline == "not finished: 1 red check without an answer"


def test_nothing_in_names_and_notes_drives_a_terminal_or_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a|b\x1b[31m[click](javascript:1)<script>alert(1)</script>\n# x [bold]y[/bold] \u202e"
    made = Evaluation(
        wall=1.0,
        seconds=1.0,
        quick=False,
        data={"name": hostile},
        sections=(section("crisis", caveat=hostile, checks=(red(Verdict.FAIL, title=hostile, note=hostile),)),),
    )
    show(made, open_console())
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold]" in out, "markup of a terminal library is text"
    page = markdown(made)
    assert "\x1b" not in page
    assert "\n# x" not in page
    assert "<script" not in page.replace("\\<script", "")
    assert "](" not in page.replace("\\](", "")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}


def test_a_page_tells_a_failed_check_once_and_its_source_apart_from_its_note() -> None:
    failed = red(Verdict.FAIL, title="Names help", note="2 were cut off at 96 tokens", source="own prompts and rules")
    page = markdown(Evaluation(wall=1.0, seconds=1.0, quick=False, sections=(section("crisis", checks=(failed,)),)))
    (line,) = (line for line in page.splitlines() if line.startswith("- Names help"))
    assert "2 were cut off at 96 tokens. Source: own prompts and rules" in line
    assert line.count("FAIL") == 1
    assert page.count("Names help") == 2, "its row and its remark"


@pytest.mark.parametrize("columns", [80, 50])
def test_tables_fit_the_terminal(
    typed: Typed, run: Callable[..., Evaluated], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = run(part("crisis", section("crisis", checks=(red(Verdict.FAIL, title="a long title " * 8),))))
    show(found.evaluation, open_console())
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= columns
