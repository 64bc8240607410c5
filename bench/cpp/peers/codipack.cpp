// CoDiPack: https://scicomp.rptu.de/software/codi
#include <codi.hpp>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

struct CoDiPack {
  using Number = codi::RealReverse;
  using Tape = Number::Tape;
  Tape& tape = Number::getTape();

  void start(std::vector<Number>& inputs) {
    tape.setActive();
    for (Number& input : inputs) tape.registerInput(input);
  }
  void sweep(const std::vector<Number>&, Number& result) {
    tape.registerOutput(result);
    tape.setPassive();
    result.setGradient(1.0);
    tape.evaluate();
  }
  double gradient(const Number& input) { return input.getGradient(); }
  double value(const Number& result) { return result.getValue(); }
  void drop() { tape.reset(); }
};

template <class Workload>
using CoDiPackRound = bench::Recorded<CoDiPack, Workload>;

}  // namespace

int main(int argc, char** argv) {
  return bench::run<CoDiPackRound, bench::ByHand>(argc, argv, CODI_VERSION);
}
