// Adept, http://www.met.reading.ac.uk/clouds/adept
#include <adept.h>
#include <cstddef>
#include <span>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

// One stack a thread, whichever workload it records.
adept::Stack& stack() {
  static adept::Stack only;
  return only;
}

struct Peer {
  using Number = adept::adouble;

  void start(std::vector<Number>&, std::size_t) { stack().new_recording(); }
  void sweep(const std::vector<Number>& inputs, Number& result, std::span<double> gradient) {
    result.set_gradient(1.0);
    stack().reverse();
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i].get_gradient(gradient[i]);
  }
  double value(const Number& result) { return result.value(); }
  void drop() {}  // the next recording begins where this one did
};

template <class Workload>
using Round = bench::Recorded<Peer, Workload>;

}  // namespace

int main(int argc, char** argv) {
  stack();  // before the first number
  return bench::run<Round, bench::ByHand>(argc, argv, ADEPT_VERSION_STR);
}
