"""How Sphinx builds the documentation: ``make docs``."""

import os
import sys
import tempfile
from pathlib import Path

import skrobust

HERE = Path(__file__).parent
# Pages draw with what the benchmarks draw with.
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "examples" / "benchmarks")]
# Examples that save their pictures do so where nobody looks: the gallery takes them from matplotlib.
os.environ.setdefault("SKROBUST_OUTPUT", tempfile.mkdtemp(prefix="skrobust-gallery-"))
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "skrobust"
author = "The skrobust developers"
copyright = "The skrobust developers"
version = release = skrobust.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "myst_parser",
    "architecture_maps",
    "benchmark_table",
    "mathml",
    "plain_types",
    "public_names",
    "small_inventories",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["checks", "_build", "**/GALLERY_HEADER.rst", "auto_examples/**/*.py.md5"]
templates_path = ["_templates"]
nitpicky = True
default_role = None

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries_show_parents = "hide"
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = False
plot_formats = [("png", 130)]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
myst_enable_extensions = ["colon_fence"]

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"benchmarks",
    "within_subsection_order": "gallery_order.ReadingOrder",
    "abort_on_example_error": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skrobust",),
    "reference_url": {"skrobust": None},
    "remove_config_comments": True,
    # The view of an estimator would stand wherever a cell ends in fit.
    "ignore_repr_types": r"sklearn\.|skrobust\._classifier",
    "show_memory": False,
    "min_reported_time": 1,
    "download_all_examples": False,
    "parallel": True,
    # That page loads scripts from elsewhere.
    "write_computation_times": False,
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "skrobust"
html_static_path = ["_static"]
html_css_files = ["skrobust.css"]
html_logo = html_favicon = "_static/favicon.svg"
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
# Pages without pages below them need no list of these.
html_sidebars = {
    page: []
    for page in ("index", "getting_started", "comparison", "faq", "security", "contributing", "architecture", "changes")
}
html_theme_options = {
    "logo": {"text": "skrobust", "alt_text": ""},
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc", "sg_download_links"],
}
