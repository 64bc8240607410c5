// Another one, that computes with them.
#include "shared.hpp"

[[gnu::visibility("default")]] tapegrad::Value cubed(const tapegrad::Value& x) { return x * x * x; }

[[gnu::visibility("default")]] tapegrad::Active squared(const tapegrad::Active& x) { return x * x; }
