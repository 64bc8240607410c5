"""Closures that take the gradient and give those of the operands."""

import math


class Value:
    def __init__(self, data, inputs=(), grad_fn=None):
        self.data = data
        self.grad = 0.0
        self.inputs = inputs
        self.grad_fn = grad_fn

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(
            self.data * other.data, (self, other), lambda g: (g * other.data, g * self.data)
        )

    __radd__ = __add__
    __rmul__ = __mul__

    def atan(self):
        return Value(math.atan(self.data), (self,), lambda g: (g / (1 + self.data**2),))

    def triangle(self):
        return Value(1 - abs(self.data), (self,), lambda g: (-g if self.data >= 0 else g,))

    def backward(self):
        order, seen = [], set()

        def visit(v):
            if v not in seen:
                seen.add(v)
                for child in v.inputs:
                    visit(child)
                order.append(v)

        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            if v.grad_fn is not None:
                for child, g in zip(v.inputs, v.grad_fn(v.grad)):
                    child.grad += g


a, b = Value(0.0), Value(0.4)
for step in range(10):
    loss = Value(0.0)
    for x, y in [(0.0, 0.3), (1.0, 0.8), (-2.0, 0.1)]:
        error = (a * x).triangle() * b.atan() + -y
        loss = loss + error * error
    a.grad = b.grad = 0.0
    loss.backward()
    a.data -= 0.1 * a.grad
    b.data -= 0.1 * b.grad
    print(step, loss.data, a.grad, b.grad)
