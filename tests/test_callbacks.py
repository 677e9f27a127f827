"""Callbacks of skorch that score and keep networks, on the classifier."""

import numpy as np
import pytest
import torch
from skorch.callbacks import BatchScoring, Checkpoint, EpochScoring
from skorch.exceptions import SkorchException

WEIGHTS = {
    "no weights": ({}, {}),
    "sample_weight": ({}, {"sample_weight": np.linspace(0.1, 2.0, 90)}),
    "class_weight": ({"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}}, {}),
}


def share_of_hits(estimator, X, y):
    return float(np.mean(estimator.predict(X) == y))


def accuracy(kind=EpochScoring, name="accuracy", **params):
    return name, kind("accuracy", lower_is_better=False, name=name, **params)


def column(clf, name):
    return [epoch[name] for epoch in clf.history_]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("kind", [EpochScoring, BatchScoring])
def test_scores_of_held_out_rows_are_those_of_early_stopping(quick, blobs, weights, use_caching, kind):
    params, fit_params = WEIGHTS[weights]
    stopping = {"early_stopping": True, "validation_fraction": 0.4, "scoring": share_of_hits, "lr": 0.1}
    clf = quick(callbacks=[accuracy(kind, use_caching=use_caching)], **stopping, **params).fit(*blobs, **fit_params)
    assert len(set(column(clf, "accuracy"))) > 1, "the score follows the network"
    np.testing.assert_allclose(column(clf, "accuracy"), column(clf, "valid_score"))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_training_rows_are_scored_as_the_network_stands_or_as_it_passed_them(quick, blobs, weights):
    params, fit_params = WEIGHTS[weights]
    callbacks = [
        accuracy(on_train=True, use_caching=False, name="anew"),
        accuracy(on_train=True, name="passing"),
        accuracy(BatchScoring, on_train=True, name="of batches"),
    ]
    clf = quick(callbacks=callbacks, lr=0.1, **params).fit(*blobs, **fit_params)
    assert clf.history_[-1]["anew"] == pytest.approx(clf.score(*blobs))
    assert column(clf, "of batches") == pytest.approx(column(clf, "passing"))
    assert clf.history_[0]["passing"] < clf.history_[0]["anew"], "outputs of before the steps, not behind them"


@pytest.mark.parametrize("load_best", [True, False])
def test_a_checkpoint_of_skorch_keeps_the_network_with_the_lowest_loss(quick, blobs, tmp_path, load_best):
    checkpoint = Checkpoint(dirname=str(tmp_path), load_best=load_best)
    clf = quick(early_stopping=True, lr=0.5, max_epochs=12, callbacks=[checkpoint]).fit(*blobs)
    losses = column(clf, "valid_loss")
    lowest = [loss < min([np.inf, *losses[:i]]) for i, loss in enumerate(losses)]
    assert column(clf, "event_cp") == column(clf, "valid_loss_best") == lowest
    assert lowest[-1] == load_best, "skorch takes the history of the network too"
    kept = torch.load(tmp_path / "params.pt", weights_only=True)
    has_kept = all(torch.equal(value, kept[name]) for name, value in clf.net_.module_.state_dict().items())
    assert has_kept == load_best


def test_without_held_out_rows_a_checkpoint_of_skorch_watches_the_training_loss(quick, blobs, tmp_path):
    clf = quick(callbacks=[Checkpoint("train_loss_best", dirname=str(tmp_path))]).fit(*blobs)
    assert any(column(clf, "event_cp"))
    assert (tmp_path / "params.pt").exists()
    with pytest.raises(SkorchException, match=r"'valid_loss_best' was not found .* Make sure you have validation data"):
        quick(callbacks=[Checkpoint(dirname=str(tmp_path))]).fit(*blobs)
