"""Nets of skorch: logits, tuples, probabilities, one logit, images."""

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skrobust.torchify import to_torch


class Net(nn.Module):
    """A linear layer, and what its users do to the logits."""

    def __init__(self, last, n_outputs=3):
        super().__init__()
        self.layer = nn.Linear(4, n_outputs)
        self.last = last

    def forward(self, X):
        return self.last(self.layer(X))


class TupleNet(NeuralNetClassifier):
    def get_loss(self, y_pred, *args, **kwargs):
        return super().get_loss(y_pred[0], *args, **kwargs)


def pair(logits):
    return logits, logits


def softmax(logits):
    return logits.softmax(dim=1)


def sigmoid(logits):
    return logits.sigmoid().squeeze(1)


def squeeze(logits):
    return logits.squeeze(1)


def layers(*last):
    return nn.Sequential(nn.Linear(4, 3), *last)


@pytest.fixture
def single(blobs):
    """Return the blobs as skorch wants them."""
    return blobs[0].astype(np.float32), blobs[1].astype(np.int64)


def trained(net, X, y):
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    net.set_params(verbose=0, max_epochs=5, lr=0.3, train_split=None).fit(X, y)
    torch.set_rng_state(torch_state)
    return net


SEVERAL = [
    NeuralNetClassifier(layers(), criterion=nn.CrossEntropyLoss),
    NeuralNetClassifier(layers(nn.Softmax(dim=1))),
    NeuralNetClassifier(nn.Sequential(nn.Identity(), layers(nn.Softmax(dim=1)))),
    NeuralNetClassifier(layers(nn.Softmax(dim=1)), criterion=nn.CrossEntropyLoss),
    NeuralNetClassifier(layers(nn.LogSoftmax(dim=1)), criterion=nn.CrossEntropyLoss),
    NeuralNetClassifier(Net, module__last=softmax),
    NeuralNetClassifier(Net, module__last=softmax, criterion=nn.CrossEntropyLoss),
    TupleNet(Net, module__last=pair, criterion=nn.CrossEntropyLoss),
]


@pytest.mark.parametrize("net", SEVERAL, ids=range(len(SEVERAL)))
def test_nets_give_logits(single, net):
    X, y = single
    net = trained(net, X, y)
    weights = [parameter.clone() for parameter in net.module_.parameters()]
    rows = torch.from_numpy(X)
    logits = to_torch(net, X)(rows)
    assert (logits.argmax(dim=1).numpy() == net.predict(X)).all()
    if not isinstance(net.criterion_, nn.CrossEntropyLoss):
        np.testing.assert_allclose(logits.softmax(dim=1).numpy(), net.predict_proba(X), rtol=1e-5)
    assert all((one == other).all() for one, other in zip(weights, net.module_.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in net.module_.parameters())


def test_probabilities_without_rows_are_told_by_the_loss(single):
    X, y = single
    net = trained(NeuralNetClassifier(Net, module__last=softmax), X, y)
    logits = to_torch(net)(torch.from_numpy(X))
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), net.predict_proba(X), rtol=1e-5)
    assert (logits < 0).all()


def test_certain_probabilities_keep_their_gradient(single):
    X, y = single
    net = trained(NeuralNetClassifier(Net, module__last=softmax), X, y)
    with torch.no_grad():
        net.module_.layer.weight *= 100
    assert (net.predict_proba(X) == 0).any()
    rows = torch.from_numpy(X).double().requires_grad_()
    to_torch(net, X)(rows).min(dim=1).values.sum().backward()
    assert (rows.grad != 0).any(dim=1).all()


ONE_LOGIT = [
    NeuralNetBinaryClassifier(Net, module__last=squeeze, module__n_outputs=1),
    NeuralNetBinaryClassifier(Net, module__last=squeeze, module__n_outputs=1, threshold=0.8),
    NeuralNetBinaryClassifier(Net, module__last=sigmoid, module__n_outputs=1, criterion=nn.BCELoss, threshold=0.3),
    NeuralNetBinaryClassifier(
        nn.Sequential(nn.Linear(4, 1), nn.Flatten(0), nn.Sigmoid()), criterion=nn.BCELoss, threshold=0.4
    ),
]


@pytest.mark.parametrize("net", ONE_LOGIT, ids=range(len(ONE_LOGIT)))
def test_one_logit_becomes_two(single, net):
    X, y = single
    net = trained(net, X, (y > 0).astype(np.float32))
    logits = to_torch(net, X)(torch.from_numpy(X))
    assert logits.shape == (len(X), 2)
    assert (logits.argmax(dim=1).numpy() == net.predict(X)).all()


def test_nets_in_pipelines_and_for_images(single):
    X, y = single
    cast = FunctionTransformer(lambda X: X * 1)
    net = NeuralNetClassifier(layers(), criterion=nn.CrossEntropyLoss)
    pipe = make_pipeline(StandardScaler(), cast, net)
    trained(net, pipe[:-1].fit_transform(X), y)
    pipe.steps[-1] = ("net", net)
    to_torch(pipe, X)
    images = X.reshape(-1, 1, 2, 2)
    convolution = nn.Sequential(nn.Conv2d(1, 3, kernel_size=2), nn.Flatten())
    net = trained(NeuralNetClassifier(convolution, criterion=nn.CrossEntropyLoss), images, y)
    module = to_torch(net, images)
    assert (module(torch.from_numpy(images).flatten(1)).argmax(dim=1).numpy() == net.predict(images)).all()
