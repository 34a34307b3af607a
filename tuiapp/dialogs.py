"""Questions before something happens, and the help page. None of them acts by itself: each returns an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from states.commands import Abort, Command, Finish
from states.phases import Phase
from tuiapp import format as fmt
from tuiapp import ink, keys
from tuiapp.frame import Frame
from tuiapp.outlook import outlook

ABORT_WORD = "abort"
BOX = 72
"""Width of a box, as in styles.tcss."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a menu and the sentence under it."""

    id: str
    label: str
    sentence: str


def stop_choices(frame: Frame) -> list[Choice]:
    """What stopping can mean in this phase, the gentlest first."""
    phase = frame.view.phase
    cancel = Choice("cancel", "Cancel", "Go on as before.")
    if phase in {Phase.SETUP, Phase.INIT}:
        return [
            Choice("abort", "Abort", "Nothing is trained yet, so there is nothing to finish. Asks once more."),
            cancel,
        ]
    if phase is Phase.FINALIZE:
        hurry = Choice(
            "finish", "Finish sooner", "Skip what is optional; the model and the last checkpoint are still written."
        )
        return [hurry, Choice("abort", "Abort", "Stop at once; checkpoints stay. Asks once more."), cancel]
    finalize = frame.view.plan.estimated_s.get("finalize") if frame.view.plan is not None else None
    takes = f" About {fmt.duration(finalize)}." if finalize else ""
    return [
        Choice(
            "finish",
            "Finish gracefully",
            f"End after this step: checkpoint, final evaluation, best model, report.{takes}",
        ),
        Choice(
            "cooldown",
            "Finish with a cool-down",
            "First bring the learning rate down to zero over some minutes; then the same.",
        ),
        Choice("abort", "Abort", "Stop at once: no evaluation, no export. Checkpoints stay. Asks once more."),
        cancel,
    ]


