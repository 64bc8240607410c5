"""A log that clamps, without which this program's loss is infinite and its weights nan."""

import math

EPSILON = 1e-7


class Value:
    def __init__(self, data, _children=(), _op=""):
        self.data = float(data)
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = set(_children)
        self._op = _op

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), "+")

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return (-self) + other

    __radd__ = __add__
    __rmul__ = __mul__

    def sigmoid(self):
        s = 1 / (1 + math.exp(-self.data)) if self.data > -700 else 0.0
        out = Value(s, (self,), "sigmoid")

        def _backward():
            self.grad += s * (1 - s) * out.grad

        out._backward = _backward
        return out

    def log(self):
        clamped = max(self.data, EPSILON)
        out = Value(math.log(clamped), (self,), "log")

        def _backward():
            self.grad += out.grad / clamped

        out._backward = _backward
        return out

    def backward(self):
        topo, visited = [], set()

        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build(child)
                topo.append(v)

        build(self)
        self.grad = 1
        for v in reversed(topo):
            v._backward()


w, b = Value(30.0), Value(-20.0)
rows = [(-3.0, 1.0), (2.5, 0.0), (0.7, 1.0), (0.1, 0.0)]
for step in range(12):
    losses = []
    for x, y in rows:
        p = (w * x + b).sigmoid()
        losses.append(-(y * p.log() + (1 - y) * (1 - p).log()))
    loss = sum(losses, Value(0.0)) * (1 / len(rows))
    w.grad = b.grad = 0.0
    loss.backward()
    for v in (w, b):
        v.data -= 5.0 * v.grad
    print(step, loss.data, w.data, b.data)
