"""Every link, anchor, picture and script of the built pages leads somewhere, and nothing is loaded from elsewhere.

There need be no network: of links to other sites only the form and the host are checked.
"""

from urllib.parse import urlsplit

import pytest
from pages import SITE, built_pages, is_elsewhere, read, target_of

# Sites that may be linked to: a slip in a host is more likely than a new one.
HOSTS = {
    "adversarial-attacks-pytorch.readthedocs.io",
    "adversarial-robustness-toolbox.readthedocs.io",
    "arxiv.org",
    "docs.python.org",
    "docs.pytorch.org",
    "docs.scipy.org",
    "doi.org",
    "foolbox.readthedocs.io",
    "github.com",
    "matplotlib.org",
    "numpy.org",
    "pandas.pydata.org",
    "proceedings.mlr.press",
    "pydata-sphinx-theme.readthedocs.io",
    "robustbench.github.io",
    "scikit-learn.org",
    "skorch.readthedocs.io",
    "sphinx-gallery.github.io",
    "www.sphinx-doc.org",
}
PAGES = [str(path.relative_to(SITE)) for path in built_pages()]


def is_dead(address, page):
    """Return whether an address on a page leads to no file of the site, or to no anchor in it."""
    path, anchor = target_of(address, page)
    if not path.is_file() or not path.is_relative_to(SITE.resolve()):
        return True
    return path.suffix == ".html" and anchor not in read(path).anchors


def test_the_site_is_built():
    assert PAGES, f"there are no pages in {SITE}: run make docs first"
    assert {"index.html", "api.html", "auto_examples/index.html", "search.html"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    page = SITE / name
    dead = [link for link in read(page).links if not is_elsewhere(link) and is_dead(link, page)]
    assert not dead


@pytest.mark.parametrize("name", PAGES)
def test_what_is_loaded_belongs_to_the_site(name):
    page = SITE / name
    assets = [asset for asset in read(page).assets if not asset.startswith("data:")]
    assert not [asset for asset in assets if is_elsewhere(asset)]
    assert not [asset for asset in assets if is_dead(asset, page)]


@pytest.mark.parametrize("name", PAGES)
def test_links_to_other_sites_have_known_hosts(name):
    elsewhere = {link for link in read(SITE / name).links if is_elsewhere(link)}
    assert not {link for link in elsewhere if urlsplit(link).scheme != "https" or urlsplit(link).netloc not in HOSTS}


@pytest.mark.parametrize("name", PAGES)
def test_pictures_have_a_text(name):
    assert not read(SITE / name).bare_images
