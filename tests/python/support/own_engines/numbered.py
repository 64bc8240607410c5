"""Nodes that number themselves and keep a history: a class that has to stay."""

import itertools


class Value:
    counter = itertools.count()

    def __init__(self, data, _children=(), _op=""):
        self.id = next(Value.counter)
        self.history = [data]
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

    def backward(self):
        nodes, pending = {}, [self]
        while pending:
            node = pending.pop()
            nodes[node.id] = node
            pending.extend(node._prev)
        self.grad = 1.0
        for number in sorted(nodes, reverse=True):
            node = nodes[number]
            if node._op == "+":
                node._prev[0].grad += node.grad
                node._prev[1].grad += node.grad
            elif node._op == "*":
                a, b = node._prev
                a.grad += b.data * node.grad
                b.grad += a.data * node.grad


w = Value(0.5)
for step in range(6):
    error = w * w * 2.0 + w * -1.0 + -3.0
    loss = error * error
    w.grad = 0.0
    loss.backward()
    w.data -= 0.01 * w.grad
    w.history.append(w.data)
    print(step, loss.data, w.grad, loss.id)
print(*w.history)
