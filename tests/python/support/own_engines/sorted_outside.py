"""The topological sort is a function below the class, and a second sweep is written by hand."""

import math


class Value:
    def __init__(self, data, _children=(), _op=""):
        self.data = data
        self.grad = 0.0
        self._prev = set(_children)
        self._op = _op
        self._backward = lambda: None

    def __add__(self, other):
        other = as_value(other)
        out = Value(self.data + other.data, (self, other), "+")

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = as_value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def exp(self):
        out = Value(math.exp(self.data), (self,), "exp")

        def _backward():
            self.grad += out.data * out.grad

        out._backward = _backward
        return out

    def backward(self):
        self.grad = 1.0
        for node in reversed(sorted_nodes(self)):
            node._backward()


def as_value(x):
    return x if isinstance(x, Value) else Value(x)


def sorted_nodes(root):
    order, seen, pending = [], set(), [(root, False)]
    while pending:
        node, done = pending.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            pending.append((node, True))
            pending.extend((child, False) for child in node._prev)
    return order


def zero_everything(root):
    for node in sorted_nodes(root):
        node.grad = 0.0


w, b = Value(0.1), Value(-0.3)
for step in range(10):
    loss = as_value(0.0)
    for x, y in [(0.5, 1.5), (1.0, 2.0), (1.5, 3.5)]:
        error = (w * x + b).exp() + -y
        loss = loss + error * error
    loss.backward()
    by_class = w.grad, b.grad
    zero_everything(loss)
    loss.grad = 1.0
    for node in reversed(sorted_nodes(loss)):
        node._backward()
    w.data -= 0.02 * w.grad
    b.data -= 0.02 * b.grad
    print(step, loss.data, *by_class, w.grad, b.grad)
    zero_everything(loss)
