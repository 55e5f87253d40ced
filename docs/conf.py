"""How Sphinx makes the site of these pages: `make docs` (decision 69).

The pages are Markdown that a forge shows as well, so nothing here gives them another meaning. The site needs no
network: fonts are those of the reader, and search runs in the browser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from banger import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "banger"
author = "the authors of banger"
release = version = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns: list[str] = []
# Headings get the anchors that a forge gives them, so that `page.md#heading` works at both places.
myst_heading_anchors = 4
# Each link that leads nowhere is a warning, and `make docs` makes an error of it.
nitpicky = True
# Quotes and hyphens of commands in a sentence stay as they are typed.
smartquotes = False

html_theme = "furo"
html_title = f"banger {__version__}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}

# Files of the root to which pages link, and the pages that show them here.
_ROOT = {
    "README": "index",
    "CHANGELOG": "changelog",
    "CONTRIBUTING": "contributing",
    "SECURITY": "vulnerabilities",
    "SPECIFICATION": "performance",
}


def _stay_inside(_app: Sphinx, page: str, source: list[str]) -> None:
    """Lead links to files of the root to the pages of the site that show them."""
    above = re.escape("../" * page.count("/") + "../")
    for name, shown in _ROOT.items():
        # A heading of the README is not one of the first page.
        kept = "" if shown == "index" else r"\1"
        target = "../" * page.count("/") + f"{shown}.md"
        source[0] = re.sub(rf"\]\({above}{name}\.md(#[^)]*)?\)", rf"]({target}{kept})", source[0])


def setup(app: Sphinx) -> None:
    app.connect("source-read", _stay_inside)
