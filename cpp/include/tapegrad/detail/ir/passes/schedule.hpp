// The layout of a program's instructions: their order, and the runs that they form.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tapegrad/detail/ir/program.hpp"

namespace tapegrad::detail {

// An operation and its operands, without a value.
struct Computation {
  Op op;
  ValueId operand[3];
  bool operator==(const Computation&) const = default;
};

// Memory that one simplification leaves to the next of this thread: fresh pages would cost a third
// of its time. A user takes spans of the members once, because every access to a thread-local
// variable looks its address up anew.
struct Scratch {
  std::vector<Computation> code;
  std::vector<double> folded;
  std::vector<Program::Run> runs;
  std::vector<ValueId> slots, places, final_place, part, order, position;
  std::vector<std::uint8_t> wanted;

  // Clears the memory, and frees it after a large recording.
  void tidy() {
    if (code.capacity() > most) *this = {};
    code.clear();
    folded.clear();
  }
  static constexpr std::size_t most = std::size_t{1} << 19;  // in operations
};
inline thread_local Scratch scratch;

// The instructions that can run now: a FIFO queue for each operation.
class Ready {
 public:
  explicit Ready(std::size_t most) : next_(most) {}

  void add(Op op, std::uint32_t k) {
    Queue& queue = queues_[index(op)];
    if (queue.count++ == 0) {
      queue.first = k;
      occupied_[index(op) / 64] |= bit(op);
    } else {
      next_[queue.last] = k;
    }
    queue.last = k;
  }

  // The operation with the most instructions in its queue.
  Op most() const {
    std::size_t best = 0;
    std::uint32_t count = 0;
    for (std::size_t word = 0; word < occupied_.size(); ++word)
      for (std::uint64_t left = occupied_[word]; left != 0; left &= left - 1) {
        const std::size_t op = 64 * word + static_cast<std::size_t>(std::countr_zero(left));
        if (queues_[op].count > count) best = op, count = queues_[op].count;
      }
    return static_cast<Op>(best);
  }

  bool any(Op op) const { return queues_[index(op)].count > 0; }

  std::uint32_t take(Op op) {
    Queue& queue = queues_[index(op)];
    const std::uint32_t k = queue.first;
    if (--queue.count == 0) occupied_[index(op) / 64] &= ~bit(op);
    else queue.first = next_[k];
    return k;
  }

 private:
  // The length of a queue, and its ends; next_ links the instructions between.
  struct Queue {
    std::uint32_t count = 0, first = 0, last = 0;
  };
  static std::size_t index(Op op) { return static_cast<std::size_t>(op); }
  static std::uint64_t bit(Op op) { return std::uint64_t{1} << index(op) % 64; }

  std::array<Queue, ops::count> queues_{};
  std::array<std::uint64_t, (ops::count + 63) / 64> occupied_{};
  std::vector<std::uint32_t> next_;
};

// Returns an order in which the instructions `wanted` can run. It groups instructions of one
// operation within a window of the recorded order. A larger window would group more, but results
// would have left the cache before their use.
inline std::span<const ValueId> scheduled(std::span<const Computation> code,
                                          std::span<const ValueId> wanted, std::size_t window) {
  scratch.order.resize(wanted.size());
  const std::span<ValueId> order = scratch.order;
  std::size_t done = 0;
  window = (std::min)(window, wanted.size());
  Ready ready(window);
  // For each instruction of a window: the number of operands still to come, and the head of the
  // list of its users.
  struct Waiting {
    std::uint32_t operands, first_user;
  };
  constexpr std::uint32_t none = ~std::uint32_t{0};
  std::vector<Waiting> waiting(window);
  // An element of a list of users.
  struct User {
    std::uint32_t user, next;
  };
  std::vector<User> users;
  scratch.position.assign(code.size(), none);
  const std::span<std::uint32_t> position = scratch.position;
  for (std::size_t begin = 0; begin < wanted.size(); begin += window) {
    const std::span<const ValueId> part(wanted.data() + begin,
                                        (std::min)(window, wanted.size() - begin));
    users.clear();
    for (std::uint32_t k = 0; k < part.size(); ++k) {
      position[part[k]] = k;
      waiting[k] = {0, none};
      const Computation& instruction = code[part[k]];
      for (const ValueId operand : instruction.operand) {
        if (operand >= constant_tag || operand < part[0] || position[operand] == none) continue;
        Waiting& on = waiting[position[operand]];
        ++waiting[k].operands;
        users.push_back({k, on.first_user});
        on.first_user = static_cast<std::uint32_t>(users.size() - 1);
      }
      if (waiting[k].operands == 0) ready.add(instruction.op, k);
    }
    for (std::size_t left = part.size(); left > 0;) {
      const Op op = ready.most();
      for (; ready.any(op); --left) {
        const std::uint32_t k = ready.take(op);
        order[done++] = part[k];
        for (std::uint32_t u = waiting[k].first_user; u != none; u = users[u].next)
          if (--waiting[users[u].user].operands == 0)
            ready.add(code[part[users[u].user]].op, users[u].user);
      }
    }
  }
  return order;
}

// Forms runs of instructions that have one operation. Instructions with a carry get a run of their
// own where that is faster: a single one between other operations, or several in a row.
class Runs {
 public:
  using Run = Program::Run;
  using Carry = Program::Carry;

  Runs() { runs_.clear(); }

  std::span<const Run> all() const { return runs_; }

  // Begins a part of the program. No run extends from one part into the next.
  void begin_part() { first_ = runs_.size(); }

  void add(Op op, Carry carry) {
    if (runs_.size() == first_ || runs_.back().op != op) return begin({op, carry, 1});
    row_ = carry == last_ ? row_ + 1 : 1;
    last_ = carry;
    Run& run = runs_.back();
    if (run.carry != carry && run.carry != Carry::none) {
      if (run.count >= long_enough) return begin({op, carry, 1});
      run.carry = Carry::none;
    }
    ++run.count;
    if (run.carry == carry || row_ < long_enough) return;
    run.count -= row_;
    if (run.count == 0) runs_.pop_back();
    begin({op, carry, row_});
  }

 private:
  static constexpr std::uint32_t long_enough = 4;  // instructions that are worth a run

  void begin(const Run& run) {
    runs_.push_back(run);
    row_ = run.count;
    last_ = run.carry;
  }

  std::vector<Run>& runs_ = scratch.runs;
  std::size_t first_ = 0;  // first run of the part
  Carry last_ = Carry::none;
  std::uint32_t row_ = 0;  // number of last instructions with the carry last_
};

}  // namespace tapegrad::detail
