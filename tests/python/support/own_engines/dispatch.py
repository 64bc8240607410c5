"""An engine whose backward() decides by `_op`, with an operation that is its own."""

import math


class Value:
    def __init__(self, data, _children=(), _op=""):
        self.data = data
        self.grad = 0.0
        self._prev = tuple(_children)
        self._op = _op

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), "+")

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), "*")

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + (-other)

    __radd__, __rmul__ = __add__, __mul__

    def tanh(self):
        return Value(math.tanh(self.data), (self,), "tanh")

    def softsign(self):
        return Value(self.data / (1.0 + abs(self.data)), (self,), "softsign")

    def huber(self, delta=1.0):
        return (
            (self * self) * 0.5
            if abs(self.data) <= delta
            else Value(delta * (abs(self.data) - 0.5 * delta), (self,), f"huber{delta}")
        )

    def backward(self):
        order, seen = [], set()

        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                for child in v._prev:
                    visit(child)
                order.append(v)

        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            if v._op == "+":
                for child in v._prev:
                    child.grad += v.grad
            elif v._op == "*":
                a, b = v._prev
                a.grad += b.data * v.grad
                b.grad += a.data * v.grad
            elif v._op == "tanh":
                v._prev[0].grad += (1.0 - v.data * v.data) * v.grad
            elif v._op == "softsign":
                v._prev[0].grad += v.grad / (1.0 + abs(v._prev[0].data)) ** 2
            elif v._op.startswith("huber"):
                delta = float(v._op[5:])
                v._prev[0].grad += (delta if v._prev[0].data > 0 else -delta) * v.grad


weights = [Value(0.1 * (i - 3)) for i in range(7)]
rows = [([0.5, -1.0], 3.0), ([1.5, 0.25], -0.5), ([-0.75, 2.0], 0.25)]
for step in range(15):
    loss = Value(0.0)
    for (x, y), target in rows:
        h = (weights[0] * x + weights[1] * y + weights[2]).softsign()
        g = (weights[3] * x + weights[4]).tanh()
        loss = loss + (h * weights[5] + g * weights[6] - target).huber(delta=0.5)
    for w in weights:
        w.grad = 0.0
    loss.backward()
    for w in weights:
        w.data -= 0.2 * w.grad
    print(step, loss.data, weights[0].grad)
