"""Operations that count themselves, in a class with methods that decorate and inherit."""

import math


class Base:
    def softplus(self):
        out = Value(math.log1p(math.exp(self.data)), (self,), "softplus")

        def _backward():
            self.grad += out.grad / (1 + math.exp(-self.data))

        out._backward = _backward
        return out


class Value(Base):
    products = 0

    def __init__(self, data, _children=(), _op=""):
        self.data = data
        self.grad = 0.0
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
        Value.products += 1
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def __rmul__(self, other):
        return self * other

    @classmethod
    def zeros(cls, count):
        return [cls(0.0) for _ in range(count)]

    @staticmethod
    def mean(values):
        return sum(values, Value(0.0)) * (1 / len(values))

    @property
    def positive(self):
        return self.data > 0

    def __float__(self):
        return float(self.data)

    def __bool__(self):
        return self.data != 0

    def __eq__(self, other):
        return self.data == (other.data if isinstance(other, Value) else other)

    def __hash__(self):
        return id(self)

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
            v._backward()


w = Value.zeros(3)
print(bool(w[0]), w[0] == w[1], w[0] == 0.0, w[0].positive)
for step in range(8):
    losses = []
    for x, y in [(0.5, 1.0), (-1.0, 2.0), (2.0, 0.5)]:
        error = 2 * (w[0] * x + w[1]).softplus() + w[2] + -y
        losses.append(error * error)
    loss = Value.mean(losses)
    for p in w:
        p.grad = 0.0
    loss.backward()
    for p in w:
        p.data -= 0.05 * p.grad
    print(step, float(loss), Value.products, *(p.grad for p in w))
