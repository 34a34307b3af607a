"""The report as one web page that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.report.document import Report
from engine.report.layout import prepared
from engine.report.plots.theme import DARK, LIGHT, SCREEN

TEMPLATES = Path(__file__).parent / "templates"


def render_html(report: Report) -> str:
    """Return the page. Text is escaped by the template engine; the only markup let through is our own drawings."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def drawing(svg: str) -> Any:
        # Made by plots/canvas.py, which escapes every word that goes into it.
        return Markup(svg)  # noqa: S704

    environment.filters["drawing"] = drawing
    template = environment.get_template("report.html")
    return template.render(report=prepared(report, SCREEN, both=True), light=LIGHT, dark=DARK)
