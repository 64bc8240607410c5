#pragma once

#include <tapegrad/compact_tape.hpp>
#include <tapegrad/value.hpp>

tapegrad::Value made(double x);
tapegrad::Value cubed(const tapegrad::Value& x);
tapegrad::Active doubled(const tapegrad::Active& x);
tapegrad::Active squared(const tapegrad::Active& x);
