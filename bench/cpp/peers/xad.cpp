// XAD, https://auto-differentiation.github.io
#include <XAD/XAD.hpp>
#include <cstddef>
#include <span>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

using Mode = xad::adj<double>;

// One tape a thread, whichever workload it records.
Mode::tape_type& tape() {
  static Mode::tape_type only;
  return only;
}

struct Peer {
  using Number = Mode::active_type;

  void start(std::vector<Number>& inputs, std::size_t) {
    tape().registerInputs(inputs);
    tape().newRecording();
  }
  void sweep(const std::vector<Number>& inputs, Number& result, std::span<double> gradient) {
    tape().registerOutput(result);
    xad::derivative(result) = 1.0;
    tape().computeAdjoints();
    for (std::size_t i = 0; i < inputs.size(); ++i) gradient[i] = xad::derivative(inputs[i]);
  }
  double value(const Number& result) { return xad::value(result); }
  void drop() { tape().clearAll(); }
};

template <class Workload>
using Round = bench::Recorded<Peer, Workload>;

}  // namespace

int main(int argc, char** argv) {
  tape();  // before the first number
  return bench::run<Round, bench::ByHand>(argc, argv, XAD_VERSION_STRING);
}
