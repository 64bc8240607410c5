// Values and traced numbers cross between two libraries with hidden visibility and a program: all
// have one tape a thread.
#include <cstdio>
#include <thread>

#include "shared.hpp"

namespace {

int failures = 0;

void expect(const char* what, double got, double wanted) {
  if (got == wanted) return;
  std::printf("%s is %g, not %g\n", what, got, wanted);
  ++failures;
}

void use() {
  const tapegrad::Value x = made(2.0), other = 5.0;
  const tapegrad::Value y = cubed(x) + other * x;
  y.backward();
  expect("y", y.data(), 18.0);
  expect("dy/dx", x.grad(), 17.0);
  expect("dy/dother", other.grad(), 2.0);

  tapegrad::CompactTape trace(1 << 10);
  const tapegrad::Active t = trace.input(3.0);
  const tapegrad::Active s = squared(doubled(t));
  trace.backward(s);
  expect("s", s.data(), 36.0);
  expect("ds/dt", trace.adjoint(t), 24.0);
}

}  // namespace

int main() {
  use();
  std::thread(use).join();
  return failures;
}
