"""What happens between epochs: validation with early stopping, and the progress bar."""

import math

import tqdm
from skorch.callbacks import Callback


class ValidationStop(Callback):
    """Score held-out rows after each epoch, stop when the score no longer rises, and keep the best weights.

    Parameters
    ----------
    score : callable
        Takes no arguments; returns the score of the network as it stands, higher is better.
    tol : float
        Smallest rise that counts.
    patience : int
        Epochs without a rise before training stops.
    n_free_epochs : int, default=0
        First epochs, which may pass without a rise: while the learning rate still climbs, a network may not learn yet.
    """

    def __init__(self, score, tol, patience, n_free_epochs=0):
        self.score = score
        self.tol = tol
        self.patience = patience
        self.n_free_epochs = n_free_epochs

    def on_train_begin(self, net, **kwargs):
        """Start without a best score."""
        self.n_free_left_ = self.n_free_epochs
        self.best_score_ = -math.inf
        self.mark_ = -math.inf
        self.waited_ = 0

    def on_epoch_end(self, net, **kwargs):
        """Score, remember, and stop by the exception that skorch expects for it."""
        score = self.score()
        net.history.record("valid_score", score)
        if score > self.best_score_:
            self.best_score_ = score
            self.best_weights_ = net.copied_weights()
        self.waited_ = 0 if self.n_free_left_ > 0 or score > self.mark_ + self.tol else self.waited_ + 1
        self.n_free_left_ -= 1
        self.mark_ = max(self.mark_, score)
        if self.waited_ >= self.patience:
            raise KeyboardInterrupt

    def on_train_end(self, net, **kwargs):
        """Put the best weights back."""
        self.score = None  # it holds on to rows
        if hasattr(self, "best_weights_"):
            net.module_.load_state_dict(self.best_weights_)


class TrainingProgress(Callback):
    """Progress bar over epochs with the terms of the loss.

    Parameters
    ----------
    n_epochs : int
    """

    SHOWN = {"train_cross_entropy": "cross_entropy", "train_penalty": "penalty", "valid_score": "valid"}

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_train_begin(self, net, **kwargs):
        """Open the bar."""
        self.bar_ = tqdm.tqdm(total=self.n_epochs, desc="fit", unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        """Show the terms of the epoch."""
        last = net.history[-1]
        self.bar_.set_postfix({label: f"{last[key]:.4f}" for key, label in self.SHOWN.items() if key in last})
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        self.close()

    def close(self):
        """Close the bar, if it is open: skorch does not end training that raises."""
        if hasattr(self, "bar_"):
            self.bar_.close()
            del self.bar_
