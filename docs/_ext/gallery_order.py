"""The order in which the gallery shows the examples."""

from sphinx_gallery.sorting import FileNameSortKey

# As a newcomer would read them; others follow by name.
ORDER = (
    "quickstart",
    "hypothesis",
    "dimension",
    "attack_pipeline",
    "mixed_table",
    "compare_classifiers",
    "robust_grid_search",
    "broken_defenses",
    "penalties",
    "early_stopping",
    "unlabeled_data",
    "custom_module_and_sampler",
    "foreign_data",
)


class ReadingOrder(FileNameSortKey):
    """Sorts examples by their place in `ORDER`."""

    def __call__(self, filename):
        """Return the key of an example."""
        name = filename.removeprefix("plot_").removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), filename)
