"""Sphinx extension: a public name that two modules export has one page, and its other path leads there."""

import functools
import importlib
import pkgutil

from sphinx.errors import ExtensionError

PACKAGE = "skrobust"


def public_modules():
    """Return the package and its public modules, by name."""
    package = importlib.import_module(PACKAGE)
    names = [name for _, name, _ in pkgutil.iter_modules(package.__path__) if not name.startswith("_")]
    return {name: importlib.import_module(name) for name in (PACKAGE, *(f"{PACKAGE}.{name}" for name in names))}


@functools.cache
def public_paths():
    """Return the shortest public path of every public name, and the other paths to the same object."""
    found = {}
    for name, module in public_modules().items():
        if not hasattr(module, "__all__"):
            raise ExtensionError(f"{name} has no __all__: list its public names there, or call it _{name}.")
        for attribute in module.__all__:
            found.setdefault(id(getattr(module, attribute)), []).append(f"{name}.{attribute}")
    ordered = (sorted(paths, key=lambda path: (path.count("."), path)) for paths in found.values())
    return {paths[0]: paths[1:] for paths in ordered}


def full_path(target, paths):
    """Return the path of the page for a name by another path or without one, or None."""
    for path, others in paths.items():
        for other in others:
            if target == other or target.startswith(f"{other}."):
                return path + target[len(other) :]
    same = [path for path in paths if path.rpartition(".")[2] == target]
    return same[0] if len(same) == 1 else None


def resolve(app, env, node, contnode):
    """Resolve a reference to a public name by another path than that of its page, or by its last part alone."""
    path = full_path(node["reftarget"], public_paths()) if node.get("refdomain") == "py" else None
    if path is None:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], path, node, contnode)


def setup(app):
    """Register with Sphinx."""
    app.config.autosummary_context = {**app.config.autosummary_context, "other_paths": public_paths()}
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
