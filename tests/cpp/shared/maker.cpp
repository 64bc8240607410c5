// A library with hidden visibility that makes Values.
#include "shared.hpp"

[[gnu::visibility("default")]] tapegrad::Value made(double x) { return tapegrad::Value(x); }

[[gnu::visibility("default")]] tapegrad::Active doubled(const tapegrad::Active& x) {
  return 2.0 * x;
}
