"""Names of its own for everything that a node has and that its constructor takes."""

import math


class Scalar:
    def __init__(self, value=0.0, *, parents=(), op=None, name=None, trainable=True):
        self.value = value
        self.gradient = 0.0
        self.parents = list(parents)
        self.op = op
        self.name = name
        self.trainable = trainable
        self.backprop = None

    def __add__(self, other):
        other = other if isinstance(other, Scalar) else Scalar(other)
        out = Scalar(self.value + other.value, parents=(self, other), op="add")

        def backprop():
            self.gradient += out.gradient
            other.gradient += out.gradient

        out.backprop = backprop
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Scalar) else Scalar(other)
        out = Scalar(self.value * other.value, parents=(self, other), op="mul")

        def backprop():
            self.gradient += other.value * out.gradient
            other.gradient += self.value * out.gradient

        out.backprop = backprop
        return out

    def __sub__(self, other):
        return self + other * -1

    __radd__ = __add__
    __rmul__ = __mul__

    def swish(self):
        s = 1 / (1 + math.exp(-self.value))
        out = Scalar(self.value * s, parents=(self,), op="swish")

        def backprop():
            self.gradient += (s + self.value * s * (1 - s)) * out.gradient

        out.backprop = backprop
        return out

    def backward(self):
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for parent in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        self.gradient = 1.0
        for node in reversed(order):
            if node.backprop is not None:
                node.backprop()


def count(root):
    """The nodes under a root, by what the program calls them."""
    found = {}
    pending = [root]
    while pending:
        node = pending.pop()
        found[id(node)] = node
        pending.extend(parent for parent in node.parents if id(parent) not in found)
    return sum(node.op is None for node in found.values()), len(found)


params = [Scalar(value=0.3 * i - 0.4, name=f"p{i}") for i in range(4)]
params.append(Scalar(1.5, name="scale", trainable=False))
zero = Scalar()
for step in range(10):
    loss = zero
    for x, y in [(0.5, 1.0), (-1.5, 0.25), (2.0, -1.0)]:
        hidden = (params[0] * x + params[1]).swish()
        error = hidden * params[2] * params[4] + params[3] - y
        loss = loss + error * error
    for p in params:
        p.gradient = 0.0
    loss.backward()
    for p in params:
        if p.trainable:
            p.value -= 0.05 * p.gradient
    print(step, loss.value, *(p.gradient for p in params))
print(params[0].name, params[1].op, isinstance(loss, Scalar), *count(loss))
