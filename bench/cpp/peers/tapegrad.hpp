#pragma once

#include <cstddef>
#include <span>
#include <tapegrad/value.hpp>
#include <vector>

#include "../contestant.hpp"

namespace bench {

struct Tapegrad {
  using Number = tapegrad::Value;
  void start(std::vector<Number>&, std::size_t) {}
  void sweep(const std::vector<Number>& inputs, const Number& result, std::span<double> gradient) {
    result.backward();
    for (std::size_t i = 0; i < inputs.size(); ++i) gradient[i] = inputs[i].grad();
  }
  double value(const Number& result) { return result.data(); }
  void drop() {}  // the graph goes with its result
};

template <class Workload>
using TapegradRound = Recorded<Tapegrad, Workload>;

}  // namespace bench
