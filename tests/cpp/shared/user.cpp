// Another one, that computes with them.
#include "shared.hpp"

[[gnu::visibility("default")]] tapegrad::Value cubed(const tapegrad::Value& x) { return x * x * x; }

[[gnu::visibility("default")]] tapegrad::Traced squared(const tapegrad::Traced& x) { return x * x; }
