"""Converters of Pipelines, of searches over parameters, and of what else passes everything on."""

from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from torch import nn

from skrobust.torchify._input import current_input, input_is
from skrobust.torchify._outputs import decision, log_probabilities, refuse
from skrobust.torchify._registry import builtin, convert, convert_transformer, inside, transformers


@builtin(Pipeline, wants_numbers=False)
def convert_pipeline(fitted):
    """Return the steps as modules, one after the other; passthrough steps are left out."""
    return _chain(fitted, convert if is_classifier(fitted) else convert_transformer)


@transformers.register(Pipeline)
def convert_pipeline_of_transformers(fitted):
    """Return the steps as modules, also if the last one could predict."""
    return _chain(fitted, convert_transformer)


log_probabilities.register(Pipeline)(lambda fitted: _chain(fitted, log_probabilities))
decision.register(Pipeline)(lambda fitted: _chain(fitted, decision))


def _chain(fitted, convert_last):
    modules, columns = [], current_input()
    *first, (last_name, last) = fitted.steps
    steps = [(name, step, convert_transformer) for name, step in first] + [(last_name, last, convert_last)]
    for name, step, convert_step in steps:
        if _passes_through(step):
            continue
        with inside(name), input_is(columns):
            modules.append(convert_step(step))
        columns = columns.after(modules[-1])
    chain = nn.Sequential(*modules)
    chain.vocabularies = columns.vocabularies
    return chain


def _passes_through(step):
    return step is None or (isinstance(step, str) and step == "passthrough")


def _best_estimator(fitted):
    if not hasattr(fitted, "best_estimator_"):
        refuse(fitted, "without a best estimator, since refit=False")
    return fitted.best_estimator_


def _frozen(fitted):
    return fitted.estimator


def _register_delegate(estimator_class, held):
    """Make a class that passes on all its methods to the estimator that it holds do so here."""
    for method in (transformers, log_probabilities, decision):
        method.register(estimator_class)(lambda fitted, method=method: method(held(fitted)))
    builtin(estimator_class, wants_numbers=False)(lambda fitted: convert(held(fitted)))


_register_delegate(BaseSearchCV, _best_estimator)
_register_delegate(FrozenEstimator, _frozen)
