"""What the paper's benchmarks say about its hypothesis, in words made from the figures.

A prediction is judged by differences between runs with the same seed. It agrees with the figures if it holds in every
seed, disagrees if it holds in none, and is mixed otherwise; below three seeds nothing is judged.
"""

import math

from bench_paper_mnist import PLAIN, REFERENCE, SIDE, in_code
from figure_text import count, listed, number, rst_table, signed
from paper_runs import FULL_SIZES, LABELED_ONLY, MAX_DISTANCE, THREATS, needs_adversary, whole

LEAST_SEEDS = 3
UNION = "worst_case_union"
DIRECTIONS = {
    "worst": ("l2_distance_mean",),
    "random": ("crossing_random_q0.5", "crossing_random_q0.1"),
    "off-support": ("crossing_off_support_q0.5", "crossing_off_support_q0.1"),
}
# How to measure vulnerability: in words, and whether it grows with the figure or falls.
VULNERABILITY = {
    "fooled_worst_case_linf_0.1": ("share of rightly answered rows fooled at Linf 0.1", 1),
    "fooled_worst_case_l2_2": ("share of rightly answered rows fooled at L2 2", 1),
    "distance_in_d": ("distance of the boundary in units of D", -1),
}
# What an eps allows grows with the number of pixels, whatever the network does: only distances are judged across them.
COMPARABLE_ACROSS_PIXELS = ("distance_in_d",)


def held(differences):
    """Say in how many seeds a prediction holds, which is where the difference is positive."""
    return f"in {int((differences > 0).sum())} of {len(differences)} seeds"


def verdict(differences):
    """Say in how many seeds a prediction holds, and what follows."""
    n, n_held = len(differences), int((differences > 0).sum())
    if n < LEAST_SEEDS:
        return f"{held(differences)}, too few to judge" if n else "not measured yet"
    word = "agrees" if n_held == n else "mixed" if n_held else "disagrees"
    return f"{held(differences)}: {word}"


def recipe(cell):
    """Say which training stands best, by norm and in the union, and which to take."""
    methods = cell.methods()
    best = {name: _best(cell, methods, name) for name in THREATS}
    lines = [f"- {label}: {_standing(cell, best[name], name)}" for name, label in THREATS.items()]
    gentle = _best(cell, filter(_is_gentle, methods), UNION)
    lines.append(f"- union, without adversarial examples in training: {_standing(cell, gentle, UNION)}")
    head = f"Largest mean accuracy in the worst case on {cell.n_train:,} images:\n\n"
    taken, reason = _recommendation(cell, best[UNION])
    code = f"For images in [0, 1] that is ``{in_code(taken, int(cell.runs['epochs'].iloc[0]))}``."
    return head + "\n".join(lines) + f"\n\n{reason} {code}\n"


def _recommendation(cell, best):
    """Return which training to take, and why: the largest union, or what cannot be told from it and costs less."""
    others = [method for method in cell.methods() if method != best]
    second = _best(cell, others, UNION)
    ahead = cell.differences(best, second, UNION)
    doubt = ", too few to rely on" if len(ahead) < LEAST_SEEDS else ""
    beside = f"ahead of the next, *{second}*, {held(ahead)}{doubt}"
    alike = [best, *(method for method in others if _are_alike(cell.differences(best, method, UNION)))]
    taken = _best(cell, alike, "clean")
    if taken == best:
        return taken, f"The recommendation is the training with the largest union: *{best}*. It is {beside}."
    clean = [number(cell.mean(method, "clean")) for method in (taken, best)]
    return taken, (
        f"*{best}*, with the largest union, is {beside}. Of trainings whose unions seeds do not tell from it, the "
        f"recommendation is the one that keeps most clean accuracy: *{taken}*, {clean[0]} instead of {clean[1]}."
    )


def _are_alike(differences):
    """Return whether enough seeds contradict each other."""
    return len(differences) >= LEAST_SEEDS and 0 < (differences > 0).sum() < len(differences)


def _is_gentle(method):
    return not needs_adversary(method)


def _best(cell, methods, measure):
    """Return the training with the largest mean; one that was not measured comes last."""
    means = {method: cell.mean(method, measure) for method in methods}
    return max(means, key=lambda method: -math.inf if math.isnan(means[method]) else means[method])


def _standing(cell, method, measure):
    return f"*{method}*, {number(cell.mean(method, measure))} ({count(cell.n_seeds(method), 'seed')})"


