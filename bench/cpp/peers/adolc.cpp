// ADOL-C, https://github.com/coin-or/ADOL-C
#include <adolc/adolc.h>
#include <cstddef>
#include <span>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

struct Peer {
  using Number = adouble;
  static constexpr short tag = 1;

  void start(std::vector<Number>& inputs, std::size_t operations) {
    // Large enough that what is recorded stays in memory and out of files.
    const auto buffer = static_cast<unsigned>(4 * (operations + inputs.size()) + 1000);
    trace_on(tag, 1, buffer, buffer, buffer, buffer);
    for (Number& input : inputs) input <<= input.getValue();
  }
  void sweep(const std::vector<Number>&, Number& result, std::span<double> gradient) {
    double primal, seed = 1.0;
    result >>= primal;
    trace_off();
    fos_reverse(tag, 1, static_cast<int>(gradient.size()), &seed, gradient.data());
  }
  double value(const Number& result) { return result.getValue(); }
  void drop() {}  // the next recording takes its place
};

template <class Workload>
using Round = bench::Recorded<Peer, Workload>;

}  // namespace

int main(int argc, char** argv) {
  return bench::run<Round, bench::ByHand>(argc, argv, BENCH_PEER_VERSION);
}
