// A program: the immutable, optimised form of a recording, for replays with other inputs.
//
// The numbers of a replay lie in one array: constants, inputs, then the results in the order of
// their computation. A run is a sequence of instructions of one operation, so that the interpreter
// looks the operation up once for all of them. In a chain each instruction needs the result just
// before it. A run with a carry takes that operand from a register, not from the memory to which it
// was just stored.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad {

// Straight-line code with guards.
class Program {
 public:
  // The operands of an instruction that are the result just before it.
  enum class Carry : std::uint16_t { none, first, second, both };

  // Successive instructions of one operation. Their operands follow each other, and so do their
  // results.
  struct Run {
    Op op;
    Carry carry;
    std::uint32_t count;
    bool operator==(const Run&) const = default;
  };

  std::vector<double> constants;
  std::uint32_t inputs = 0;
  std::vector<Run> runs;
  std::vector<ValueId> operands;
  std::size_t guard_runs = 0;  // number of runs that the guards need; they come first
  std::vector<Guard> guards;
  std::vector<ValueId> outputs;

  // The number of values and the number of operations of a replay, and the bytes that it touches.
  std::size_t values() const noexcept { return constants.size() + inputs + size(); }
  std::size_t size() const noexcept {
    std::size_t count = 0;
    for (const Run& run : runs) count += run.count;
    return count;
  }
  std::size_t bytes() const noexcept {
    return values() * sizeof(double) + runs.size() * sizeof(Run) +
           operands.size() * sizeof(ValueId) + guards.size() * sizeof(Guard) +
           outputs.size() * sizeof(ValueId);
  }

  // The result of a replay in which no guard fails.
  static constexpr std::size_t all_hold = ~std::size_t{0};

  // Replays the program. `numbers` has values() elements and begins with the constants and the
  // inputs. Returns all_hold and leaves all results in `numbers`, or returns the index of the first
  // guard that fails; the numbers that no guard needs are then not computed.
  std::size_t replay(double* numbers) const noexcept {
    Cursor at{numbers + constants.size() + inputs, operands.data()};
    at = run(0, guard_runs, numbers, at);
    for (std::size_t k = 0; k < guards.size(); ++k)
      if (!same(observe(guards[k], numbers), guards[k].outcome)) return k;
    run(guard_runs, runs.size(), numbers, at);
    return all_hold;
  }

  // The outcome of a guard for the numbers of a replay.
  static double observe(const Guard& guard, const double* numbers) noexcept {
    return tapegrad::observe(guard.kind, numbers[guard.operand[0]],
                             guard.operand[1] == no_value ? 0.0 : numbers[guard.operand[1]]);
  }

 private:
  // The next result and the next operand of a replay.
  struct Cursor {
    double* result;
    const ValueId* operand;
  };

  Cursor run(std::size_t first, std::size_t last, const double* numbers, Cursor at) const noexcept {
    double carried = first < last && at.result != numbers ? at.result[-1] : 0.0;
    for (std::size_t k = first; k < last; ++k) {
      const auto [op, carry, count] = runs[k];
      const auto code = static_cast<std::size_t>(op);
      carried = executions[static_cast<std::size_t>(carry)][code](numbers, at, count, carried);
      at = {at.result + count, at.operand + count * operand_count(op)};
    }
    return at;
  }

  // Executes one run. Returns its last result.
  template <Carry carry, std::size_t K>
  static double execute(const double* numbers, Cursor at, std::uint32_t count,
                        double carried) noexcept {
    constexpr const auto& e = std::get<K>(ops::table);
    constexpr std::size_t arity = operand_count(static_cast<Op>(K));
    const auto number = [&](std::size_t k) {
      const bool is_carried = k < 2 && (static_cast<int>(carry) >> k & 1) != 0;
      return is_carried ? carried : numbers[at.operand[k]];
    };
    for (double* const end = at.result + count; at.result != end;
         ++at.result, at.operand += arity) {
      if constexpr (arity == 1) carried = e.value(number(0));
      else if constexpr (arity == 2) carried = e.value(number(0), number(1));
      else if constexpr (arity == 3) carried = e.value(number(0), number(1), number(2));
      *at.result = carried;
    }
    return carried;
  }

  template <Carry carry>
  static constexpr auto executions_with = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<double (*)(const double*, Cursor, std::uint32_t, double) noexcept,
                      sizeof...(K)>{execute<carry, K>...};
  }
  (std::make_index_sequence<ops::count>());
  static constexpr std::array executions = {
      executions_with<Carry::none>, executions_with<Carry::first>, executions_with<Carry::second>,
      executions_with<Carry::both>};
};

}  // namespace tapegrad
