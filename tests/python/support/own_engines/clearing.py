"""A sweep that clears the gradients of its graph first, and a relu with slope 1 at 0."""


class Value:
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
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def relu(self):
        out = Value(self.data if self.data >= 0 else 0.0, (self,), "ReLU")

        def _backward():
            self.grad += (self.data >= 0) * out.grad

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
        for v in order:
            v.grad = 0.0
        self.grad = 1.0
        for v in reversed(order):
            v._backward()


w, b = Value(0.0), Value(0.0)
for step in range(10):
    loss = Value(0.0)
    for x, y in [(1.0, 2.0), (2.0, 3.0), (-1.0, 0.5)]:
        error = (w * x + b).relu() + -y
        loss = loss + error * error
    loss.backward()
    loss.backward()  # no more than once
    w.data -= 0.05 * w.grad
    b.data -= 0.05 * b.grad
    print(step, loss.data, w.grad, b.grad)
