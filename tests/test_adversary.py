"""Adversaries against closed forms, their limits, and what they leave behind: nothing."""

import copy
import math
import types

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from skrobust._net import Passes
from skrobust.adversary import FGSM, NFGSM, PGD, TRADES, MultiplePerturbations, resolve_adversary
from skrobust.losses import cross_entropy, divergence
from skrobust.modules import labeled_batch_norm
from skrobust.modules._batch_norm import LabeledRows
from skrobust.modules._dropout import Copies

N, D = 12, 5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(name="X")
def rows():
    return torch.randn(N, D, generator=generator(1), dtype=torch.float64)


@pytest.fixture
def y():
    return torch.arange(N) % 2


@pytest.fixture
def linear():
    network = nn.Linear(D, 2, dtype=torch.float64)
    nn.init.normal_(network.weight, generator=generator(2))
    return network


def passes_of(network, labeled=None):
    """Return the passes of a net that has this network."""
    return Passes(
        types.SimpleNamespace(module_=network, infer=network, shaped=None, applied=None, device=None),
        labeled or LabeledRows(),
        Copies(),
    )


def uphill(network, y):
    """Return the gradient of the loss of a linear network with two classes, up to a positive factor for each row."""
    normal = (network.weight[1] - network.weight[0]).detach()
    return torch.where(y[:, None] == 0, normal, -normal)


BOTH = [PGD(0.3, random_start=False), PGD(0.5, norm=2, random_start=False)]
EPS = {"one": 0.3, "each": np.array([0.3, 0.1, 0.0, 0.5, 0.2])}
ONE_AND_EACH = pytest.mark.parametrize("eps", EPS.values(), ids=EPS)


def closed_form(X, slope, eps, norm):
    """Return the point of the ball that is farthest uphill: a corner, or where an ellipsoid touches a plane."""
    eps = torch.as_tensor(eps, dtype=X.dtype) * torch.ones(D, dtype=X.dtype)
    if norm == 2:
        return X + eps * (eps * slope) / (eps * slope).norm(dim=1, keepdim=True)
    return X + eps * slope.sign()


@ONE_AND_EACH
@pytest.mark.parametrize("norm", [math.inf, 2])
@pytest.mark.parametrize(
    "adversary", [FGSM(random_start=False), PGD(random_start=False), PGD(random_start=False, max_iter=1)], ids=repr
)
def test_one_step_and_many_agree_with_the_closed_form_of_a_linear_network(linear, X, y, adversary, norm, eps):
    adversary = clone(adversary).set_params(eps=eps, norm=norm)
    perturbed = adversary.perturb(linear, X, y, generator())
    torch.testing.assert_close(perturbed, closed_form(X, uphill(linear, y), eps, norm), rtol=1e-12, atol=1e-12)
    assert not perturbed.requires_grad


@ONE_AND_EACH
@pytest.mark.parametrize("norm", [math.inf, 2])
@pytest.mark.parametrize("adversary", [PGD(max_iter=30), TRADES(max_iter=30)], ids=repr)
def test_many_steps_reach_the_closed_form_from_a_random_start(linear, X, y, adversary, norm, eps):
    perturbed = clone(adversary).set_params(eps=eps, norm=norm, eps_step=eps).perturb(linear, X, y, generator())
    slope = uphill(linear, y)
    reached = ((perturbed - X) * slope).sum(dim=1)
    # The divergence rises to both sides of a row: which one is taken is up to the start.
    reached = reached.abs() if isinstance(adversary, TRADES) else reached
    best = ((closed_form(X, slope, eps, norm) - X) * slope).sum(dim=1)
    torch.testing.assert_close(reached, best, rtol=1e-6, atol=0)


def test_the_length_of_a_step(linear, X, y):
    def moved(adversary):
        return (adversary.perturb(linear, X, y, generator()) - X).abs().max().item()

    assert moved(FGSM(0.3, eps_step=0.1, random_start=False)) == pytest.approx(0.1)
    assert moved(FGSM(0.3, eps_step=0.9, random_start=False)) == pytest.approx(0.3)
    assert moved(PGD(0.3, eps_step=0.02, max_iter=4, random_start=False)) == pytest.approx(0.08)
    assert moved(PGD(0.3, max_iter=10, eps_step=[0.02, 0, 0, 0.01, 0], random_start=False)) == pytest.approx(0.2)


def test_a_random_start_and_a_longer_step_as_published(linear, X, y):
    start = 0.3 * (2 * torch.rand(X.shape, generator=generator(4), dtype=X.dtype) - 1)
    expected = X + (start + 1.25 * 0.3 * uphill(linear, y).sign()).clamp(-0.3, 0.3)
    torch.testing.assert_close(FGSM(0.3).perturb(linear, X, y, generator(4)), expected)


