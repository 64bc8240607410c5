"""microgpt's dialect: slots and local gradients, with a softmax and an operation of its own."""

import math
import random


class Value:
    __slots__ = ("data", "grad", "_children", "_local_grads")

    def __init__(self, data, children=(), local_grads=()):
        self.data = data
        self.grad = 0
        self._children = children
        self._local_grads = local_grads

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, other):
        return Value(self.data**other, (self,), (other * self.data ** (other - 1),))

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def exp(self):
        return Value(math.exp(self.data), (self,), (math.exp(self.data),))

    def relu(self):
        return Value(max(0, self.data), (self,), (float(self.data > 0),))

    def squareplus(self):
        root = math.sqrt(self.data**2 + 4)
        return Value((self.data + root) / 2, (self,), ((1 + self.data / root) / 2,))

    def __neg__(self):
        return self * -1

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return other + (-self)

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return other * self**-1

    def backward(self):
        topo = []
        visited = set()

        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._children:
                    build_topo(child)
                topo.append(v)

        build_topo(self)
        self.grad = 1
        for v in reversed(topo):
            for child, local_grad in zip(v._children, v._local_grads):
                child.grad += local_grad * v.grad


def softmax(logits):
    top = max(v.data for v in logits)
    exps = [(v - top).exp() for v in logits]
    total = sum(exps)
    return [e / total for e in exps]


random.seed(42)
weights = [[Value(random.gauss(0, 0.5)) for _ in range(3)] for _ in range(4)]
flat = [w for row in weights for w in row]
m, v = [0.0] * len(flat), [0.0] * len(flat)
data = [([1.0, 0.5, -1.0], 2), ([0.0, 1.0, 1.0], 0), ([-1.0, 0.25, 0.5], 3)]
for step in range(12):
    losses = []
    for x, target in data:
        logits = [sum(w * xi for w, xi in zip(row, x)) for row in weights]
        logits = [z.relu() + z.squareplus() for z in logits]
        losses.append(-softmax(logits)[target].log())
    loss = (1 / len(losses)) * sum(losses)
    loss.backward()
    for i, p in enumerate(flat):
        m[i] = 0.9 * m[i] + 0.1 * p.grad
        v[i] = 0.99 * v[i] + 0.01 * p.grad**2
        p.data -= (
            0.1
            * (m[i] / (1 - 0.9 ** (step + 1)))
            / ((v[i] / (1 - 0.99 ** (step + 1))) ** 0.5 + 1e-8)
        )
        p.grad = 0
    print(step, loss.data)
