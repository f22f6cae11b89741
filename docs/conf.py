"""Sphinx builds the site from the whole repository, so that links between its files work on the site too."""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import reference  # noqa: E402  (it lies in this folder, which the line above makes importable)

from siren_fastai import __version__  # noqa: E402

project = "siren_fastai"
copyright = "the siren_fastai contributors, Apache-2.0"
version = release = __version__
html_title = f"siren_fastai {release}"

extensions = ["myst_nb"]
root_doc = "docs/index"
include_patterns = [
    *("README.md", "CHANGELOG.md", "benchmarks/README.md", "data/README.md"),
    *("docs/*.md", "docs/reference/*.md", "nbs/*.ipynb"),
]
exclude_patterns = [".*", "build", "demo", "logs"]  # folders that Sphinx needn't search

myst_enable_extensions = ["fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks' stored outputs are shown
nb_ipywidgets_js = {}  # no notebook has widgets, and their scripts would come from another host
nb_merge_streams = True

add_module_names = False
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
smartquotes = False  # `--size` in running text is two hyphens

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra", "cat.html"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "default"


def setup(app):
    app.connect("builder-inited", lambda app: reference.write(DOCS / "reference"))
    app.connect("source-read", unlink_folders)
    app.connect("source-read", link_to_the_web_page)


def unlink_folders(app, docname, source):
    """A link to a folder works in a clone; the site has no page for it, so its text alone stays."""
    here = (DOCS.parent / docname).parent
    link = r"\[([^\]]*)\]\(([^)#:\s]+)\)"
    source[0] = re.sub(link, lambda match: match[1] if (here / match[2]).is_dir() else match[0], source[0])


def link_to_the_web_page(app, docname, source):
    """A page with endless zoom lies beside the site's own and is opened; Sphinx alone would offer it as a download."""
    up = "../" * docname.count("/")
    source[0] = re.sub(r"\[([^\]]*)\]\((?:docs/)?cat\.html\)", rf'<a href="{up}cat.html">\1</a>', source[0])