class Dialog(ModalScreen[Command | None]):
    """A box in the middle; escape always means no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.at = frame

    def action_cancel(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class StopMenu(Dialog):
    """Finish, finish with a cool-down, or abort; the first is highlighted, and only aborting must be typed out."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._choices = stop_choices(frame)
        self._purpose = ""

    def compose(self) -> ComposeResult:
        """The menu, and the line that some choices need."""
        with Vertical(classes="box"):
            yield Static(Text("Stop training?", style=ink.BRIGHT), classes="head")
            yield OptionList(
                *(Option(_prompt(choice, self.at, self._width), id=choice.id) for choice in self._choices), id="choices"
            )
            yield Static(Text(""), id="ask")
            yield Input(id="answer")
            yield Static(Text("up/down and enter choose, escape cancels", style=ink.FAINT), classes="foot")

    def on_mount(self) -> None:
        """Nothing is asked for yet."""
        self.query_one("#ask").display = False
        self.query_one("#answer").display = False
        self.query_one(OptionList).focus()

    @property
    def _width(self) -> int:
        """Cells of a sentence inside the box and beside the mark."""
        return max(20, min(BOX, self.app.size.width * 96 // 100) - 10)

    @on(OptionList.OptionHighlighted)
    def pointed(self, event: OptionList.OptionHighlighted) -> None:
        """Point at the choice with a mark too, for terminals without colour."""
        for index, choice in enumerate(self._choices):
            event.option_list.replace_option_prompt_at_index(
                index, _prompt(choice, self.at, self._width, here=index == event.option_index)
            )

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Answer at once, or ask for what is missing."""
        match event.option_id:
            case "finish":
                self.dismiss(Finish())
            case "cooldown":
                minutes = max(1, round(proposed_cooldown_s(self.at) / 60))
                self._ask("Minutes for the cool-down:", str(minutes), "cooldown")
            case "abort":
                self._ask(
                    f"This loses the steps since the last checkpoint. Type {ABORT_WORD} and press enter:", "", "abort"
                )
            case _:
                self.dismiss(None)

    def _ask(self, question: str, value: str, purpose: str) -> None:
        ask, answer = self.query_one("#ask", Static), self.query_one("#answer", Input)
        ask.update(Text(question, style=ink.WARN if purpose == "abort" else ink.PLAIN))
        ask.display = answer.display = True
        answer.value, self._purpose = value, purpose
        answer.focus()

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Take the typed answer, or say why it is none."""
        typed = event.value.strip().lower()
        if self._purpose == "abort":
            if typed == ABORT_WORD:
                self.dismiss(Abort())
            else:
                event.input.value = ""
                self.query_one("#ask", Static).update(Text(f"Not aborted: type the word {ABORT_WORD}.", style=ink.WARN))
            return
        seconds = minutes_typed(typed)
        if seconds is None:
            self.query_one("#ask", Static).update(Text("Minutes as a number, for example 15:", style=ink.WARN))
        else:
            self.dismiss(Finish(cooldown_s=seconds))


class PauseDialog(ModalScreen[bool]):
    """Says what a pause costs before it is asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter,P", "answer(True)", "Pause"),
        Binding("n,escape,q", "answer(False)", "Go on"),
    ]

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.at = frame

    def compose(self) -> ComposeResult:
        """The question and its price."""
        with Vertical(classes="box"):
            yield Static(Text("Pause training?", style=ink.BRIGHT), classes="head")
            yield Static(Text("\n".join(pause_price(self.at)), style=ink.PLAIN))
            yield Static(Text("enter or y pauses, escape goes on training", style=ink.FAINT), classes="foot")

    def action_answer(self, yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(yes)


class HelpScreen(ModalScreen[None]):
    """All keys of this mode with their sentences, and what the marks mean."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,h,enter,space", "close", "Close")]

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.at = frame

    def compose(self) -> ComposeResult:
        """A page that scrolls on small screens."""
        with Vertical(classes="box wide"):
            yield Static(Text("Stint cockpit", style=ink.BRIGHT), classes="head")
            with VerticalScroll(id="page"):
                yield Static(help_text(self.at, min(90, self.app.size.width * 96 // 100 - 7)))
            yield Static(Text("escape closes, up/down scroll", style=ink.FAINT), classes="foot")

    def on_mount(self) -> None:
        """Arrows scroll at once."""
        self.query_one("#page").focus()

    def action_close(self) -> None:
        """Back to the run."""
        self.dismiss(None)


def _prompt(choice: Choice, frame: Frame, width: int, *, here: bool = False) -> Text:
    mark = frame.glyphs.play if here else " "
    text = Text.assemble((f"{mark} {choice.label}", ink.BRIGHT))
    for row in ink.wrap(choice.sentence, width, ink.LABEL, most=4):
        text.append("\n  " + "".join(segment.text for segment in row), ink.LABEL)
    return text


def proposed_cooldown_s(frame: Frame) -> float:
    """A twentieth of the training so far, between one minute and half an hour, and within the time that is left."""
    sight = outlook(frame)
    proposed = min(1800.0, max(60.0, frame.view.progress.trained_s / 20))
    if sight.left_s is not None:
        proposed = min(proposed, max(60.0, sight.left_s - sight.reserve_s))
    return proposed


def minutes_typed(text: str) -> float | None:
    """`15`, `15m`, `1.5h`, `90s` as seconds; None where that is no positive time within a day."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    unit = units.get(text[-1:], 0.0)
    try:
        seconds = float(text[:-1] if unit else text) * (unit or 60.0)
    except ValueError:
        return None
    return seconds if 0 < seconds <= 86_400 else None


def pause_price(frame: Frame) -> list[str]:
    """What holding training costs, in the frame's own numbers."""
    sight = outlook(frame)
    lines = ["Training holds at the next step boundary, until you resume it with P."]
    if sight.left_s is None:
        return [*lines, "There is no deadline; the machine is billed all the same."]
    lines.append(
        f"The window goes on: {fmt.duration(sight.left_s)} left, until {fmt.moment(sight.deadline, sight.now)}."
    )
    if sight.slack_s is None:
        return lines
    if sight.slack_s > 0:
        lines.append(f"Every minute comes off the slack: after {fmt.duration(sight.slack_s)} the plan is cut short.")
    else:
        lines.append("There is no slack: every minute cuts the plan shorter.")
    return lines


def help_text(frame: Frame, width: int) -> Text:
    """The key table of this mode by group, then the legend."""
    glyphs, text = frame.glyphs, Text()
    table = keys.of_mode(replay=frame.playhead is not None)
    for group, heading in keys.GROUPS.items():
        members = [key for key in table if key.group == group]
        if not members:
            continue
        text.append(f"{heading}\n", ink.TITLE)
        for key in members:
            on = key.legal(frame)
            text.append(f"  {key.show:>7}  ", ink.BRIGHT if on else ink.SHUT)
            for index, row in enumerate(ink.wrap(key.tooltip, width - 11, ink.PLAIN if on else ink.SHUT, most=9)):
                text.append(" " * 11 if index else "")
                for segment in row:
                    text.append(segment.text, segment.style)
                text.append("\n")
        text.append("\n")
    text.append("Marks\n", ink.TITLE)
    marks = [
        (f"{glyphs.diamond} validation loss", f"{glyphs.star} the best"),
        (f"{glyphs.disc} checkpoint, or the phase the run is in", f"{glyphs.check} done"),
        (f"{glyphs.hatch} reserve for Finalize", f"{glyphs.diamond} on the budget bar: projected finish"),
        (f"{glyphs.warn} worth a look", f"{glyphs.cross} wrong"),
    ]
    for pair in marks:
        text.append(f"  {pair[0]:<42} {pair[1]}\n" if width >= 84 else f"  {pair[0]}\n  {pair[1]}\n", ink.PLAIN)
    return text
