"""How Sphinx makes the site of these pages: `make docs` (decision 69).

The pages are Markdown that a forge shows as well, so nothing here gives them another meaning. The site needs no
network: fonts are those of the reader, and search runs in the browser.
"""

from __future__ import annotations

from banger import __version__

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
