"""What the built pages hold: read with the parser of the standard library."""

import functools
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

SITE = Path(__file__).parents[1] / "_build" / "html"
VOID = {"img": "src", "link": "href", "script": "src", "source": "src", "iframe": "src", "video": "src"}


PICTURES = {".gif", ".jpeg", ".jpg", ".png", ".svg"}


class Page(NamedTuple):
    """One page: where links lead, what the browser loads with it, where links may lead, and pictures without a text."""

    links: list
    assets: list
    anchors: set
    bare_images: list


class Reader(HTMLParser):
    """Collects a :class:`Page`."""

    def __init__(self):
        super().__init__()
        self.page = Page([], [], {""}, [])

    def handle_starttag(self, tag, attributes):
        """Take what one tag says."""
        found = dict(attributes)
        self.page.anchors.update(found[key] for key in ("id", "name") if found.get(key))
        if tag == "a" and found.get("href"):
            self.page.links.append(found["href"])
        elif tag in VOID and found.get(VOID[tag]) and not is_only_a_name(tag, found):
            self.page.assets.append(found[VOID[tag]])
        if tag == "img" and is_bare(found.get("alt")):
            self.page.bare_images.append(found.get("src"))


def is_bare(text):
    """Return whether a picture has no text, for which Sphinx takes the name of the file; "" is one for decorations."""
    return text is None or Path(text).suffix in PICTURES


def is_only_a_name(tag, attributes):
    """Return whether a link in the head of a page names another page, and is not loaded with it."""
    return tag == "link" and attributes.get("rel") in {"canonical", "index", "next", "prev", "search"}


@functools.cache
def read(path):
    """Return the content of a page."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page


@functools.cache
def built_pages():
    """Return the paths of all built pages."""
    return sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)


def is_elsewhere(address):
    """Return whether an address leads out of the site."""
    return bool(urlsplit(address).scheme or urlsplit(address).netloc)


def target_of(address, page):
    """Return the file of the site and the anchor in it that an address on a page leads to."""
    parts = urlsplit(address)
    path = page.parent / unquote(parts.path) if parts.path else page
    path = path.resolve()
    return (path / "index.html" if path.is_dir() else path), unquote(parts.fragment)
