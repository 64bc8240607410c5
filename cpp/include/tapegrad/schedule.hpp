// How a program's instructions are laid out: their order, and the runs that they make.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "program.hpp"

namespace tapegrad::detail {

// Memory of a simplification that the next one uses again: new pages would be a third of its time.
struct Scratch {
  std::vector<Place> slots;
  std::vector<Instruction> code;
  std::vector<Symbol> symbols;
  std::vector<Place> final_place, part, order, position;
  std::vector<std::uint8_t> wanted;

  // What a large recording took is given back.
  void tidy() {
    if (code.capacity() > most) *this = {};
    code.clear();
  }
  static constexpr std::size_t most = std::size_t{1} << 18;
};
inline thread_local Scratch scratch;

// Instructions that can run now, first come first served, for each operation.
class Ready {
 public:
  explicit Ready(std::size_t most) : next_(most) {}

  void add(Op op, std::uint32_t k) {
    Queue& queue = queues_[static_cast<std::size_t>(op)];
    if (queue.count++ == 0) {
      queue.first = k;
      occupied_.push_back(op);
    } else {
      next_[queue.last] = k;
    }
    queue.last = k;
  }

  // The operation that most of them wait for.
  Op most() const {
    return *std::max_element(occupied_.begin(), occupied_.end(), [&](Op x, Op y) {
      return queues_[static_cast<std::size_t>(x)].count <
             queues_[static_cast<std::size_t>(y)].count;
    });
  }

  bool any(Op op) const { return queues_[static_cast<std::size_t>(op)].count > 0; }

  std::uint32_t take(Op op) {
    Queue& queue = queues_[static_cast<std::size_t>(op)];
    const std::uint32_t k = queue.first;
    if (--queue.count == 0) std::erase(occupied_, op);
    else queue.first = next_[k];
    return k;
  }

 private:
  struct Queue {
    std::uint32_t count = 0, first = 0, last = 0;
  };
  std::array<Queue, ops::count> queues_{};
  std::vector<Op> occupied_;
  std::vector<std::uint32_t> next_;
};

// The order in which instructions run: those of one operation together as far as a window of the
// recorded order allows. Further, results would be read long after they have left the cache.
inline const std::vector<Place>& scheduled(const std::vector<Instruction>& code,
                                           const std::vector<Place>& wanted, std::size_t window) {
  std::vector<Place>& order = scratch.order;
  order.clear();
  order.reserve(wanted.size());
  window = std::min(window, wanted.size());
  Ready ready(window);
  // Of each instruction of a window: how many of its operands are to come, and who waits for it.
  struct Waiting {
    std::uint32_t operands, first_user;
  };
  constexpr std::uint32_t none = ~std::uint32_t{0};
  std::vector<Waiting> waiting(window);
  struct User {
    std::uint32_t user, next;
  };
  std::vector<User> users;
  std::vector<std::uint32_t>& position = scratch.position;
  position.assign(code.size(), none);
  for (std::size_t begin = 0; begin < wanted.size(); begin += window) {
    const std::span<const Place> part(wanted.data() + begin,
                                      std::min(window, wanted.size() - begin));
    users.clear();
    for (std::uint32_t k = 0; k < part.size(); ++k) {
      position[part[k]] = k;
      waiting[k] = {0, none};
      const Instruction& instruction = code[part[k]];
      for (const Place operand : instruction.operand) {
        if (operand >= constant_bit || operand < part[0] || position[operand] == none) continue;
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
        order.push_back(part[k]);
        for (std::uint32_t u = waiting[k].first_user; u != none; u = users[u].next)
          if (--waiting[users[u].user].operands == 0)
            ready.add(code[part[users[u].user]].op, users[u].user);
      }
    }
  }
  return order;
}

// Puts instructions of one operation together, and those that carry apart where it pays: alone
// between other operations, or in a row.
class Runs {
 public:
  using Run = Program::Run;
  using Carry = Program::Carry;

  explicit Runs(std::vector<Run>& runs) : runs_(runs), first_(runs.size()) {}

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
  static constexpr std::uint32_t long_enough = 4;

  void begin(const Run& run) {
    runs_.push_back(run);
    row_ = run.count;
    last_ = run.carry;
  }

  std::vector<Run>& runs_;
  std::size_t first_;  // runs before it are complete
  Carry last_ = Carry::none;
  std::uint32_t row_ = 0;  // how many of the last instructions carry as the last one does
};

}  // namespace tapegrad::detail
