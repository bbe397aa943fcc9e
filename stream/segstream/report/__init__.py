"""What a run says to people: one screen, one page, and the facts behind both.

The path of the figures:

    view ► evidence ► facts ► files (report.html, segments.json, customers.csv, the list)
                          └─► screen
"""

from segstream.report.facts import gather
from segstream.report.files import write_report
from segstream.report.screen import render_screen

__all__ = ["gather", "render_screen", "write_report"]
