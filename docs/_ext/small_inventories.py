"""Sphinx extension: links to other projects without a network."""


def setup(app):
    """Register with Sphinx."""
    return {"parallel_read_safe": True}
