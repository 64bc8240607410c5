// The core's program of value and gradient, replayed.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <tapegrad/program.hpp>
#include <tapegrad/version.hpp>
#include <vector>

#include "../by_hand.hpp"
#include "../contestant.hpp"
#include "../measure.hpp"

namespace {

class Peer {
 public:
  using Number = tapegrad::Symbol;

  void start(std::vector<Number>& inputs) {
    tapegrad::Recording::current = &recording_;
    for (Number& input : inputs) {
      inputs_.push_back(recording_.input(input.primal()));
      input = Number::at(recording_, inputs_.back());
    }
  }
  void finish(const std::vector<Number>& inputs, const Number& result) {
    const tapegrad::ActiveRange range(recording_, inputs_, recording_.size());
    tapegrad::ReverseSweep<Number> sweep(range);
    sweep.seed(result.place(), Number(1.0));
    sweep.run();
    std::vector<Number> outputs{result};
    for (const Number& input : inputs) outputs.push_back(sweep.adjoint(input.place()));
    path_.emplace(std::make_shared<const tapegrad::Program>(
                      tapegrad::simplified(recording_, inputs_, outputs)),
                  nullptr);
    recording_.clear();
    tapegrad::Recording::current = nullptr;
  }
  double operator()(std::span<const double> in, std::span<double> gradient) {
    path_->replay(in);
    const std::vector<tapegrad::ValueId>& outputs = path_->program->outputs;
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = path_->numbers[outputs[i + 1]];
    return path_->numbers[outputs[0]];
  }

 private:
  tapegrad::Recording recording_;
  std::vector<tapegrad::ValueId> inputs_;
  std::optional<tapegrad::CachedProgram> path_;
};

template <class Workload>
using Round = bench::Replayed<Peer, Workload>;

}  // namespace

int main(int argc, char** argv) {
  return bench::run<Round, bench::ByHand, bench::Scaling::no>(argc, argv, TAPEGRAD_VERSION);
}
