"""Operators of torch that ONNX does not have, or not in full precision, made from those that it has."""

import functools

import torch

# Wichura (1988), algorithm AS 241, as in statistics.NormalDist.inv_cdf: numerators and denominators of rational
# functions, the coefficient of the highest power first.
MIDDLE = (
    (
        *(2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4),
        *(1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    ),
    (
        *(5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4),
        *(5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
    ),
)
OUTER = (
    (
        *(7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0),
        *(3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    ),
    (
        *(1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1),
        *(6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
    ),
)
OUTERMOST = (
    (
        *(2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2),
        *(2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    ),
    (
        *(2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4),
        *(1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
    ),
)


def operators():
    """Return functions of onnxscript by the operators of torch that they stand for."""
    return {
        torch.ops.aten.scalar_tensor.default: _scalar,
        torch.ops.aten.searchsorted.Tensor: _searchsorted,
        torch.ops.aten.special_ndtri.default: _ndtri,
        torch.ops.prims.ndtri.default: _ndtri,
    }


def _opset():
    from onnxscript import opset20

    return opset20


def _scalar(s, dtype=1, layout="", device="", pin_memory=False):
    """Return a number, in the full precision of its type; torch's own translation rounds it to float32."""
    import onnx

    if not isinstance(s, (bool, int, float)):
        return _opset().Cast(s, to=dtype)
    exact = onnx.TensorProto.INT64 if isinstance(s, (bool, int)) else onnx.TensorProto.DOUBLE
    return _opset().Cast(_opset().Constant(value=onnx.helper.make_tensor("", exact, [], [s])), to=dtype)


def _searchsorted(sorted_sequence, self, out_int32=False, right=False, side=None, sorter=None):
    """Count the values to the left, for knots of shape (..., n_knots) and values of shape (..., n)."""
    op = _opset()
    values = op.Unsqueeze(self, op.Constant(value_ints=[-1]))
    knots = op.Unsqueeze(sorted_sequence, op.Constant(value_ints=[-2]))
    left = op.LessOrEqual(knots, values) if right or side == "right" else op.Less(knots, values)
    return op.ReduceSum(op.Cast(left, to=7), op.Constant(value_ints=[-1]), keepdims=0)


def _ndtri(self):
    """Return the quantiles of the normal distribution."""
    op = _opset()
    number = functools.partial(_number, op, self)
    middle = op.Sub(self, number(0.5))
    tail = op.Sqrt(op.Neg(op.Log(op.Min(self, op.Sub(number(1.0), self)))))
    inner = op.Mul(middle, _ratio(op, op.Sub(number(0.180625), op.Mul(middle, middle)), MIDDLE, number))
    near = _ratio(op, op.Sub(tail, number(1.6)), OUTER, number)
    far = _ratio(op, op.Sub(tail, number(5.0)), OUTERMOST, number)
    outer = op.Mul(op.Sign(middle), op.Where(op.LessOrEqual(tail, number(5.0)), near, far))
    return op.Where(op.LessOrEqual(op.Abs(middle), number(0.425)), inner, outer)


def _number(op, like, value):
    """Return a number of the type of a tensor, in full precision."""
    import onnx

    return op.CastLike(op.Constant(value=onnx.helper.make_tensor("", onnx.TensorProto.DOUBLE, [], [value])), like)


def _ratio(op, x, coefficients, number):
    numerator, denominator = (
        functools.reduce(lambda total, c: op.Add(op.Mul(total, x), number(c)), rest, number(first))
        for first, *rest in coefficients
    )
    return op.Div(numerator, denominator)
