#include <cstdio>

#include <tapegrad/value.hpp>
#include <tapegrad/version.hpp>

int main() {
  tapegrad::Value a = 2.0, b = -3.0, c = 6.0;
  const auto y = tanh(a * b + c);
  y.backward();
  std::printf("%s %g %g %g\n", TAPEGRAD_VERSION, y.data(), a.grad(), b.grad());
}
