// A program: a recording made ready to run again on other inputs. It never changes.
//
// Its numbers lie in one array: constants, inputs, then the results in the order in which they are
// computed. Instructions of one operation that follow each other are a run, so that the operation
// is looked up once for all of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "recording.hpp"

namespace tapegrad {

class Program {
 public:
  // Operands of a run's instructions follow each other; its results too.
  struct Run {
    Op op;
    std::uint32_t count;
  };

  std::vector<double> constants;
  std::uint32_t inputs = 0;
  std::vector<Run> runs;
  std::vector<Place> operands;
  std::size_t guard_runs = 0;  // of the runs, those that guards need: they come first
  std::vector<Guard> guards;
  std::vector<Place> outputs;

  // How many numbers a replay works on, how many operations it does, and the bytes it touches.
  std::size_t values() const noexcept { return constants.size() + inputs + size(); }
  std::size_t size() const noexcept {
    std::size_t count = 0;
    for (const Run& run : runs) count += run.count;
    return count;
  }
  std::size_t bytes() const noexcept {
    return values() * sizeof(double) + runs.size() * sizeof(Run) + operands.size() * sizeof(Place) +
           guards.size() * sizeof(Guard) + outputs.size() * sizeof(Place);
  }

  static constexpr std::size_t all_hold = ~std::size_t{0};

  // Runs on `numbers`, which begin with the constants and the inputs: all results are there
  // afterwards, or, where a guard is broken, which one it is.
  std::size_t replay(double* numbers) const noexcept {
    Position at{numbers + constants.size() + inputs, operands.data()};
    run(0, guard_runs, numbers, at);
    for (std::size_t k = 0; k < guards.size(); ++k)
      if (!same(ask(guards[k], numbers), guards[k].outcome)) return k;
    run(guard_runs, runs.size(), numbers, at);
    return all_hold;
  }

  // What a guard is told by the numbers of a replay.
  static double ask(const Guard& guard, const double* numbers) noexcept {
    return tapegrad::ask(guard.kind, numbers[guard.operand[0]],
                         guard.operand[1] == no_place ? 0.0 : numbers[guard.operand[1]]);
  }

 private:
  struct Position {
    double* result;
    const Place* operand;
  };

  void run(std::size_t first, std::size_t last, const double* numbers,
           Position& at) const noexcept {
    for (std::size_t k = first; k < last; ++k)
      executions[static_cast<std::size_t>(runs[k].op)](numbers, at, runs[k].count);
  }

  template <std::size_t K>
  static void execute(const double* numbers, Position& at, std::uint32_t count) noexcept {
    constexpr const auto& e = std::get<K>(ops::table);
    constexpr std::size_t arity = operand_count(static_cast<Op>(K));
    double* result = at.result;
    const Place* operand = at.operand;
    for (double* const end = result + count; result != end; ++result, operand += arity) {
      if constexpr (arity == 1) *result = e.value(numbers[operand[0]]);
      else if constexpr (arity == 2) *result = e.value(numbers[operand[0]], numbers[operand[1]]);
      else if constexpr (arity == 3)
        *result = e.value(numbers[operand[0]], numbers[operand[1]], numbers[operand[2]]);
    }
    at = {result, operand};
  }

  static constexpr auto executions = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<void (*)(const double*, Position&, std::uint32_t) noexcept, sizeof...(K)>{
        execute<K>...};
  }
  (std::make_index_sequence<ops::count>());
};

}  // namespace tapegrad