def test_noise_and_a_step_are_not_brought_back_into_the_ball(linear, X, y):
    noise = 1.5 * 0.3 * (2 * torch.rand(X.shape, generator=generator(4), dtype=X.dtype) - 1)
    perturbed = NFGSM(0.3, noise=1.5).perturb(linear, X, y, generator(4))
    torch.testing.assert_close(perturbed, X + noise + 0.3 * uphill(linear, y).sign())
    assert 0.6 < (perturbed - X).abs().max() < 0.75


def test_noise_is_brought_within_the_bounds_before_the_step_and_the_row_after_it(linear, X, y):
    X = X.clamp(0, 1)
    noise = 2 * 0.3 * (2 * torch.rand(X.shape, generator=generator(4), dtype=X.dtype) - 1)
    published = ((X + noise).clamp(0, 1) + 0.3 * uphill(linear, y).sign()).clamp(0, 1)
    perturbed = NFGSM(0.3, clip_values=(0, 1)).perturb(linear, X, y, generator(4))
    torch.testing.assert_close(perturbed, published)


@pytest.mark.parametrize("adversary", [FGSM(norm=2), PGD(norm=2, max_iter=3)], ids=repr)
def test_features_that_must_not_move_use_up_nothing_of_the_ball(y, adversary):
    X, eps = torch.zeros(N, 2000), np.r_[0.3, np.zeros(1999)]
    perturbed = clone(adversary).set_params(eps=eps).perturb(nn.Linear(2000, 2), X, y, generator())
    torch.testing.assert_close(perturbed[:, 0].abs(), torch.full((N,), 0.3), rtol=0.05, atol=0)


@pytest.mark.parametrize("norm", [math.inf, 2])
def test_trades_starts_near_the_rows_in_many_dimensions(norm):
    X = torch.zeros(3, 3000)
    start = TRADES(0.3, norm=norm, eps_step=0).perturb(nn.Linear(3000, 2), X, torch.zeros(3).long(), generator())
    size = start.norm(dim=1) if norm == 2 else start.square().mean(dim=1).sqrt()
    torch.testing.assert_close(size, torch.full((3,), 0.01), rtol=0.1, atol=0)


def test_eps_may_be_a_column_of_pandas(linear, X, y):
    eps = pd.Series([0.3, 0.1, 0.0, 0.5, 0.2])
    eps.to_numpy().flags.writeable = False
    moved = FGSM(eps, random_start=False).perturb(linear, X, y, generator())
    torch.testing.assert_close(moved, FGSM(list(eps), random_start=False).perturb(linear, X, y, generator()))


def length_of(change, eps, norm):
    eps = np.broadcast_to(eps, change.shape[1:])
    assert (change[:, eps == 0] == 0).all(), "what must not move does not"
    scaled = change.numpy()[:, eps > 0] / eps[eps > 0]
    return np.abs(scaled).max(axis=1) if norm == math.inf else np.linalg.norm(scaled, axis=1)


@given(
    kind=st.sampled_from([FGSM, PGD, TRADES]),
    norm=st.sampled_from([math.inf, 2]),
    eps=st.one_of(st.floats(1e-3, 3), st.lists(st.sampled_from([0.0, 0.01, 1.0]), min_size=D, max_size=D).filter(any)),
    clip_values=st.sampled_from([None, (-1, 1), (-0.1, 5.0), ([-1, -2, 0, 0, -9], [1, 2, 0.5, 0, 9.0])]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_rows_stay_in_the_ball_and_within_the_bounds(kind, norm, eps, clip_values, dtype, seed):
    X = torch.randn(N, D, generator=generator(seed), dtype=dtype)
    network = nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype)
    perturbed = kind(eps, norm=norm, clip_values=clip_values).perturb(network, X, torch.arange(N) % 2, generator())
    slack = 1e-5 if dtype == torch.float32 else 1e-9
    change = (perturbed - X).double()
    assert perturbed.isfinite().all()
    # A change is known to the rounding of X, which where eps is small counts more.
    eps_least = np.min(np.asarray(eps)[np.asarray(eps) > 0])
    assert (length_of(change, eps, norm) <= 1 + slack / min(1, eps_least)).all()
    if clip_values is not None:
        low, high = (torch.as_tensor(value, dtype=dtype) for value in clip_values)
        assert (perturbed >= torch.minimum(low, X)).all()
        assert (perturbed <= torch.maximum(high, X)).all()


def test_bounds_are_used_to_the_full(linear, X, y):
    X = X.clamp(0, 1)
    perturbed = PGD(10, clip_values=(0, 1)).perturb(linear, X, y, generator())
    assert torch.equal(perturbed, (uphill(linear, y) > 0).to(X.dtype))


def test_what_a_bound_stops_is_left_to_the_other_features():
    network = nn.Linear(2, 2, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.0, 0.0], [-10.0, -1.0]]))
    X = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    adversary = PGD(1.0, norm=2, eps_step=0.1, max_iter=200, random_start=False, clip_values=(-5, 1))
    perturbed = adversary.perturb(network, X, torch.tensor([1]), generator())
    torch.testing.assert_close(perturbed, torch.tensor([[1.0, 1.0]], dtype=X.dtype), rtol=0, atol=0.02)


