"""Search over discrete features: all combinations where they are few, else one change at a time.

Rounding what an attack on continuous features found would overstate robustness: the nearest whole numbers need not be
adversarial while others are.
"""

import numpy as np

from skrobust.attacks._choices import Lattice

# Rows that the estimator is asked about at a time, and rows whose search is held in memory at a time.
BATCH_ROWS = 20_000
MOST_TOGETHER = 128
# Numbers in the choices that are held in memory at a time.
CHOICE_NUMBERS = 2**24
# Moves in a row that a search makes without getting nearer to the boundary: scores of trees are flat in places.
PATIENCE = 3
# Random moves, at most, from an original to where a search starts anew.
MOST_RANDOM_MOVES = 64
# Lattice points per row whose continuous features are refined.
N_REFINED = 3
# Changes of an adversarial row, the dearest ones, of which undoing is tried at a time.
N_UNDONE = 64
# Shares of its largest change to which an adversarial row is cut, to see whether it stays one.
CUTS = (0.5, 0.75, 0.9, 1 - 1e-6)


def search_lattice(
    pursuit,
    index,
    radius,
    rng,
    *,
    max_combinations=4096,
    max_iter=30,
    n_moves=200,
    n_restarts=10,
    base=None,
    refine=None,
):
    """Search for adversarial rows among those whose integers and one-hot groups differ.

    Rows with few combinations within the radius are decided: all are offered, the nearest first, until one is
    adversarial. In others, a search makes the single change that helps most, until none helps, and starts anew from
    random points; then changes that were not needed are undone.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of shape (m,), int
        Rows to attack.
    radius : float
    rng : numpy.random.Generator
    max_combinations : int, default=4096
        Most combinations of a row that are all tried.
    max_iter : int, default=30
        Most changes in a row of one search.
    n_moves : int, default=200
        Most changes that are compared at a time; of more, random ones.
    n_restarts : int, default=10
    base : ndarray of shape (m, n_features), default=None
        Where continuous features are; by default as in the original.
    refine : callable, default=None
        ``refine(index, rows)`` returns rows with better continuous features, or None if it offered them itself. It is
        called with the few most promising lattice points of each row that stands.
    """
    if not pursuit.budget.is_discrete.any():
        return
    base = pursuit.budget.rows[index] if base is None else base
    n_together = CHOICE_NUMBERS // (pursuit.budget.is_discrete.sum() * max(max_combinations, n_moves))
    n_together = max(1, min(MOST_TOGETHER, n_together))
    for start in range(0, len(index), n_together):
        part = slice(start, start + n_together)
        lattice = Lattice(pursuit, index[part], radius, base[part])
        is_small, *tried = _try_all(lattice, max_combinations)
        _refine(lattice, *tried, rng, refine)
        lattice = lattice.take(~is_small)
        ends = [_climb(lattice, rng, max_iter, n_moves, anew=trial > 0) for trial in range(1 + n_restarts)]
        _refine(lattice, np.tile(np.arange(len(lattice)), len(ends)), np.concatenate(ends), rng, refine)
        found = lattice.take(np.isfinite(pursuit.distance[lattice.index]))
        _come_nearer(found, rng, max_iter, n_moves, n_restarts)
        # Fewer combinations are nearer than what was found than were within the radius.
        _try_all(found, max_combinations)


def _come_nearer(lattice, rng, max_iter, n_moves, n_restarts):
    """Undo what is not needed and search within what is nearer, as long as that leads nearer."""
    distance = lattice.pursuit.distance
    _undo(lattice)
    for trial in range(n_restarts):
        before = distance[lattice.index]
        _climb(lattice, rng, max_iter, n_moves, anew=trial > 0, everyone=True)
        _undo(lattice)
        lattice = lattice.take(distance[lattice.index] < before)


