// One round of a workload: recorded, swept, dropped.
#pragma once

#include <cstddef>
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

}  // namespace bench
