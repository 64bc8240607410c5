// One round of a workload: recorded, swept, dropped.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace bench {

// What lies behind when a round calls lap(phase).
enum Phase : std::size_t { record, sweep, drop, phases };

// A workload on the numbers of one library. The library's adapter has
//   Number         its type of number
//   start(inputs, operations)
//                  makes them the independent variables of a new recording, which is to have
//                  so many operations
//   sweep(inputs, result, gradient)
//                  ends the recording, and writes the adjoints of the inputs
//   value(result)  the plain number
//   drop()         frees the recording for the next
template <class Peer, class Workload>
class Recorded {
 public:
  using Number = typename Peer::Number;

  // Memory for the vector of inputs, which is the program's own: it lies there before the first
  // recording, as before all others.
  void prepare(std::size_t inputs) {
    inputs_.reserve(inputs);
    std::memset(static_cast<void*>(inputs_.data()), 0, inputs * sizeof(Number));
  }

  // Returns the result; the gradient goes to `gradient`.
  template <class Lap>
  double operator()(const Workload& workload, std::span<const double> in,
                    std::span<double> gradient, Lap&& lap) {
    const double value = [&] {
      inputs_.assign(in.begin(), in.end());
      peer_.start(inputs_, workload.operations());
      Number result = workload(std::span<const Number>(inputs_));
      lap(record);
      peer_.sweep(inputs_, result, gradient);
      lap(sweep);
      return peer_.value(result);
    }();
    inputs_.clear();
    peer_.drop();
    lap(drop);
    return value;
  }

 private:
  Peer peer_;
  std::vector<Number> inputs_;
};

// A workload recorded once, before what is timed, and then evaluated again and again. The library's
// adapter has
//   Number               its type of number
//   start(inputs)        makes them the independent variables of a recording
//   finish(inputs, result)
//                        ends it, and makes the program of value and gradient
//   operator()(in, gradient)
//                        runs that
template <class Peer, class Workload>
class Replayed {
 public:
  using Number = typename Peer::Number;

  template <class Lap>
  double operator()(const Workload& workload, std::span<const double> in,
                    std::span<double> gradient, Lap&& lap) {
    if (!recorded_) {
      std::vector<Number> inputs(in.begin(), in.end());
      peer_.start(inputs);
      const Number result = workload(std::span<const Number>(inputs));
      peer_.finish(inputs, result);
      recorded_ = true;
    }
    lap(record);
    const double value = peer_(in, gradient);
    lap(sweep);
    lap(drop);
    return value;
  }

 private:
  Peer peer_;
  bool recorded_ = false;
};

}  // namespace bench
