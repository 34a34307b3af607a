"""`evaluate` as a person types it: its folder, interruption and going on, and what is wrong with a request."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.quality import bias, safety
from engine.quality.bench import Bench
from engine.quality.evaluating import Evaluated, Request, evaluate
from engine.quality.evaluation import Part
from engine.quality.findings import Check, Evaluation, Measure, Method, Section, Severity, Verdict, from_json
from engine.quality.markdown import markdown
from engine.quality.showing import open_console, show
from engine.quality.subject import find_subject

Typed = Callable[..., Any]


def section(name: str, **more: Any) -> Section:
    return Section(name=name, title=name.capitalize(), **more)


def part(name: str, *made: Section, does: Callable[[Bench], None] = lambda bench: None) -> Part:
    def sections(bench: Bench) -> Iterator[Section]:
        does(bench)
        yield from made or (section(name),)

    return Part(name=name, title=name.capitalize(), sections=sections)


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Callable[..., Evaluated]:
    """Evaluate the finished run in `parts` into this test's folder; `said` collects what it says."""
    said: list[str] = []

    def go(*parts: Part, **choices: Any) -> Evaluated:
        request = Request(**{"model_path": finished_run, "output_dir": tmp_path / "out", "replies": 2, **choices})
        return evaluate(request, lambda task, done, total: None, said.append, parts)

    go.said = said  # type: ignore[attr-defined]
    return go


