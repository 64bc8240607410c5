// Stan Math, https://mc-stan.org/math
// Old versions have the scalars apart.
#if __has_include(<stan/math/rev/scal.hpp>)
#include <stan/math/rev/scal.hpp>
#else
#include <stan/math/rev.hpp>
#endif
#include <cstddef>
#include <span>
#include <stan/math/version.hpp>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

struct Peer {
  using Number = stan::math::var;

  void start(std::vector<Number>&, std::size_t) {}
  void sweep(const std::vector<Number>& inputs, const Number& result, std::span<double> gradient) {
    stan::math::grad(result.vi_);
    for (std::size_t i = 0; i < inputs.size(); ++i) gradient[i] = inputs[i].adj();
  }
  double value(const Number& result) { return result.val(); }
  void drop() { stan::math::recover_memory(); }
};

template <class Workload>
using Round = bench::Recorded<Peer, Workload>;

}  // namespace

int main(int argc, char** argv) {
  return bench::run<Round, bench::ByHand>(argc, argv,
                                          std::string(stan::math::MAJOR_VERSION) + "." +
                                              std::string(stan::math::MINOR_VERSION) + "." +
                                              std::string(stan::math::PATCH_VERSION));
}
