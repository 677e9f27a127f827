"""What happens between epochs: validation with early stopping, the progress bar, and the printed lines."""

import contextlib
import math
import warnings

import tqdm
from skorch.callbacks import Callback, PrintLog


@contextlib.contextmanager
def told_of_interrupts(net, doing):
    """Within this context, which lies between two epochs, say that it was the user who ended training by Ctrl-C.

    There, a KeyboardInterrupt is how callbacks end training, of which nobody needs to be told.
    """
    try:
        yield
    except KeyboardInterrupt:
        net.interrupted_epoch_ = len(net.history)
        warnings.warn(
            f"Training was interrupted {doing} after {len(net.history)} whole epochs: the network is kept, with the "
            "best weights there were if rows are held out.",
            stacklevel=2,
        )
        raise


class ValidationStop(Callback):
    """Score held-out rows between epochs, stop when the score no longer rises, and keep the last of the best weights.

    Parameters
    ----------
    score : callable
        Takes no arguments; returns the score of the network as it stands, higher is better.
    tol : float
        Smallest rise that counts.
    patience : int
        Epochs without a rise before training stops.
    n_epochs : int
        Epochs of the whole training; the last one is scored in any case.
    every : int, default=1
        Epochs from one score to the next.
    n_free_epochs : int, default=0
        First epochs, which may pass without a rise: while the learning rate still climbs, a network may not learn yet.
    """

    def __init__(self, score, tol, patience, n_epochs, every=1, n_free_epochs=0):
        self.score = score
        self.tol = tol
        self.patience = patience
        self.n_epochs = n_epochs
        self.every = every
        self.n_free_epochs = n_free_epochs

    def on_train_begin(self, net, **kwargs):
        """Start without a best score."""
        self.epoch_ = 0
        self.risen_at_ = self.n_free_epochs
        self.best_score_ = -math.inf
        self.mark_ = -math.inf

    def on_epoch_end(self, net, **kwargs):
        """Score, remember, and stop by the exception that skorch expects for it."""
        self.epoch_ += 1
        if self.epoch_ % self.every and self.epoch_ != self.n_epochs:
            return
        with told_of_interrupts(net, "while held-out rows were scored,"):
            score = self.score()
        net.history.record("valid_score", score)
        # Of equal scores the last counts: a coarse one reaches its height long before the network does.
        if score >= self.best_score_:
            self.best_score_ = score
            self.best_weights_ = net.copied_weights()
        if score > self.mark_ + self.tol:
            self.risen_at_ = max(self.risen_at_, self.epoch_)
        self.mark_ = max(self.mark_, score)
        if self.epoch_ - self.risen_at_ >= self.patience:
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
        self.n_before_ = len(net.history)
        self.bar_ = tqdm.tqdm(total=self.n_epochs, desc="fit", unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        """Show the terms of the epoch."""
        last = net.history[-1]
        self.bar_.set_postfix({label: f"{last[key]:.4f}" for key, label in self.SHOWN.items() if key in last})
        # More than one epoch if training goes on from a checkpoint, which comes after the bar was opened.
        self.bar_.update(len(net.history) - self.n_before_ - self.bar_.n)

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        self.close()

    def close(self):
        """Close the bar, if it is open: skorch does not end training that raises."""
        if hasattr(self, "bar_"):
            self.bar_.close()
            del self.bar_


class EpochLog(PrintLog):
    """Line of figures for each epoch, with a column for figures that not every epoch has.

    Parameters
    ----------
    columns : list of str
        Names of these figures.
    """

    def __init__(self, columns):
        # With a sink of its own, for the one of skorch is silent where the net is.
        super().__init__(sink=tqdm.tqdm.write)
        self.columns = columns

    def table(self, row):
        """Return the line, with the header of its columns."""
        # Without the marks of the lowest loss, for which skorch would print color codes.
        figures = {name: value for name, value in row.items() if not name.endswith("_loss_best")}
        return super().table({**dict.fromkeys(self.columns), **figures})

    def state_dict(self):
        """Return nothing: where training goes on from a checkpoint, the header is printed again."""
        return {}

    def load_state_dict(self, state):
        """Do nothing."""