def _try_all(lattice, max_combinations):
    """Offer every choice of rows that have few, the nearest first, until a row is fooled.

    Returns
    -------
    is_small : ndarray of shape (n,), bool
        Rows that have few.
    owner, choice : ndarray
        All choices of these rows.
    """
    pursuit = lattice.pursuit
    is_small, owner, choice = lattice.combinations(max_combinations)
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    # What was fooled before is to be fooled nearer.
    stands, start = np.ones(len(lattice), dtype=bool), 0
    while (waits := stands[owner] & (rank >= start)).any():
        stop = start + max(1, BATCH_ROWS // len(np.unique(owner[waits])))
        now = np.flatnonzero(waits & (rank < stop))
        fooled = pursuit.offer(lattice.index[owner[now]], lattice.candidates(owner[now], choice[now]))
        stands[owner[now[fooled]]] = False
        start = stop
    return is_small, owner, choice


def _climb(lattice, rng, max_iter, n_moves, anew, everyone=False):
    """Make the change that brings each row nearest to fooling, again and again; return the choices at the end."""
    choice = _random_choices(lattice, rng) if anew else lattice.origin.copy()
    walkers = np.flatnonzero(lattice.stands | everyone)
    margin, stale = np.full(len(lattice), -np.inf), np.zeros(len(lattice), dtype=int)
    margin[walkers], fooled = _ask(lattice, walkers, choice[walkers], rng)
    for _ in range(max_iter):
        walkers = walkers[~fooled[walkers] & (stale[walkers] < PATIENCE)]
        owner, moved = lattice.moves(walkers, choice, rng, n_moves)
        if not len(owner):
            break
        margins, fooled = _ask(lattice, owner, moved, rng)
        best = _best_of_each(owner, margins, rng)
        stale[owner[best]] += 1
        stale[owner[best[margins[best] > margin[owner[best]]]]] = 0
        best = best[margins[best] >= margin[owner[best]]]
        choice[owner[best]], margin[owner[best]], walkers = moved[best], margins[best], owner[best]
    return choice


def _random_choices(lattice, rng):
    choice, everyone = lattice.origin.copy(), np.arange(len(lattice))
    # Starts near and far: far ones find what plain answers, without scores, do not lead to.
    for _ in range(rng.integers(1, 1 + min(2 * choice.shape[1], MOST_RANDOM_MOVES))):
        owner, moved = lattice.moves(everyone, choice, rng, n_moves=1)
        choice[owner] = moved
    return choice


def _ask(lattice, owner, choice, rng):
    """Return the margins of choices, and whether each row of the lattice was fooled by one; promising ones are offered.

    The margins may be those of a torch module: whether a row is fooled is for the estimator to say.
    """
    pursuit, index = lattice.pursuit, lattice.index[owner]
    margins, fooled = np.empty(len(owner)), np.zeros(len(lattice), dtype=bool)
    for start in range(0, len(owner), BATCH_ROWS):
        part = np.arange(start, min(start + BATCH_ROWS, len(owner)))
        candidates = lattice.candidates(owner[part], choice[part])
        margins[part] = pursuit.margins(index[part], candidates)
        is_promising = margins[part] > 0
        is_promising[_best_of_each(owner[part], margins[part], rng)] = True
        is_adversarial = pursuit.offer(index[part[is_promising]], candidates[is_promising])
        fooled[owner[part[is_promising]][is_adversarial]] = True
    return margins, fooled


def _best_of_each(owner, margins, rng):
    """Return where the largest margin of each owner stands, any of equal ones."""
    order = np.lexsort((rng.random(len(owner)), margins, owner))
    return order[np.append(np.diff(owner[order]) > 0, True)[: len(order)]]


def _refine(lattice, owner, choice, rng, refine):
    """Hand the most promising choices of rows that stand to `refine`, and offer what it makes of them."""
    keep = np.flatnonzero(lattice.stands[owner]) if refine else np.zeros(0, dtype=int)
    margins = np.empty(len(keep))
    for start in range(0, len(keep), BATCH_ROWS):
        part = keep[start : start + BATCH_ROWS]
        candidates = lattice.candidates(owner[part], choice[part])
        margins[start : start + BATCH_ROWS] = lattice.pursuit.margins(lattice.index[owner[part]], candidates)
    for _ in range(N_REFINED):
        best = keep[_best_of_each(owner[keep], margins, rng)]
        best = best[lattice.stands[owner[best]]]
        if not len(best):
            return
        index, candidates = lattice.index[owner[best]], lattice.candidates(owner[best], choice[best])
        refined = refine(index, candidates)
        if refined is not None:
            lattice.pursuit.offer(index, lattice.budget.take(owner[best]).project(refined))
        is_next = ~np.isin(keep, best)
        keep, margins = keep[is_next], margins[is_next]


def _undo(lattice):
    """Undo changes of adversarial rows that are not needed, of each row again and again the one that helps most."""
    pursuit = lattice.pursuit
    lattice = Lattice(pursuit, lattice.index, np.inf, pursuit.nearest[lattice.index])
    choice, walkers = lattice.choices(lattice.base), np.arange(len(lattice))
    while len(walkers):
        owner, less = _undone(lattice, walkers, choice)
        is_adversarial = np.zeros(len(owner), dtype=bool)
        for start in range(0, len(owner), BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            candidates = lattice.candidates(owner[part], less[part])
            is_adversarial[part] = pursuit.offer(lattice.index[owner[part]], candidates)
        owner, less = owner[is_adversarial], less[is_adversarial]
        costs = lattice.costs(owner, less)
        # The largest change may need company: of equal distances, that with the smaller other changes.
        order = np.lexsort((costs.sum(axis=1), np.linalg.norm(costs, ord=lattice.budget.norm, axis=1), owner))
        walkers, first = np.unique(owner[order], return_index=True)
        choice[walkers] = less[order[first]]


def _undone(lattice, walkers, choice):
    """Return smaller choices: one unit at its original, half way or one step back; or all cut to a smaller change."""
    now, origin = choice[walkers], lattice.origin[walkers]
    costs = lattice.costs(walkers, now)
    is_dear = (-costs).argsort(axis=1, kind="stable").argsort(axis=1) < N_UNDONE
    parent, unit = np.nonzero((now != origin) & is_dear)
    each, is_integer = np.arange(len(parent)), unit < len(lattice.integers)
    parents, found = [], []
    value = now[parent, unit]
    for less in (np.zeros_like(value), np.trunc(value / 2).astype(np.int64), value - np.sign(value)):
        single = now[parent]
        single[each, unit] = np.where(is_integer, less, origin[parent, unit])
        parents.append(parent)
        found.append(single)
    for cut in CUTS:
        parents.append(np.arange(len(walkers)))
        found.append(lattice.cut(walkers, now, cut * costs.max(axis=1)))
    parent, less = np.concatenate(parents), np.concatenate(found)
    keep = (less != now[parent]).any(axis=1)
    return walkers[parent[keep]], less[keep]
