#pragma once

#include <cstddef>
#include <span>
#include <tapegrad/compact_tape.hpp>
#include <tapegrad/value.hpp>
#include <vector>

#include "../contestant.hpp"

namespace bench {

struct Traces {
  using Number = tapegrad::Active;
  static inline tapegrad::CompactTape trace{tapegrad::CompactTape::most};  // a thread has one

  void start(std::vector<Number>& inputs, std::size_t) {
    for (Number& input : inputs) input = trace.input(input.data());
  }
  void sweep(const std::vector<Number>& inputs, const Number& result, std::span<double> gradient) {
    trace.backward(result);
    for (std::size_t i = 0; i < inputs.size(); ++i) gradient[i] = trace.adjoint(inputs[i]);
  }
  double value(const Number& result) { return result.data(); }
  void drop() { trace.clear(); }
};

struct Values {
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
using TraceRound = Recorded<Traces, Workload>;
template <class Workload>
using ValueRound = Recorded<Values, Workload>;

}  // namespace bench