@pytest.mark.parametrize("adversary", [FGSM(0.5), NFGSM(0.5), PGD(0.5), PGD(0.5, norm=2), TRADES(0.5)], ids=repr)
def test_the_loss_of_a_network_rises(X, y, adversary):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(D, 16), nn.Tanh(), nn.Linear(16, 2)).double()
    perturbed = adversary.perturb(network, X, y, generator())
    if isinstance(adversary, TRADES):
        noise = X + 0.5 * (2 * torch.rand(X.shape, generator=generator(), dtype=X.dtype) - 1)
        assert divergence(network(X), network(perturbed)) > 2 * divergence(network(X), network(noise))
    else:
        assert cross_entropy(network(perturbed), y) > cross_entropy(network(X), y) + 0.1


@pytest.mark.parametrize("adversary", [FGSM(random_start=False), PGD(random_start=False, norm=2)], ids=repr)
def test_a_row_is_perturbed_alike_alone_and_among_others(X, y, adversary):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(D, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 2)).double()
    with passes_of(network).evaluating() as outputs:
        together = adversary.perturb(outputs, X, y, generator())
        alone = torch.cat([adversary.perturb(outputs, X[i, None], y[i, None], generator()) for i in range(N)])
    torch.testing.assert_close(alone, together)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(D, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 2)
    )
    network.double().train()
    network[4].eval()  # a frozen one, as users have them
    return network


@pytest.mark.parametrize("n_rows", [1, 2, N])
@pytest.mark.parametrize(
    "adversary",
    [FGSM(), NFGSM(), PGD(), TRADES(), MultiplePerturbations(BOTH), MultiplePerturbations(BOTH, strategy="random")],
    ids=repr,
)
def test_nothing_is_left_behind(network, X, y, adversary, n_rows):
    before, random = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    with labeled_batch_norm(network) as labeled:
        passes = passes_of(network, labeled)
        with passes.evaluating() as outputs:
            assert not any(module.training for module in network.modules())
            perturbed = adversary.perturb(outputs, X[:n_rows], y[:n_rows], generator())
    assert perturbed.shape == (n_rows, D)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network] == [True, True, True, True, False, True]
    assert network.training
    assert torch.equal(torch.get_rng_state(), random), "dropout drew no numbers"


def test_modes_are_restored_after_an_error(network, X):
    with pytest.raises(RuntimeError, match="shape"), passes_of(network).evaluating() as outputs:
        outputs(X[:, :2])
    assert [module.training for module in network] == [True, True, True, True, False, True]


@pytest.mark.parametrize("is_soft", [False, True])
def test_the_worst_of_several_for_each_row(linear, X, y, is_soft):
    labels = functional.one_hot(y, 2).to(X.dtype) if is_soft else y
    perturbed = MultiplePerturbations(BOTH).perturb(linear, X, labels, generator())
    slope = uphill(linear, y)
    choices = torch.stack([closed_form(X, slope, one.eps, one.norm) for one in BOTH])
    reached = ((choices - X) * slope).sum(dim=2)
    torch.testing.assert_close(perturbed, choices[reached.argmax(dim=0), torch.arange(N)])


def test_one_of_several_is_drawn_for_each_row(linear, X, y):
    perturbed = MultiplePerturbations(BOTH, strategy="random").perturb(linear, X, y, generator())
    choices = torch.stack([closed_form(X, uphill(linear, y), one.eps, one.norm) for one in BOTH])
    is_choice = torch.isclose(choices, perturbed).all(dim=2)
    assert is_choice.sum(dim=0).tolist() == [1] * N
    assert is_choice.any(dim=1).all()