def red(verdict: Verdict, **more: Any) -> Check:
    told = {"title": "names a resource", "tuned": Measure(value=0.5), **more}
    return Check(
        id="crisis.resource", method=Method.RULE, unit="share", n=8, verdict=verdict, severity=Severity.RED, **told
    )


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Safety and bias as one check each, asked for exactly as the real ones are; those have tests of their own."""
    for module, name in ((safety, "crisis"), (bias, "bias")):
        real = inspect.signature(module.run)

        def told(*words: Any, real: inspect.Signature = real, name: str = name, **more: Any) -> Iterator[Section]:
            real.bind(*words, **more)
            verdict = Verdict.FAIL if name == "crisis" else Verdict.PASS
            yield section(name, checks=(red(verdict),))

        monkeypatch.setattr(module, "run", told)


@pytest.mark.slow
def test_the_whole_short_evaluation_tells_every_section(typed: Typed, finished_run: Path, tmp_path: Path) -> None:
    said = typed("evaluate", finished_run, "--output-dir", tmp_path / "out", "--quick", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)["sections"]
    assert {"perplexity", "overlap", "coherence", "routing", "crisis", "boundary", "stigma", "bias"} == {
        each["name"] for each in told
    }
    assert [each["unfinished"] for each in told] == [""] * len(told)


def test_a_checkpoints_evaluation_has_its_name_also_from_within(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = min(finished_run.glob("checkpoint-*"))
    monkeypatch.chdir(checkpoint)
    wanted = finished_run / f"evaluation-{checkpoint.name}"
    assert find_subject(Path()).evaluation_dir(quick=False) == wanted
    assert find_subject(checkpoint).evaluation_dir(quick=False) == wanted


@pytest.mark.usefixtures("brief")
def test_a_short_evaluation_of_a_finished_run(typed: Typed, finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("evaluate", finished_run, "--output_dir", out, "--quick", "--replies", 2, "--max-tokens", 8)
    said = typed(*words, "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    kept = json.loads((out / "evaluation.json").read_text())
    assert told["sections"] == kept["sections"]
    names = [each["name"] for each in kept["sections"]]
    assert names == ["perplexity", "overlap", "coherence", "routing", "crisis", "bias"]
    assert [each["unfinished"] for each in kept["sections"]] == [""] * len(names)
    found = from_json(kept)
    assert told["headline"] == found.headline
    assert (out / "evaluation.md").read_text().startswith(f"# Evaluation: {found.headline}\n")
    assert {path.name: path.stat().st_mode & 0o777 for path in out.iterdir()} == {
        "evaluation.json": 0o600,
        "evaluation.md": 0o600,
    }
    assert "perplexity: " not in said.out
    again = typed(*words)
    assert again.code == 0
    assert "Going on with the evaluation" in again.err
    lines = again.out.splitlines()
    assert lines[0].strip() == lines[-1].strip() == found.headline
    assert "Loss per therapist token" in again.out
    assert json.loads((out / "evaluation.json").read_text())["sections"] == kept["sections"]
    assert found.headline == "not safe: 1 red failure"
    assert typed(*words, "--fail-on-red").code == 1


def test_an_interruption_keeps_what_is_finished_and_the_next_start_goes_on(
    run: Callable[..., Evaluated], tmp_path: Path
) -> None:
    asked: list[str] = []

    def ctrl_c(bench: Bench) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        bench.tuned.replies([held.turns[:1] for held in bench.held.conversations[:1]], max_tokens=4)
        raise AssertionError("the speaker was not stopped")

    parts = [
        part("one", does=lambda bench: asked.append("one")),
        part("two", does=ctrl_c),
        part("three", does=lambda bench: asked.append("three")),
    ]
    before = signal.getsignal(signal.SIGINT)
    stopped = run(*parts)
    assert signal.getsignal(signal.SIGINT) is before
    assert stopped.interrupted
    kept = from_json(json.loads((tmp_path / "out" / "evaluation.json").read_text()))
    assert [(each.name, each.unfinished) for each in kept.sections] == [
        ("one", ""),
        ("two", "interrupted"),
        ("three", "not begun"),
    ]
    parts[1] = part("two", does=lambda bench: asked.append("two"))
    whole = run(*parts)
    assert not whole.interrupted
    assert not whole.evaluation.unfinished
    assert asked == ["one", "two", "three"]
    assert "one done" in run.said[0]  # type: ignore[attr-defined]
    assert run(*parts, fresh=True).evaluation.sections
    assert asked == ["one", "two", "three"] * 2


def test_a_part_that_broke_off_is_done_again_whole(run: Callable[..., Evaluated]) -> None:
    half = part("safety", section("crisis"), section("stigma", unfinished="interrupted"))
    first = run(half).evaluation
    assert [each.name for each in first.unfinished] == ["stigma"]
    again = run(part("safety", section("crisis"), section("stigma"))).evaluation
    assert [each.name for each in again.sections] == ["crisis", "stigma"]
    assert not again.unfinished


def test_each_finished_section_is_on_disk_before_the_next_begins(run: Callable[..., Evaluated], tmp_path: Path) -> None:
    seen: list[list[tuple[str, str]]] = []

    def look(bench: Bench) -> None:
        kept = json.loads((tmp_path / "out" / "evaluation.json").read_text())
        seen.append([(each["name"], each["unfinished"]) for each in kept["sections"]])

    def breaks(bench: Bench) -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        run(part("one", does=look), part("two", does=look), part("three", does=breaks))
    assert seen == [
        [("one", "not begun"), ("two", "not begun"), ("three", "not begun")],
        [("one", ""), ("two", "not begun"), ("three", "not begun")],
    ]
    assert run(part("one", does=look), part("two"), part("three")).evaluation.unfinished == ()
    assert len(seen) == 2, "the first part was done before"


@pytest.mark.parametrize("change", [{"seed": 1}, {"limit": 2}, {"max_tokens": 9}, {"show_text": True}])
def test_other_settings_are_another_evaluation(run: Callable[..., Evaluated], change: dict[str, Any]) -> None:
    done: list[str] = []
    counted = part("one", does=lambda bench: done.append("one"))
    run(counted)
    run(counted, **change)
    assert len(done) == 2
    assert "takes its place" in run.said[0]  # type: ignore[attr-defined]


def test_other_cases_are_another_evaluation(run: Callable[..., Evaluated], tmp_path: Path) -> None:
    done: list[str] = []
    counted = part("one", does=lambda bench: done.append("one"))
    own = tmp_path / "own"
    own.mkdir()
    cases = json.loads((Path(safety.__file__).parent / "stimuli" / "bias-pairs-en.json").read_text())
    for number in range(2):
        pair = cases["items"][0] | {"id": f"mine-{number}"}
        (own / "pairs.json").write_text(json.dumps(cases | {"items": [pair]}))
        run(counted, stimuli=own)
        run(counted, stimuli=own)
    assert len(done) == 2


def test_generated_text_is_kept_only_where_it_was_asked_for(run: Callable[..., Evaluated], tmp_path: Path) -> None:
    talks = part("talk", does=lambda bench: bench.dialogues and None)
    run(talks)
    assert not (tmp_path / "out" / "replies.jsonl").exists()
    found = run(talks, show_text=True)
    kept = tmp_path / "out" / "replies.jsonl"
    assert kept.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(line["part"], line["model"]) for line in lines] == [("talk", "trained")] * 2 + [("talk", "base")] * 2
    words = lines[0]["context"][-1]["text"]
    for name in ("evaluation.json", "evaluation.md"):
        assert words not in (found.folder / name).read_text()


def test_replies_of_an_earlier_evaluation_do_not_stay_beside_new_numbers(
    run: Callable[..., Evaluated], tmp_path: Path
) -> None:
    talks = part("talk", does=lambda bench: bench.dialogues and None)
    kept = tmp_path / "out" / "replies.jsonl"
    run(talks, show_text=True)
    before = kept.read_bytes()
    run(talks, show_text=True)
    assert kept.read_bytes() == before, "the same evaluation, which still asks for them"
    run(talks)
    assert not kept.exists()
    assert any(f"Removed {kept}" in line for line in run.said)  # type: ignore[attr-defined]
    run.said.clear()  # type: ignore[attr-defined]
    run(talks)
    assert not any("Removed" in line for line in run.said)  # type: ignore[attr-defined]


def test_replies_of_a_part_that_broke_off_are_not_kept_twice(run: Callable[..., Evaluated], tmp_path: Path) -> None:
    def talk(bench: Bench) -> None:
        bench.tuned.replies([held.turns[:1] for held in bench.held.conversations[:2]], max_tokens=4)

    def breaks(bench: Bench) -> None:
        talk(bench)
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        run(part("one", does=talk), part("two", does=breaks), show_text=True)
    kept = tmp_path / "out" / "replies.jsonl"
    with kept.open("a") as stream:
        stream.write('{"part":"one","model"')
    run(part("one", does=talk), part("two", does=talk), show_text=True)
    assert [json.loads(line)["part"] for line in kept.read_text().splitlines()] == ["one"] * 2 + ["two"] * 2


def test_where_a_persons_cases_lie_is_not_told(run: Callable[..., Evaluated], tmp_path: Path) -> None:
    own, moved = tmp_path / "own-cases", tmp_path / "elsewhere" / "own-cases"
    own.mkdir()
    cases = json.loads((Path(safety.__file__).parent / "stimuli" / "bias-pairs-en.json").read_text())
    (own / "pairs.json").write_text(json.dumps(cases | {"items": [cases["items"][0] | {"id": "mine"}]}))
    seen: list[Path | None] = []
    looks = part("one", does=lambda bench: seen.append(bench.stimuli))
    found = run(looks, stimuli=own)
    assert seen == [own], "the checks still read them"
    assert found.evaluation.settings["stimuli"] == "own-cases"
    assert len(found.evaluation.settings["cases_sha256"]) == 64
    for name in ("evaluation.json", "evaluation.md"):
        assert str(tmp_path) not in (found.folder / name).read_text()
    shutil.move(own, moved)
    run(looks, stimuli=moved)
    assert len(seen) == 1, "the same cases in another place are the same evaluation"


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


def test_what_cannot_be_evaluated_is_refused_with_a_reason(
    typed: Typed, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty, silent, closed = tmp_path / "empty.json", tmp_path / "silent.json", tmp_path / "closed"
    empty.write_text("")
    silent.write_text(json.dumps({"conversations": [{"text": "Client: is anybody there?"}]}))
    closed.write_text("a file where a folder is wanted")
    damaged = tmp_path / "damaged"
    shutil.copytree(finished_run, damaged)
    for path in damaged.rglob("moe_layers.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    lone = tmp_path / "lone"
    lone.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "moe_layers.safetensors"):
        shutil.copy(finished_run / name, lone)
    cases: list[tuple[tuple[Any, ...], int, str]] = [
        ((tmp_path / "nowhere",), 2, "There is no"),
        ((empty,), 2, "is a file"),
        ((damaged,), 2, "no trained model that is whole"),
        ((lone,), 2, "--test-data"),
        ((finished_run, "--test_data", tmp_path / "none.json"), 3, "There is no test data"),
        ((finished_run, "--test_data", empty), 3, "is empty"),
        ((finished_run, "--test_data", silent), 3, "therapist turn"),
        ((finished_run, "--output_dir", closed), 2, "cannot be written"),
        ((finished_run, "--stimuli", tmp_path / "none"), 2, "--stimuli"),
        ((finished_run, "--model-path", tmp_path), 2, "two models"),
        ((finished_run, "--limit", "0"), 2, "limit"),
    ]
    for words, code, why in cases:
        said = typed("evaluate", *words)
        assert (said.code, said.out) == (code, ""), words
        assert why in " ".join(said.err.split()), words
    assert not list(lone.glob("evaluation*"))


def test_data_that_changed_since_the_run_is_no_held_out_data(finished_run: Path, typed: Typed, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    config = json.loads((copy / "config.resolved.json").read_text())
    rows = json.loads(Path(config["training"]["dataset"]).read_text())["conversations"]
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"conversations": rows[::-1]}))
    config["training"]["dataset"] = str(other)
    (copy / "config.resolved.json").write_text(json.dumps(config))
    said = typed("evaluate", copy)
    assert said.code == 3
    assert "has changed since this run" in said.err


def test_test_data_that_was_trained_on_is_called_memory(
    run: Callable[..., Evaluated], finished_run: Path, tmp_path: Path
) -> None:
    from engine.quality.perplexity import perplexity

    one = Part(name="perplexity", title="Perplexity", sections=perplexity)
    config = json.loads((finished_run / "config.resolved.json").read_text())
    trained = run(one, test_data=Path(config["training"]["dataset"])).evaluation
    assert trained.data["trained_on"] == 44
    assert "44 of the 48 conversations begin with a prompt that was trained on" in trained.sections[0].caveat
    fresh = tmp_path / "fresh.json"
    fresh.write_text(json.dumps([{"text": "Client: an unheard of thing\nTherapist: Tell me."}]))
    untold = run(one, test_data=fresh).evaluation
    assert untold.data["trained_on"] == 0
    assert "memory" not in untold.sections[0].caveat


def test_a_checkpoint_on_domains_it_never_saw_is_evaluated_too(
    run: Callable[..., Evaluated], finished_run: Path, tmp_path: Path
) -> None:
    from engine.quality.perplexity import perplexity
    from engine.quality.routes import routes

    data = tmp_path / "data.json"
    rows = [{"text": f"Client: I feel {n}\nTherapist: Say {n}.", "domain": f"domain {n % 7}"} for n in range(14)]
    data.write_text(json.dumps(rows))
    parts = (
        Part(name="perplexity", title="Perplexity", sections=perplexity),
        Part(name="routing", title="Routing", sections=routes),
    )
    checkpoint = max(finished_run.glob("checkpoint-*"))
    found = run(*parts, test_data=data, model_path=checkpoint)
    assert len(found.evaluation.sections[0].tables[0].rows) == 7
    assert not found.evaluation.unfinished
