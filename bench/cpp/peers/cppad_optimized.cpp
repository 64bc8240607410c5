// CppAD's function, optimised once and evaluated again and again.
#include <algorithm>
#include <cppad/cppad.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

class Peer {
 public:
  using Number = CppAD::AD<double>;

  void start(std::vector<Number>& inputs) { CppAD::Independent(inputs); }
  void finish(const std::vector<Number>& inputs, const Number& result) {
    function_.Dependent(inputs, std::vector<Number>{result});
    function_.optimize();
  }
  double operator()(std::span<const double> in, std::span<double> gradient) {
    inputs_.assign(in.begin(), in.end());
    const double value = function_.Forward(0, inputs_)[0];
    const std::vector<double> adjoints = function_.Reverse(1, weight_);
    std::copy(adjoints.begin(), adjoints.end(), gradient.begin());
    return value;
  }

 private:
  CppAD::ADFun<double> function_;
  std::vector<double> inputs_;
  const std::vector<double> weight_{1.0};
};

template <class Workload>
using Round = bench::Replayed<Peer, Workload>;

}  // namespace

int main(int argc, char** argv) {
  CppAD::thread_alloc::hold_memory(true);
  return bench::run<Round, bench::ByHand, bench::Scaling::no>(
      argc, argv, std::string(CPPAD_PACKAGE_STRING).substr(sizeof("cppad-") - 1));
}