def crossings_judged(cell):
    """Judge whether the boundary moves away in all directions, or only in that of the attack."""
    needed = {PLAIN, REFERENCE, LABELED_ONLY}
    if not needed <= set(cell.methods()):
        return f"Not measured yet: {listed(sorted(needed - set(cell.methods())))}.\n"
    measures = compared(cell)
    pairs = [(method, PLAIN) for method in cell.methods() if method != PLAIN] + [(REFERENCE, LABELED_ONLY)]
    rows = [[*pair, *(_farther(cell, *pair, measure) for measure in measures.values())] for pair in pairs]
    heads = ["training", "beside"]
    heads += [f"{direction}, {_statistic(measure)}" for direction, measure in measures.items()]
    caption = f"Ratio of distances (in how many seeds the boundary is farther), {cell.name}."
    return rst_table(caption, heads, rows) + "\n" + _rays_in_words(cell, measures)


def compared(cell):
    """Return by which measure each direction is compared: the first that is finite for all trainings."""
    return {
        direction: next((m for m in measures if all(cell.is_finite(name, m) for name in cell.methods())), measures[-1])
        for direction, measures in DIRECTIONS.items()
    }


def _statistic(measure):
    return {"q0.5": "median", "q0.1": "first decile"}.get(measure.rpartition("_")[2], "mean")


def _farther(cell, one, other, measure):
    distance, beside = cell.mean(one, measure), cell.mean(other, measure)
    ratio = number(distance / beside, 2) if math.isfinite(distance) else f"over {number(MAX_DISTANCE / beside, 2)}"
    differences = cell.differences(one, other, measure)
    return f"{ratio} ({(differences > 0).sum()} of {len(differences)})"


def _rays_in_words(cell, measures):
    """Say which trainings move the boundary away everywhere, and what unlabeled points do at matched passes."""
    farther = {
        method: [bool((cell.differences(method, PLAIN, m) > 0).all()) for m in measures.values()]
        for method in cell.methods()
        if method != PLAIN and len(cell.differences(method, PLAIN, UNION))
    }
    everywhere = [method for method, is_farther in farther.items() if all(is_farther)]
    traded = [method for method, is_farther in farther.items() if is_farther[0] and not all(is_farther)]
    added = "; ".join(
        f"{direction}: {verdict(cell.differences(REFERENCE, LABELED_ONLY, measure))}"
        for direction, measure in measures.items()
    )
    return (
        f"Farther than plain training in all three directions, in every seed: {_or_none(everywhere)}. Farther in the "
        f"worst direction, but not in every seed in both of the others: {_or_none(traded)}.\n\n"
        f"Do unlabeled points move the boundary away? At matched passes, *{REFERENCE}* beside *{LABELED_ONLY}*: "
        f"{added}.\n"
    )


def _or_none(names):
    return listed(names) if names else "none"


def gains_judged(found):
    """Judge whether vulnerability, and what unlabeled points add, grow as rows get fewer or pixels more."""
    full = whole(found, FULL_SIZES[0])
    fewest = next((cell for cell in found if cell.side == SIDE and cell.n_train < full.n_train), None)
    smallest = next((cell for cell in found if cell.n_train == full.n_train and cell.side < SIDE), None)
    fewer = "Not measured yet: fewer images.\n" if fewest is None else _judged_pair(fewest, full)
    more = "Not measured yet: smaller images.\n"
    if smallest is not None:
        more = _judged_pair(full, smallest, COMPARABLE_ACROSS_PIXELS)
    return f"**Fewer images.** {fewer}\n**More pixels.** {more}"


def _judged_pair(sparse, dense, measures=tuple(VULNERABILITY)):
    """Compare a cell in which data are sparser with one in which they are denser."""
    lines = []
    for measure in measures:
        text, sign = VULNERABILITY[measure]
        worse = sign * (sparse.values(PLAIN, measure) - dense.values(PLAIN, measure)).dropna()
        means = f"{number(sparse.mean(PLAIN, measure))} against {number(dense.mean(PLAIN, measure))}"
        lines.append(f"- Plain training is more vulnerable, by the {text} ({means}): {verdict(worse)}.")
    for measure in measures:
        text, sign = VULNERABILITY[measure]
        gains = [-sign * cell.differences(REFERENCE, LABELED_ONLY, measure) for cell in (sparse, dense)]
        means = f" ({' against '.join(signed(gain.mean()) for gain in gains)})" if all(map(len, gains)) else ""
        more = verdict((gains[0] - gains[1]).dropna())
        lines.append(f"- Unlabeled points protect more at as many passes, by the {text}{means}: {more}.")
    return f"{sparse.name} beside {dense.name}:\n\n" + "\n".join(lines) + "\n"
