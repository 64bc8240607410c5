#pragma once

#include <tapegrad/compact_tape.hpp>
#include <tapegrad/value.hpp>

tapegrad::Value made(double x);
tapegrad::Value cubed(const tapegrad::Value& x);
tapegrad::Traced doubled(const tapegrad::Traced& x);
tapegrad::Traced squared(const tapegrad::Traced& x);
