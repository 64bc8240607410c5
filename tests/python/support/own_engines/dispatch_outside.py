"""The sweep is a function outside the class, which goes by the operation's name."""

import math


class Value:
    def __init__(self, data, _children=(), _op=""):
        self.data = data
        self.grad = 0.0
        self._children = tuple(_children)
        self._op = _op

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), "add")

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), "mul")

    def __neg__(self):
        return self * -1.0

    def cos(self):
        return Value(math.cos(self.data), (self,), "cos")


RULES = {
    "": lambda v: (),
    "add": lambda v: (v.grad, v.grad),
    "mul": lambda v: (v._children[1].data * v.grad, v._children[0].data * v.grad),
    "cos": lambda v: (-math.sin(v._children[0].data) * v.grad,),
}


def backpropagate(root):
    order, seen = [], set()

    def visit(v):
        if v not in seen:
            seen.add(v)
            for child in v._children:
                visit(child)
            order.append(v)

    visit(root)
    root.grad = 1.0
    for v in reversed(order):
        for child, g in zip(v._children, RULES[v._op](v)):
            child.grad += g


a, b = Value(1.1), Value(0.2)
for step in range(10):
    loss = Value(0.0)
    for x, y in [(0.3, 0.2), (0.9, -0.4), (2.0, 0.6)]:
        error = (a * x + b).cos() + -Value(y)
        loss = loss + error * error
    a.grad = b.grad = 0.0
    backpropagate(loss)
    a.data -= 0.1 * a.grad
    b.data -= 0.1 * b.grad
    print(step, loss.data, a.grad, b.grad)
