"""`evaluate` as a person types it: its folder, interruption and going on."""

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

from configs.errors import UsageError
from engine.quality import bias, safety
from engine.quality.bench import Bench
from engine.quality.evaluating import Evaluated
from engine.quality.findings import Section, Verdict, from_json
from engine.quality.subject import find_subject
from tests.quality.made import Typed, part, red, section


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


def test_a_file_of_that_name_that_is_no_evaluations_stays(run: Callable[..., Evaluated], tmp_path: Path) -> None:
    talks = part("talk", does=lambda bench: bench.dialogues and None)
    theirs = tmp_path / "out" / "replies.jsonl"
    theirs.parent.mkdir()
    theirs.write_text('{"prompt": "Hello", "reply": "Hello."}\n')
    run(talks)
    with pytest.raises(UsageError, match="was not written by an evaluation"):
        run(talks, show_text=True)
    assert theirs.read_text() == '{"prompt": "Hello", "reply": "Hello."}\n'


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
