// CppAD, https://cppad.readthedocs.io
#include <cppad/cppad.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

struct Peer {
  using Number = CppAD::AD<double>;
  CppAD::ADFun<double> function;

  void start(std::vector<Number>& inputs, std::size_t) { CppAD::Independent(inputs); }
  void sweep(const std::vector<Number>& inputs, const Number& result, std::span<double> gradient) {
    const std::vector<Number> results{result};
    function.Dependent(inputs, results);
    std::vector<double> primals(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) primals[i] = CppAD::Value(inputs[i]);
    function.Forward(0, primals);  // the reverse sweep needs it
    const std::vector<double> adjoints = function.Reverse(1, std::vector<double>{1.0});
    std::copy(adjoints.begin(), adjoints.end(), gradient.begin());
  }
  double value(const Number& result) { return CppAD::Value(CppAD::Var2Par(result)); }
  void drop() {}  // the next recording takes its place
};

template <class Workload>
using Round = bench::Recorded<Peer, Workload>;

}  // namespace

int main(int argc, char** argv) {
  CppAD::thread_alloc::hold_memory(true);  // what is freed is kept for the next recording
  return bench::run<Round, bench::ByHand>(
      argc, argv, std::string(CPPAD_PACKAGE_STRING).substr(sizeof("cppad-") - 1));
}
