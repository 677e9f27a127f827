"""Sphinx extension: tables of the committed benchmark results."""


def setup(app):
    """Register with Sphinx."""
    return {"parallel_read_safe": True}