@pytest.mark.parametrize("strategy", ["max", "random"])
def test_several_stay_in_the_union_of_their_balls(linear, X, y, strategy):
    members = ["trades", FGSM(0.05), PGD(0.4, norm=2, clip_values=(-1, 1))]
    perturbed = MultiplePerturbations(members, strategy=strategy).perturb(linear, X[:1], y[:1], generator())
    change = perturbed - X[:1]
    assert change.abs().max() <= 0.1 + 1e-12 or change.norm() <= 0.4 + 1e-12
    assert change.any()


WRONG = {
    "one row": lambda X: X[:1],
    "few columns": lambda X: X[:, :2],
    "array": lambda X: X.numpy(),
}


def member(perturbed):
    """Return an adversary of the user, who forgot something."""
    return types.SimpleNamespace(perturb=lambda outputs, X, y, generator: perturbed(X), loss=lambda *logits: None)


@pytest.mark.parametrize("strategy", ["max", "random"])
@pytest.mark.parametrize("wrong", WRONG)
def test_each_of_several_must_return_a_point_for_each_row(linear, X, y, strategy, wrong):
    adversary = MultiplePerturbations([member(WRONG[wrong])], strategy=strategy)
    with pytest.raises(ValueError, match=r"adversaries=.* its method perturb must return a tensor with one"):
        adversary.perturb(linear, X, y, generator())


def test_each_of_several_is_asked_once_for_the_rows_that_it_was_drawn_for(linear, X, y):
    drawn = torch.randint(3, (N,), generator=generator())
    asked = []
    members = [member(lambda rows, k=k: asked.append((k, len(rows))) or rows + k) for k in range(3)]
    perturbed = MultiplePerturbations(members, strategy="random").perturb(linear, X, y, generator())
    torch.testing.assert_close(perturbed, X + drawn[:, None], rtol=0, atol=0)
    assert asked == [(k, int((drawn == k).sum())) for k in range(3)]


