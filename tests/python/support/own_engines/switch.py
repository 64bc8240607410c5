"""A switch of the class that its constructor consults: no graph while it is off."""

from contextlib import contextmanager


class Value:
    recording = True

    def __init__(self, data, _children=(), _op=""):
        self.data = data
        self.grad = 0.0
        self._op = _op
        self._prev = set(_children) if Value.recording else set()
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

    def backward(self):
        order, seen = [], set()

        def visit(v):
            if v not in seen:
                seen.add(v)
                for child in v._prev:
                    visit(child)
                order.append(v)

        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            v._backward()


@contextmanager
def no_grad():
    Value.recording = False
    try:
        yield
    finally:
        Value.recording = True


w, target = Value(0.5), Value(1.2)
for step in range(8):
    with no_grad():
        frozen = w * 0.9  # no gradient goes through it
    error = w * frozen + target * -1
    loss = error * error
    w.grad = 0.0
    loss.backward()
    w.data -= 0.2 * w.grad
    print(step, loss.data, w.grad, len(frozen._prev))
