"""A dataclass whose nodes keep pairs of an operand and the derivative with respect to it."""

import math
from dataclasses import dataclass, field


@dataclass(eq=False)
class Value:
    data: float
    edges: tuple = ()
    grad: float = field(default=0.0, repr=False)

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, ((self, other.data), (other, self.data)))

    __radd__ = __add__
    __rmul__ = __mul__

    def __sub__(self, other):
        return self + other * -1.0

    def gauss(self):
        e = math.exp(-(self.data**2))
        return Value(e, ((self, -2.0 * self.data * e),))

    def backward(self):
        order, seen = [], set()

        def visit(node):
            if id(node) in seen:
                return
            seen.add(id(node))
            for operand, _ in node.edges:
                visit(operand)
            order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            for operand, slope in node.edges:
                operand.grad += slope * node.grad


p = [Value(0.5), Value(-0.1), Value(1.0)]
for step in range(10):
    loss = Value(0.0)
    for x, y in [(0.0, 0.2), (0.5, 1.0), (1.5, -0.5)]:
        error = p[2] * (p[0] * x + p[1]).gauss() - y
        loss = loss + error * error
    for q in p:
        q.grad = 0.0
    loss.backward()
    for q in p:
        q.data -= 0.1 * q.grad
    print(step, loss.data, *(q.grad for q in p))
