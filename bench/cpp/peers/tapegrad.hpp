#pragma once

#include <tapegrad/value.hpp>
#include <vector>

#include "../contestant.hpp"

namespace bench {

struct Tapegrad {
  using Number = tapegrad::Value;
  void start(std::vector<Number>&) {}
  void sweep(const std::vector<Number>&, const Number& result) { result.backward(); }
  double gradient(const Number& input) { return input.grad(); }
  double value(const Number& result) { return result.data(); }
  void drop() {}  // the graph goes with its result
};

template <class Workload>
using TapegradRound = Recorded<Tapegrad, Workload>;

}  // namespace bench
