"""OffSupportRobustClassifier: the scikit-learn face of the package."""

import contextlib
import copy

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import check_random_state

from skrobust import _training
from skrobust._labels import check_known_classes
from skrobust._net_params import NetParamsMixin
from skrobust._parameters import CONSTRAINTS
from skrobust._persistence import savable
from skrobust._predictor import NetworkPredictorMixin
from skrobust._runtime import explained_out_of_memory
from skrobust._validation import check_training_data
from skrobust.data import Moments
from skrobust.torchify import RowNetwork, register


@savable
class OffSupportRobustClassifier(NetParamsMixin, NetworkPredictorMixin, ClassifierMixin, BaseEstimator):
    r"""Neural network classifier whose decision boundary keeps away from the data.

    Most of a space of many dimensions lies outside the support of the data, and there plain training lets the decision
    boundary lie anywhere, also right beside the data. This classifier makes unlabeled points outside the support and
    makes the softmax surface smooth around labeled and unlabeled points alike, which moves the boundary away from the
    data [1]_: small changes of the input then no longer change the answer.

    Parameters
    ----------
    module : str, class, factory or torch.nn.Module, default="mlp"
        The network, which returns logits: "mlp", "lenet", "resnet9", "resnet18", "resnet34", "resnet50", "xresnet18",
        "xresnet34", "xresnet50" or "wide_resnet", all but the first for images. A class or factory is called with those
        of ``n_features``, ``n_classes``, ``image_shape``, ``in_channels`` and ``hidden_layer_sizes`` that its signature
        names. An instance is copied. See :func:`skrobust.modules.build_module`.
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Width of each hidden layer of ``module="mlp"``.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width), if rows of `X` are to be given to the network as images.
    smoothness : float, default=0.02
        Weight of the penalty, by default on the squared slope of the softmax surface; a pure number, good values are
        about 0.01 to 0.1, and others for other penalties. 0 is training without a penalty. Too large a value makes a
        classifier that always gives the same answer. See :func:`skrobust.penalties.smoothness_from_lambda` for the
        weight in the paper.
    n_unlabeled : float, default=1
        Unlabeled points per labeled row, also a fraction.
    unlabeled_radius : float, default=1.0
        Distance of unlabeled points from their rows, in units of the data scale D, which is the root of the expected
        squared distance of two training rows.
    n_neighbors : int, default=1
        Points around each anchor at which the softmax outputs are compared with those at the anchor. Not the neighbors
        of a nearest-neighbor method.
    neighbor_radius : float, default=0.6
        Distance of these points from their anchor, in units of D, if they are "gaussian" (its root mean square) or
        "adversarial". Others lie farther: "extrapolation" multiplies by it the distance of two anchors, which is more
        than that of two rows where some are unlabeled; "uniform" ones lie anywhere in the box, which it enlarges.
    unlabeled : {"gaussian", "uniform", "extrapolation"}, sampler or None, default="gaussian"
        Where unlabeled points come from: noise around rows, a box around the data, beyond pairs of rows, or an object
        with a method ``sample`` (see :mod:`skrobust.unlabeled`). None makes none.
    neighbors : {"gaussian", "uniform", "extrapolation", "adversarial"} or sampler, default="gaussian"
        Where neighbors of anchors come from; "adversarial" ones lie in the direction in which the answers change most,
        by which a network may learn to answer everything alike.
    penalty : str, penalty object, callable or None, default="smoothness"
        What is made small: "smoothness", "jacobian", "input_gradient", "curvature", "virtual_adversarial",
        "stability", "uniform_confidence", an object or a function (see :mod:`skrobust.penalties`); None is nothing.
        Some act at labeled rows alone, and then no unlabeled points are made.
    adversary : {"fgsm", "n_fgsm", "pgd", "trades"}, adversary object or None, default=None
        Adversarial training, such as ``PGD(eps=0.1)`` (see :mod:`skrobust.adversary`), beside the penalty, which
        ``smoothness=0`` leaves out. A name has eps=0.1, in the units of `X`.
    noise_layer : str, default=None
        Name of a layer of the network: unlabeled points and neighbors are then made in its activations, with their own
        D and number of features. D is that of up to 2048 evenly spaced training rows, measured before every epoch,
        without dropout. The layer must cut the network in two (see :func:`skrobust.modules.cut_at`).
    augmentation : callable or list of callables, default=None
        What changes labeled images before all else: maps images, a tensor of shape (n, channels, height, width) on the
        training device, and a torch.Generator to images of that shape (see :mod:`skrobust.augment`).
    label_smoothing : float, default=0.0
        Share of each label that is spread evenly over all classes.
    mixup : float, default=0.0
        Mix pairs of labeled rows, and their labels, in shares from Beta(mixup, mixup) [2]_; 0 does not. Unlabeled
        points are made around the mixed rows.
    unlabeled_label : int, float, bool or str, default=None
        Rows of `X` with this label are unlabeled. None means that every label is a class, -1 too. Where labels are
        text, it is text too, such as "-1".
    max_epochs : int, default=100
        Passes over the training rows.
    batch_size : int, default=64
        Labeled rows per step. If all n rows fit into one batch, that many anchors are drawn from them, rows several
        times where they are fewer, but at most max(n, 4096): each step then costs what that many rows cost.
    lr : float, default=4e-3
        Learning rate, at its peak.
    lr_schedule : {"one_cycle", "constant_cosine", "constant"}, default="one_cycle"
        How the learning rate changes over the epochs: up and down along cosines; constant for one half and then down,
        as in the paper; or not at all. ``partial_fit`` keeps it constant.
    optimizer : {"adamw", "adam", "sgd"} or class of torch.optim, default="adamw"
        Fused where torch has a fused variant; "sgd" has a momentum of 0.9.
    weight_decay : float, default=0.1
        Weight decay of the optimizer.
    early_stopping : bool, default=False
        Hold out rows, stop when their score no longer rises, and keep the best weights, of equal ones the last.
        ``partial_fit`` never does.
    scoring : str, callable or None, default=None
        Score for early stopping: None is accuracy, "loss" is the cross-entropy, else a scorer of scikit-learn. Rows
        count by their weights and those of their classes, if the scorer takes ``sample_weight``.
    validation_fraction : float, default=0.1
        Share of rows to hold out for early stopping.
    validation_every : int, default=1
        Epochs from one score of the held-out rows to the next, for scores that take long, as attacks do. The last epoch
        is always scored.
    n_iter_no_change : int, default=10
        Epochs without a better score before training stops early, at the first score that comes so late; epochs in
        which the one-cycle schedule still raises the learning rate do not count.
    tol : float, default=1e-4
        Smallest rise of the score that counts.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes.
    callbacks : list of skorch callbacks, default=None
        As in skorch: instances, classes, or pairs of name and callback. They are copied. The history has the means of
        epochs, not the losses of single batches. An LRScheduler needs ``lr_schedule="constant"``.
    checkpoint_dir : str or path, default=None
        Folder in which fit keeps its state, to go on from there when it was killed and is called again with the same
        parameters and data: on the CPU it ends with the same bits. The seeds are kept too, those of
        ``random_state=None`` among them. A fit that has ended returns at once when it is called again; one that has
        not must be ended, or its folder deleted, before another one takes the folder. None keeps nothing.
    checkpoint_every : int, default=1
        Epochs from one state that is kept to the next.
    device : str, default="auto"
        "auto" is CUDA, else MPS, else the CPU; or a device of torch.
    dtype : {"auto", "float32", "float64", "bfloat16"}, default="auto"
        Floating point type of the network. On the CPU "auto" is float32 for `X` of float32, else float64, for integers
        and float16 too; elsewhere it is float32. "bfloat16" keeps float32 parameters and computes in bfloat16 where it
        is safe.
    n_threads : int, default=None
        Threads of the CPU for training. None is one for networks of up to two million parameters, for which a second
        one would only wait for the first, else as many as torch takes. A forked process has one.
    accelerator : accelerate.Accelerator or None, default=None
        Connects processes that train together, as ``accelerate launch`` starts them: each is given the same rows and
        passes its share of every batch; ``batch_size`` counts the rows of all. It sets the device. Copies and clones
        share it, pickles leave it out.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order of rows, and noise. The same seed gives the same bits on the CPU.
    noise_units : {"global", "std"}, default="global"
        Whether the noise is the same in every feature, or in units of the standard deviation of each.
    warm_start : bool, default=False
        Go on from the network of the last fit: what shapes it (``module``, ``hidden_layer_sizes``, ``image_shape``,
        ``dtype``) stays as it was; all else is as set now.
    verbose : int, default=0
        1 shows a progress bar with the terms of the loss, 2 prints a line for each epoch.
    net_params : dict, default=None
        Parameters of skorch by their own names: ``module__*``, ``optimizer__*``, ``iterator_train__*``,
        ``callbacks__*``, ``compile``. ``set_params`` and GridSearchCV take them directly:
        ``clf.set_params(module__activation="celu")``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of features seen in fit; pixels times channels for images.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, if `X` has names that are all strings.
    n_iter_ : int
        Number of epochs run.
    history_ : list of dict
        For each epoch: the means of the loss terms, whether a loss is the lowest there was, validation figures,
        learning rate and seconds.
    net_ : skorch net
        The fitted net; ``net_.module_`` is the network.
    data_scale_ : float
        D, from the labeled training rows and their weights.
    off_support_fraction_ : float
        Share of generated unlabeled points that lie farther from the data than 99 % of rows lie from all others; NaN
        if none are generated, or with ``noise_layer``, where they are generated in the activations of a layer.
        ``partial_fit`` measures it in its first call.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : Plain training of the same default network.

    Notes
    -----
    With class probabilities :math:`p` of C classes, d features and :math:`D^2 = 2 \sum_j \operatorname{Var} x_j`, the
    loss of a batch is

    .. math:: \text{CE} + \text{smoothness} \cdot D^2 \operatorname{mean}_{a, a'}
        d \, \frac{\|p(a) - p(a')\|^2}{\|a - a'\|^2}

    where the anchors a are the labeled rows and the unlabeled points
    :math:`x + \text{unlabeled\_radius} \cdot D / \sqrt d \cdot \varepsilon`, and
    :math:`a' = a + \text{neighbor\_radius} \cdot D / \sqrt d \cdot \varepsilon`. Mapping data by a common scale or
    rotation changes none of the three parameters. The noise is the same in every feature, so that columns of different
    units want a StandardScaler before this classifier.

    References
    ----------
    .. [1] M. Paknezhad, C. P. Ngo, A. A. Winarto, A. Cheong, C. Y. Beh, J. Wu, H. K. Lee: Explaining Adversarial
       Vulnerability with a Data Sparsity Hypothesis. Neurocomputing, 2022, arXiv:2103.00778.
    .. [2] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz: mixup: Beyond Empirical Risk Minimization. ICLR, 2018,
       arXiv:1710.09412.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust import OffSupportRobustClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = make_pipeline(StandardScaler(), OffSupportRobustClassifier(random_state=0)).fit(X, y)
    >>> clf.score(X, y) > 0.9
    True
    """

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        module="mlp",
        *,
        hidden_layer_sizes=(100,),
        image_shape=None,
        smoothness=0.02,
        n_unlabeled=1,
        unlabeled_radius=1.0,
        n_neighbors=1,
        neighbor_radius=0.6,
        unlabeled="gaussian",
        neighbors="gaussian",
        penalty="smoothness",
        adversary=None,
        noise_layer=None,
        augmentation=None,
        label_smoothing=0.0,
        mixup=0.0,
        unlabeled_label=None,
        max_epochs=100,
        batch_size=64,
        lr=4e-3,
        lr_schedule="one_cycle",
        optimizer="adamw",
        weight_decay=0.1,
        early_stopping=False,
        scoring=None,
        validation_fraction=0.1,
        validation_every=1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        callbacks=None,
        checkpoint_dir=None,
        checkpoint_every=1,
        device="auto",
        dtype="auto",
        n_threads=None,
        accelerator=None,
        random_state=None,
        noise_units="global",
        warm_start=False,
        verbose=0,
        net_params=None,
    ):
        self.module = module
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.smoothness = smoothness
        self.n_unlabeled = n_unlabeled
        self.unlabeled_radius = unlabeled_radius
        self.n_neighbors = n_neighbors
        self.neighbor_radius = neighbor_radius
        self.unlabeled = unlabeled
        self.neighbors = neighbors
        self.penalty = penalty
        self.adversary = adversary
        self.noise_layer = noise_layer
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.unlabeled_label = unlabeled_label
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.validation_every = validation_every
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.accelerator = accelerator
        self.random_state = random_state
        self.noise_units = noise_units
        self.warm_start = warm_start
        self.verbose = verbose
        self.net_params = net_params

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_unlabeled=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, height, width) or (n, channels, height, width)
            Training rows or images.
        y : array-like of shape (n,)
            Class labels; ``unlabeled_label`` marks rows without one.
        sample_weight : array-like of shape (n,), default=None
            Nonnegative row weights.
        X_unlabeled : array-like of shape (m, ...), default=None
            Further rows without labels, of the same kind as those of `X` and scaled as they are. Half of the unlabeled
            points of a step are then drawn from them; all of them are if ``unlabeled=None``.

        Returns
        -------
        self : OffSupportRobustClassifier

        Raises
        ------
        ValueError
            If data or parameters are wrong, or the loss becomes NaN.
        MemoryError
            If the device has too little memory for a batch.

        Warns
        -----
        ConvergenceWarning
            If the network has learnt nothing, as under too large a smoothness: it answers all training rows alike.
        """
        with self._unchanged_on_failure(), explained_out_of_memory(self):
            continuing = self.warm_start and hasattr(self, "net_")
            data = check_training_data(self, X, y, sample_weight, X_unlabeled, reset=not continuing)
            classes = self.classes_ if continuing else np.unique(data.y)
            net = self.net_.without_training_state() if continuing else None
            run = _training.Run(self.max_epochs, self.lr_schedule)
            random_state = check_random_state(self.random_state)
            _training.train(self, run, data, classes, Moments.of(data.X, data.weight), net, random_state)
            vars(self).pop("_partial_fit_state", None)  # a stream of chunks that follows begins anew
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, X_unlabeled=None):
        """Train for one epoch on a further chunk of data, at a constant learning rate.

        The optimizer goes on, with the `lr` and `weight_decay` of now; another `optimizer` begins anew.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, height, width) or (n, channels, height, width)
            Training rows or images.
        y : array-like of shape (n,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All classes there will ever be; needed in the first call.
        sample_weight : array-like of shape (n,), default=None
            Nonnegative row weights. They tell the rows of a chunk apart, as class weights do, and not chunks: in each
            chunk they are divided by their mean.
        X_unlabeled : array-like of shape (m, ...), default=None
            Further rows without labels.

        Returns
        -------
        self : OffSupportRobustClassifier

        Raises
        ------
        ValueError
            If data or parameters are wrong, a label is new, or the loss becomes NaN.
        MemoryError
            If the device has too little memory for a batch.
        """
        with self._unchanged_on_failure(), explained_out_of_memory(self):
            continuing = hasattr(self, "net_")
            data = check_training_data(self, X, y, sample_weight, X_unlabeled, reset=not continuing)
            known = check_known_classes(classes, self.classes_ if continuing else None, self.unlabeled_label)
            if self.class_weight == "balanced":
                raise ValueError(
                    "class_weight='balanced' is unknown to partial_fit, which sees one chunk at a time: set "
                    "class_weight to a dict from class to weight."
                )
            moments = Moments.of(data.X, data.weight).scaled(data.mean_weight)
            if continuing:
                moments = self._moments.merged(moments)
            seed, n_calls = getattr(self, "_partial_fit_state", (None, 0))
            seed = check_random_state(self.random_state).randint(2**31 - 1) if seed is None else seed
            random_state = np.random.RandomState((seed + n_calls) % 2**32)
            net = self._net_to_train_on() if continuing else None
            with net.unchanged_on_failure() if continuing else contextlib.nullcontext():
                _training.train(self, _training.PARTIAL_FIT, data, known, moments, net, random_state)
            self._partial_fit_state = seed, n_calls + 1
        return self


@register(OffSupportRobustClassifier)
def _convert(fitted):
    """Return a copy of the network as a module for flat rows, where the network is."""
    net = fitted.net_
    return RowNetwork(copy.deepcopy(getattr(net.module_, "_orig_mod", net.module_)), net.row_shape, net.float_type)
