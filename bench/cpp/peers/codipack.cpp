// CoDiPack, https://scicomp.rptu.de/software/codi
#include <codi.hpp>
#include <cstddef>
#include <span>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

struct Peer {
  using Number = codi::RealReverse;
  Number::Tape& tape = Number::getTape();

  void start(std::vector<Number>& inputs, std::size_t) {
    tape.setActive();
    for (Number& input : inputs) tape.registerInput(input);
  }
  void sweep(const std::vector<Number>& inputs, Number& result, std::span<double> gradient) {
    tape.registerOutput(result);
    tape.setPassive();
    result.setGradient(1.0);
    tape.evaluate();
    for (std::size_t i = 0; i < inputs.size(); ++i) gradient[i] = inputs[i].getGradient();
  }
  double value(const Number& result) { return result.getValue(); }
  void drop() { tape.reset(); }
};

template <class Workload>
using Round = bench::Recorded<Peer, Workload>;

}  // namespace

int main(int argc, char** argv) {
  return bench::run<Round, bench::ByHand>(argc, argv, CODI_VERSION);
}
