"""Attributes that the constructor gives every node for its optimizer."""

import math


class Value:
    decay = 0.9

    def __init__(self, data, _children=(), _op="", requires_grad=True):
        self.data = data
        self.grad = 0
        self.momentum = 0
        self.velocity = 0.0
        self.steps = 0
        self.requires_grad = requires_grad
        self._prev = set(_children)
        self._op = _op
        self._backward = lambda: None

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

    def sin(self):
        out = Value(math.sin(self.data), (self,), "sin")

        def _backward():
            self.grad += math.cos(self.data) * out.grad

        out._backward = _backward
        return out

    def step(self, lr):
        if not self.requires_grad:
            return
        self.steps += 1
        self.momentum = Value.decay * self.momentum + (1 - Value.decay) * self.grad
        self.velocity = 0.99 * self.velocity + 0.01 * self.grad**2
        corrected = self.momentum / (1 - Value.decay**self.steps)
        self.data -= lr * corrected / (math.sqrt(self.velocity / (1 - 0.99**self.steps)) + 1e-8)

    def zero_grad(self):
        self.grad = 0

    def backward(self):
        order, seen = [], set()

        def visit(v):
            if v not in seen:
                seen.add(v)
                for child in v._prev:
                    visit(child)
                order.append(v)

        visit(self)
        self.grad = 1
        for v in reversed(order):
            v._backward()


a, b, c = Value(0.3), Value(-0.2), Value(0.5, requires_grad=False)
for step in range(15):
    if step == 8:
        Value.decay = 0.5
    loss = Value(0.0)
    for x, y in [(0.1, 0.9), (0.7, -0.3), (1.9, 0.4)]:
        error = (a * x + b).sin() * c + -y
        loss = loss + error * error
    for p in (a, b, c):
        p.zero_grad()
    loss.backward()
    for p in (a, b, c):
        p.step(0.05)
    print(step, loss.data, a.momentum, b.velocity, c.momentum, c.grad, loss.momentum)
