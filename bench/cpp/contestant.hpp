// One round of a workload: recorded, swept, dropped.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace bench {

// What lies behind when a round calls lap(phase).
enum Phase : std::size_t { record, sweep, drop, phases };

// A workload on the numbers of one library. The library's adapter has
//   Number                 its type of number
//   start(inputs)          makes them the independent variables of a new recording
//   sweep(inputs, result)  ends the recording and propagates adjoints from the result
//   gradient(input)        the adjoint, after the sweep
//   drop()                 frees the recording for the next
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
      peer_.start(inputs_);
      Number result = workload(std::span<const Number>(inputs_));
      lap(record);
      peer_.sweep(inputs_, result);
      for (std::size_t i = 0; i < inputs_.size(); ++i) gradient[i] = peer_.gradient(inputs_[i]);
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
