"""The pages themselves: the same bytes twice, nothing from elsewhere, and foreign text that stays text."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest

from engine.report.compose import compose
from engine.report.document import Figure, dump
from engine.report.gather import gather
from engine.report.html import render_html
from engine.report.pdf import render_pages, render_pdf
from engine.report.plots.draw import draw
from engine.report.plots.theme import PAPER, SCREEN
from engine.run.rundir import RunDir
from states import events as e

ROOT = Path(__file__).parents[2]
HOSTILE = (
    "\x1b[31m\u202eevil\x07 <script>alert(1)</script> <img src=x onerror=alert(1)> {{ 7 * 191 }} {% raw %} ${7*191} "
    '#panic("p") #{1+1} $x^2$ $ \\ ` @label <label> [b] *s* _i_ ]]> &amp; </text></svg><!-- \' " https://example.org/x.js'
)


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def worded(tale: Any, word: str) -> Any:
    """A run in which every text that can come from elsewhere is this one."""
    run = tale()
    run.config["training"]["base_model"] = word
    run.config["wandb"] = {"mode": "offline", "notes": word, "name": word, "tags": [word]}
    run.config["source"] = {"training.base_model": word}
    run.config[word] = {word: word}
    run.open(run_id=word).prepare(domains={word: 5, "grief": 100}, notes=(word,), waterfall={word: 3})
    run.say(e.MessageLogged(level="ERROR", logger=word, text=word)).steps(1, 20)
    run.say(
        e.ExpertsSampled(
            step=20, source="eval", window_steps=0, counts=((5, 5, 5, 5),), token_entropy=(1.0,), balance_loss=1.0,
            domains={word: (5, 5, 5, 5)},
        )
    )  # fmt: skip
    run.say(e.SinkDisabled(sink=word, error=word)).say(e.CheckpointFailed(step=20, path=word, error=word))
    return run.fail(20, word, word)


@pytest.fixture
def report_of(tmp_path: Path, tale: Any, evaluation: Any) -> Any:
    def write(word: str, name: str) -> Any:
        folder = worded(tale, word).write(tmp_path / name)
        evaluation(folder, red=1, title=word, note=word)
        (folder / "model_info.json").write_bytes(orjson.dumps({"versions": {word: word}}))
        (folder / "tracker.json").write_bytes(orjson.dumps({"wandb_id": word}))
        return compose(gather(RunDir(folder)))

    return write


@pytest.fixture
def hostile_report(report_of: Any) -> Any:
    return report_of(HOSTILE, "#set page[x] $y$ {{ 7 * 191 }}")


def test_foreign_text_is_inert_in_the_web_page(report_of: Any, hostile_report: Any) -> None:
    page = render_html(hostile_report)
    elements, tame = parsed(page), parsed(render_html(report_of("tame", "tame")))
    assert {tag for tag, _ in elements.tags} == {tag for tag, _ in tame.tags}
    assert not {tag for tag, _ in tame.tags} & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    for _, attributes in elements.tags:
        assert not any(name.startswith("on") or name in {"src", "srcset", "xlink:href"} for name in attributes)
        assert str(attributes.get("href", "#")).startswith("#")
    words = "".join(elements.words)
    assert "<script>alert(1)</script>" in words
    assert "{{ 7 * 191 }}" in words
    assert "1337" not in page
    assert not set(page) & {"\x1b", "\x07", "\u202e"}


def test_no_page_says_where_on_the_machine_anything_lies(tmp_path: Path, tale: Any, evaluation: Any) -> None:
    home = "/home/Jane Doe"
    run = tale()
    run.config["training"] |= {"base_model": f"{home}/bases/big one", "dataset": f"{home}/talks.json"}
    run.open().prepare()
    run.say(e.MessageLogged(level="ERROR", logger="stint", text=f"{home}/talks.json: row 3; also /srv/other/file.json"))
    folder = run.steps(1, 20).fail(20, "OSError", f"{home}/bases/big one is gone").write(tmp_path / "run")
    evaluation(folder)
    told = compose(gather(RunDir(folder)))
    for page in (render_html(told), dump(told).decode()):
        assert "Jane" not in page
        assert "/srv" not in page
        for name in ("big one", "talks.json", "file.json"):
            assert name in page


def test_foreign_text_is_inert_in_the_pdf(hostile_report: Any) -> None:
    body = render_pdf(hostile_report)
    assert body.startswith(b"%PDF")
    assert b"/JavaScript" not in body
    assert b"/URI" not in body
    assert len(render_pages(hostile_report, ppi=20.0)) > 2


def test_foreign_text_is_inert_in_every_drawing(hostile_report: Any) -> None:
    figures = [block for section in hostile_report.sections for block in section.blocks if isinstance(block, Figure)]
    assert len(figures) > 8
    for figure in figures:
        for theme in (PAPER, SCREEN):
            root = ElementTree.fromstring(draw(figure.chart, theme, wide=figure.wide, label=HOSTILE))
            tags = {element.tag.rpartition("}")[2] for element in root.iter()}
            assert tags <= {"svg", "path", "line", "rect", "circle", "text", "title"}


def test_report_json_holds_only_clean_text(hostile_report: Any) -> None:
    body = dump(hostile_report).decode()
    assert orjson.loads(body)["verdict"]["headline"].startswith("Failed in main")
    assert not set(body) & {"\x1b", "\x07", "\u202e"}


def test_scripts_without_a_font_become_boxes_and_not_errors(tmp_path: Path, tale: Any) -> None:
    run = tale()
    run.config["wandb"] = {"notes": "\u6f22\u5b57 \U0001f600 \u05d0\u05d1 caf\u00e9 \u2192 \u03b1"}
    report = compose(gather(RunDir(run.open().prepare().steps(1, 3).write(tmp_path / "run"))))
    assert render_pdf(report).startswith(b"%PDF")
    assert "\u6f22\u5b57" in render_html(report)


def test_the_web_page_needs_nothing_from_elsewhere(told: Any, finished: Any) -> None:
    page = render_html(compose(told(finished)))
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|<script|<link|<iframe|srcset", page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert 'name="viewport"' in page


def test_every_chapter_of_a_whole_run_is_there(told: Any, finished: Any) -> None:
    report = compose(told(finished))
    assert [section.id for section in report.sections] == [
        "quality", "advice", "training", "experts", "data", "time", "timeline", "configuration", "environment",
    ]  # fmt: skip
    titles = {block.title for section in report.sections for block in section.blocks if isinstance(block, Figure)}
    assert titles >= {
        "Loss, nats per target token", "Learning rate", "Gradient norm, before clipping", "Tokens a second",
        "Expert usage", "Least and most used expert of any layer", "Routing entropy, nats", "Domains and experts",
        "From rows to examples", "Length of the training examples", "Estimated and actual time", "The run on the clock",
    }  # fmt: skip


def test_differences_from_the_defaults_are_told_with_their_place(told: Any, finished: Any) -> None:
    report = compose(told(finished))
    configuration = next(section for section in report.sections if section.id == "configuration")
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in configuration.blocks[0].rows}
    assert rows["training.learning_rate"] == ["0.001", "0.0003", "training_config.json:3:4"]
    assert rows["training.base_model"][1] == "none"
    assert "training.weight_decay" not in rows


WRITE_TWICE = """
import sys
from pathlib import Path
from engine.report.write import write_report
from engine.run.rundir import RunDir
write_report(RunDir(Path(sys.argv[1])), Path(sys.argv[2]))
heavy = ("torch", "transformers", "peft", "matplotlib", "textual", "wandb")
assert not [name for name in heavy if name in sys.modules]
"""


def test_two_processes_write_the_same_bytes_without_torch(tmp_path: Path, finished: Any, evaluation: Any) -> None:
    folder = finished.write(tmp_path / "run")
    evaluation(folder, red=1)
    for number, seed, zone in (("1", "11", "UTC"), ("2", "12", "Asia/Tokyo")):
        subprocess.run(
            [sys.executable, "-c", WRITE_TWICE, str(folder), str(tmp_path / number)],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "TZ": zone, "PATH": "/usr/bin:/bin"},
            check=True,
            timeout=60,
        )
    for name in ("training_report.pdf", "training_report.html", "report.json"):
        first, second = (tmp_path / number / name for number in ("1", "2"))
        assert first.read_bytes() == second.read_bytes(), name
        assert first.stat().st_mode & 0o777 == 0o600
