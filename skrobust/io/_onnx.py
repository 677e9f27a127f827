"""Export to ONNX."""

import json

import numpy as np
import torch

from skrobust._atomic import atomic_file
from skrobust._version import __version__
from skrobust.io._errors import ExportError
from skrobust.io._operators import operators
from skrobust.io._optional import needed
from skrobust.io._program import (
    answers_module,
    check_answers,
    exported_program,
    not_exportable,
    quiet,
    single_convolutions,
)
from skrobust.io._rows import method_of, rows_at_hand

OPSET = 20
N_ROWS = "n_rows"


def export_onnx(fitted, path, X=None):
    """Write a fitted classifier or Pipeline as an ONNX model, preprocessing included.

    The model maps raw rows, the input ``X`` of type float64 and shape (n, n_features) for any n, to ``probabilities``
    of shape (n, n_classes) and ``label`` of shape (n,). It is run by onnxruntime and compared with the estimator before
    the file appears, whole or not at all.

    Parameters
    ----------
    fitted : estimator or Pipeline
        A classifier that :func:`skrobust.torchify.to_torch` converts: networks, linear models, support vector machines
        and others, behind scalers, encoders of numbers and so on. One without ``predict_proba`` has the output
        ``decision_function`` instead, a matrix. Images are flat rows.
    path : str or Path
        Of the file, by custom with the ending .onnx.
    X : DataFrame or array-like of shape (n, n_features), default=None
        Rows to compare on, numbers alone. None makes some up, of several scales.

    Raises
    ------
    ExportError
        If a step has no counterpart in ONNX, or the model does not answer as the estimator does, to 1e-5.
    skrobust.torchify.NotConvertibleError
        If a step has no converter.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ImportError
        If onnx, onnxscript or onnxruntime is missing.
    OSError
        If the file cannot be written.

    See Also
    --------
    export_torch : Write a program for torch.

    Notes
    -----
    Scaling in float32 can lose everything, where a column has values near 10,000 that differ in the third decimal. The
    model therefore computes in float64, as scikit-learn does. The exceptions are networks trained in float32 and
    those with convolutions, which ONNX runtimes do not have in float64.

    The model refuses no row: where the estimator raises an error for missing or infinite values, it answers anyhow.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust import OffSupportRobustClassifier, io
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = make_pipeline(StandardScaler(), OffSupportRobustClassifier(max_epochs=5, random_state=0)).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "iris.onnx")
    ...     io.export_onnx(clf, path, X)
    ...     session = onnxruntime.InferenceSession(path)
    >>> probabilities, label = session.run(["probabilities", "label"], {"X": X})
    >>> bool((label == clf.predict(X)).all())
    True
    """
    onnx, runtime, _ = (needed(name, "export_onnx", "onnx") for name in ("onnx", "onnxruntime", "onnxscript"))
    rows, matrix = rows_at_hand(fitted, X)
    program = exported_program(single_convolutions(answers_module(fitted, rows, matrix)), matrix, fitted)
    scores = "probabilities" if method_of(fitted) == "predict_proba" else "decision_function"
    data = _finished(onnx, _translated(program, scores, fitted), fitted).SerializeToString()
    try:
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common type of errors
        raise not_exportable(fitted, error) from error
    check_answers(lambda matrix: session.run([scores, "label"], {"X": matrix}), fitted, rows, matrix)
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(data)


def _translated(program, scores, fitted):
    """Return the ONNX model of a torch program, with the outputs scores and index_of_label."""
    try:
        with quiet():
            return torch.onnx.export(
                program,
                input_names=["X"],
                output_names=[scores, "index_of_label"],
                opset_version=OPSET,
                custom_translation_table=operators(),
                external_data=False,
                verbose=False,
            ).model_proto
    except Exception as error:  # of many kinds
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise not_exportable(fitted, cause) from error


def _finished(onnx, model, fitted):
    """Return the model with labels in the place of indices, and without notes on the files of this machine."""
    graph = model.graph
    index = graph.output.pop()
    kind, classes = _classes(onnx, fitted.classes_)
    graph.initializer.append(onnx.helper.make_tensor("classes_of_labels", kind, [len(classes)], classes))
    graph.node.append(
        onnx.helper.make_node("Gather", ["classes_of_labels", index.name], ["label"], name="label_of_index")
    )
    graph.output.append(onnx.helper.make_tensor_value_info("label", kind, [N_ROWS]))
    for value in (*graph.input, graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = N_ROWS
    _clear_notes(model)
    model.producer_name, model.producer_version = "skrobust", __version__
    names = getattr(fitted, "feature_names_in_", None)
    described = {} if names is None else {"feature_names": json.dumps([str(name) for name in names])}
    onnx.helper.set_model_props(model, described)
    return model


def _clear_notes(model):
    """Take what tells of the files of this machine out of a model."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.initializer, *graph.value_info)
    for part in (graph, *graph.node, *values, *model.functions):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _classes(onnx, classes):
    """Return the type of class labels in ONNX, and their values.

    Raises
    ------
    ExportError
        If there is no type for them.
    """
    kinds = {"i": "INT64", "u": "INT64", "b": "BOOL", "f": "DOUBLE", "U": "STRING", "O": "STRING"}
    is_text = all(isinstance(label, str) for label in classes.tolist())
    if classes.dtype.kind not in kinds or (classes.dtype.kind == "O" and not is_text):
        raise ExportError(
            f"classes_={classes!r:.100} are labels of a kind that ONNX does not have: fit on numbers or text."
        )
    values = [label.encode() for label in classes.tolist()] if is_text else np.asarray(classes).tolist()
    return getattr(onnx.TensorProto, kinds[classes.dtype.kind]), values