class Operations(TorchDispatchMode):
    """The names of the operations of torch within this context."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_device_is_not_asked_for_the_rows_of_each_adversary(linear, X, y):
    with Operations() as operations:
        MultiplePerturbations(BOTH, strategy="random").perturb(linear, X, y, generator())
    assert "index" in operations.names
    assert "nonzero" not in operations.names, "a GPU would be waited for"


@pytest.mark.parametrize("name", ["eps", "eps_step", "clip_values"])
def test_values_of_features_are_copied_to_a_device_once_unless_they_change(linear, y, name):
    X, values = torch.zeros(N, 5, dtype=torch.float64), np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    params = {"clip_values": (-1, values)} if name == "clip_values" else {name: values}
    adversary = FGSM(**{"eps": 0.5, "eps_step": 1.0, "random_start": False, **params})
    moved = [adversary.perturb(linear, X, y, generator())]
    with Operations() as operations:
        moved.append(adversary.perturb(linear, X, y, generator()))
    assert not {"lift_fresh", "_to_copy"} & operations.names, "an array was made a tensor again"
    values /= 10
    moved.append(adversary.perturb(linear, X, y, generator()))
    assert torch.equal(*moved[:2])
    assert not torch.equal(*moved[1:])


@pytest.mark.parametrize("strategy", ["max", "random"])
def test_members_of_less_precision_are_converted(linear, X, y, strategy):
    members = [member(lambda X: X.float() + 1), PGD()]
    perturbed = MultiplePerturbations(members, strategy=strategy).perturb(linear, X, y, generator())
    assert perturbed.dtype == X.dtype


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_clean_and_adversarial_losses_are_averaged(X, y, weight, weighted):
    logits, perturbed = X[:, :2], X[:, 2:4]
    row_weight = torch.linspace(0.1, 1.9, N, dtype=X.dtype) if weighted else None
    clean, adversarial = (cross_entropy(values, y, row_weight) for values in (logits, perturbed))
    adversary = PGD(weight=weight)
    loss, terms = adversary.loss(logits if adversary.uses_clean else logits[:0], perturbed, y, row_weight)
    torch.testing.assert_close(loss, (1 - weight) * clean + weight * adversarial if weight < 1 else adversarial)
    assert terms["adversarial"] == adversarial
    assert terms.get("cross_entropy", clean) == clean
    assert adversary.uses_clean == (weight < 1) == ("cross_entropy" in terms)


@pytest.mark.parametrize("weighted", [False, True])
def test_trades_trains_both_sides_of_the_divergence(X, y, weighted):
    logits, perturbed = X[:, :2].clone().requires_grad_(), X[:, 2:4].clone().requires_grad_()
    row_weight = torch.linspace(0.1, 1.9, N, dtype=X.dtype) if weighted else None
    loss, terms = TRADES(weight=3).loss(logits, perturbed, y, row_weight)
    each = functional.kl_div(perturbed.log_softmax(1), logits.log_softmax(1), log_target=True, reduction="none").sum(
        dim=1
    )
    weights = torch.ones(N, dtype=X.dtype) if row_weight is None else row_weight
    expected = (weights * functional.cross_entropy(logits, y, reduction="none")).mean() + 3 * (weights * each).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(terms["adversarial"], (weights * each).mean())
    torch.testing.assert_close(*(torch.autograd.grad(value, [logits, perturbed]) for value in (loss, expected)))


def test_names_objects_and_none_are_adversaries():
    names = {"fgsm": FGSM, "n_fgsm": NFGSM, "pgd": PGD, "trades": TRADES}
    assert all(type(resolve_adversary(name)) is kind for name, kind in names.items())
    given = PGD(eps=1)
    assert resolve_adversary(given) is given
    assert resolve_adversary(None) is None
    assert clone(given).eps == 1
    for kind in names.values():
        kind().check(D)
        assert repr(kind()) == f"{kind.__name__}()"


@pytest.mark.parametrize("wrong", ["bim", 0.3, PGD, nn.Linear(1, 1), object()])
def test_anything_else_is_no_adversary(wrong):
    with pytest.raises(ValueError, match=r"adversary=.* is not an adversary: use one of .*'pgd'.*, None, or an object"):
        resolve_adversary(wrong)


@pytest.mark.parametrize(
    ("adversary", "message"),
    [
        (FGSM(-0.1), "eps=-0.1 is no length: use a positive number, or one nonnegative number for each feature"),
        (FGSM(0), "eps=0 is no length"),
        (FGSM("0.1"), "eps='0.1' is no length"),
        (FGSM(True), "eps=True is no length"),
        (PGD(math.inf), "eps=inf is no length"),
        (PGD([0, 0, 0, 0, 0]), r"eps=\[0, 0, 0, 0, 0\] is no length"),
        (PGD([0.1, 0.2]), r"eps=\[0.1, 0.2\] has 2 values for 5 features: use one for each, or a number"),
        (PGD(eps_step=-1), "eps_step=-1 is no length"),
        (PGD(norm=1), "norm=1 is no norm of PGD: use inf or 2"),
        (TRADES(norm="inf"), "norm='inf' is no norm of TRADES"),
        (PGD(max_iter=0), "max_iter=0 is no number of steps: use a positive integer"),
        (TRADES(max_iter=2.5), "max_iter=2.5 is no number of steps"),
        (PGD(max_iter=True), "max_iter=True is no number of steps"),
        (FGSM(weight=1.5), "weight=1.5 is out of range: use a number from 0 to 1"),
        (TRADES(weight=-1), "weight=-1 is out of range: use a number that is not negative"),
        (TRADES(weight=math.inf), "weight=inf is out of range"),
        (NFGSM(noise=-1), "noise=-1 is out of range: use a number that is not negative"),
        (NFGSM(weight="all"), "weight='all' is out of range"),
        (FGSM(clip_values=(1, 0)), r"clip_values=\(1, 0\) has a smallest value that is not below the largest: swap"),
        (FGSM(clip_values=1), "clip_values=1 are no bounds: use .smallest, largest., each a number or one for each of"),
        (FGSM(clip_values=(0, [1, 2])), r"clip_values=\(0, \[1, 2\]\) are no bounds: .* of the 5 features"),
        (MultiplePerturbations([]), r"adversaries=\[\] is no list of adversaries: use one such as \[PGD"),
        (MultiplePerturbations("pgd"), "adversaries='pgd' is no list of adversaries"),
        (MultiplePerturbations([PGD(), None]), r"adversaries=\[PGD\(\), None\] is no list of adversaries"),
        (MultiplePerturbations(["bim"]), "adversaries='bim' is not an adversary: use one of"),
        (MultiplePerturbations([PGD(), PGD(-1)]), "eps=-1 is no length"),
        (MultiplePerturbations(["pgd"], strategy="mean"), "strategy='mean' is unknown: use one of .'max', 'random'."),
        (MultiplePerturbations(["pgd"], weight=2), "weight=2 is out of range: use a number from 0 to 1"),
        (FGSM(clip_values=(0, None)), r"clip_values=\(0, None\) (are no bounds|has a smallest)"),
    ],
    ids=repr,
)
def test_parameters_that_make_no_sense(adversary, message):
    with pytest.raises(ValueError, match=message):
        adversary.check(D)
