// tapegrad::CompactTape, a linear tape of the operations of one evaluation. Steps are recorded in
// order, swept in reverse, and discarded together.
//
// A Value refers to a node with a lifetime of its own. An Active is a primal and the index of an
// adjoint on the tape. An expression with n uses of active numbers takes at most (n + 1) / 2 steps.
// A step has one or two operands, or three if one of them has the partial 1. y = x * a + b is one
// step, and so is a chain of functions of one number, such as tanh(exp(x)). A step takes 8 bytes,
// its adjoint 8, and each stored partial 8. A sum or difference of two numbers stores no partial.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tapegrad/detail/base/errors.hpp"
#include "tapegrad/detail/base/virtual_memory.hpp"
#include "tapegrad/detail/compact_tape/expression.hpp"

namespace tapegrad {

/// A linear tape for reverse-mode differentiation of one evaluation.
///
///     tapegrad::CompactTape tape;
///     tapegrad::Active a = tape.input(2.0), b = tape.input(-3.0);
///     tapegrad::Active y = tanh(a * b + 6.5);
///     tape.backward(y);
///     double slope = tape.adjoint(a);  // dy/da
///
/// The tape belongs to the thread that created it. A thread has at most one tape, for all its
/// Active numbers. After the tape is destroyed, use only the Active numbers that are constants.
///
/// Operators of Active numbers return expressions. An expression is recorded when it is assigned to
/// an Active, so write the type instead of `auto`: an `auto` variable keeps the expression, and
/// each use records it again. An assignment throws ArenaFull when the tape is full.
class CompactTape {
 public:
  /// The largest limit that a tape can have, in steps.
#if defined(_WIN32)
  // Windows charges memory when it is committed, and the whole tape is committed at once.
  static constexpr std::size_t most = std::size_t{1} << 22;
#else
  static constexpr std::size_t most = std::size_t{1} << 29;
#endif

  /// Creates a tape with room for `limit` steps and as many inputs. `limit` is clamped to
  /// [1, most], and halved until the system grants the address space. Memory is used page by page
  /// as the tape grows (on Windows, committed at once).
  ///
  /// Throws std::logic_error if this thread has a CompactTape already, and ArenaFull if the system
  /// grants no address space.
  explicit CompactTape(std::size_t limit = most) {
    if (current_ != nullptr) throw std::logic_error("this thread has a CompactTape already");
    reserve(std::clamp(limit, std::size_t{1}, most));
    current_ = this;
  }
  /// Not copyable: each thread has one tape.
  CompactTape(const CompactTape&) = delete;
  CompactTape& operator=(const CompactTape&) = delete;
  /// Releases the tape's memory. The thread can then create another tape.
  ~CompactTape() { current_ = nullptr; }

  /// Returns a new independent variable with this primal and the adjoint 0. Throws ArenaFull when
  /// the tape has no room for another input.
  Active input(double primal) {
    if (inputs_ == first_adjoint_) [[unlikely]]
      full();
    // Adjoints below inputs_end_ have never been written, so they are 0 already.
    if (--inputs_ >= inputs_end_) *inputs_ = 0.0;
    return {primal, static_cast<std::int32_t>(inputs_ - adjoints_)};
  }

  /// Computes derivatives of `root` by a reverse sweep over the whole tape. The sweep adds to the
  /// adjoint of each input `seed` times the derivative of `root` by that input, and leaves the
  /// adjoints of all steps at 0. It does nothing if `root` is a constant.
  ///
  /// A step with the adjoint 0 passes nothing on. Its contribution through an infinite partial
  /// derivative is therefore 0, where the sweep of a Value gives NaN.
  void backward(const Active& root, double seed = 1.0) noexcept;

  /// Returns the adjoint of an input. An expression that uses one input alone, once and with the
  /// partial 1, such as x + 1, x * 1.0 or abs(x) for x > 0, gives a number that shares the input's
  /// adjoint. Returns 0 for all other numbers, because backward() clears their adjoints.
  double adjoint(const Active& input) const noexcept { return adjoints_[input.slot_]; }

  /// Sets the adjoints of all inputs to 0.
  void zero_adjoints() noexcept { std::fill(inputs_, adjoints_, 0.0); }

  /// A state to which rewind() can return: the counts of steps, stored partials and inputs.
  ///
  ///     const tapegrad::CompactTape::Position position = tape.position();
  ///     tape.backward(x * x);  // x: an Active
  ///     tape.rewind(position);
  struct Position {
    std::size_t steps, partials, inputs;
  };
  /// Returns the current position, the end of the tape.
  Position position() const noexcept {
    return {static_cast<std::size_t>(top_), static_cast<std::size_t>(partial_ - partials_),
            static_cast<std::size_t>(adjoints_ - inputs_)};
  }
  /// Discards the steps and inputs that were recorded after `position`. Numbers made since then
  /// must not be used again. Adjoints of earlier inputs stay. `position` must be one of this tape,
  /// and the tape must not have been rewound to an earlier position since.
  void rewind(const Position& position) noexcept {
    top_ = static_cast<std::int32_t>(position.steps);
    partial_ = partials_ + position.partials;
    inputs_ = adjoints_ - position.inputs;
  }
  /// Discards all steps and inputs. Of the numbers made before, only constants may be used again.
  void clear() noexcept { rewind({1, 0, 0}); }

  /// Returns the number of recorded steps.
  std::size_t size() const noexcept { return static_cast<std::size_t>(top_) - 1; }
  /// Returns the number of bytes in use for steps, stored partial derivatives and adjoints.
  std::size_t bytes() const noexcept {
    const Position all = position();
    return all.steps * (sizeof(Step) + sizeof(double)) +
           (all.partials + all.inputs) * sizeof(double);
  }

  /// Returns the tape of this thread, or null if it has none.
  static CompactTape* current() noexcept { return current_; }

 private:
  friend class Active;

  // The kind of a step: which operands it has, and which of their partials are stored.
  //   two         two operands, both partials stored
  //   one         one operand, its partial stored
  //   sum         two operands, partials 1 and 1, not stored
  //   difference  two operands, partials 1 and -1, not stored
  //   third       three operands; the third has the partial 1, and its slot is stored after the
  //               partials of the other two
  // `carried` is a flag, combined with `two` or `one`: the step before is a further operand with
  // the partial 1.
  enum Kind : std::uint32_t { two, one, sum, difference, third, carried = 8 };
  // The count of doubles stored for each combination of kind and flag.
  static constexpr std::ptrdiff_t written[] = {2, 1, 0, 0, 3, 0, 0, 0, 2, 1};

  // The slots of two operands, 30 bits each, and the kind in the lowest four bits. A slot is the
  // index of an adjoint: positive for a step, negative for an input.
  using Step = std::uint64_t;
  static Step step(std::int32_t first, std::int32_t second, std::uint32_t kind) noexcept {
    return static_cast<std::uint64_t>(second) << 34 |
           static_cast<std::uint64_t>(static_cast<std::uint32_t>(first * 4)) << 2 | kind;
  }

  // Records a number with these operands and returns its slot. No operand is a constant. The types
  // of the partials select the kind at compile time. For two operands or more there is one run-time
  // test: is the operand with the partial 1 the newest step?
  template <class... P>
  [[gnu::always_inline]] std::int32_t record(const detail::Leaf<P>&... leaf) {
    using Partials = std::tuple<P...>;
    constexpr std::size_t n = sizeof...(P);
    constexpr bool is_one[] = {std::is_same_v<P, Constant<1>>...};
    constexpr std::size_t unit = std::find(is_one, is_one + n, true) - is_one;
    const std::int32_t slots[] = {leaf.slot...};
    const double partials[] = {leaf.partial...};
    if constexpr (n == 1) {
      return record_one(slots[0], partials[0]);
    } else if constexpr (std::is_same_v<Partials, std::tuple<Constant<1>, Constant<1>>>) {
      return record_plain(slots[0], slots[1], sum);
    } else if constexpr (std::is_same_v<Partials, std::tuple<Constant<1>, Constant<-1>>>) {
      return record_plain(slots[0], slots[1], difference);
    } else if constexpr (unit < n) {
      std::int32_t other_slots[n - 1];
      double other_partials[n - 1];
      for (std::size_t k = 0; k < n - 1; ++k) {
        other_slots[k] = slots[k < unit ? k : k + 1];
        other_partials[k] = partials[k < unit ? k : k + 1];
      }
      if (slots[unit] == top_ - 1)
        return record_each(other_slots, other_partials, n - 1, two | carried);
      if constexpr (n == 3) {
        const std::int32_t slot = next(1);
        partial_[0] = other_partials[0];
        partial_[1] = other_partials[1];
        partial_[2] = std::bit_cast<double>(std::int64_t{slots[unit]});
        partial_ += 3;
        steps_[slot] = step(other_slots[0], other_slots[1], third);
        return slot;
      }
    }
    return record_each(slots, partials, n, two);
  }

  // The same for operands of which some may be constants. Omits constants and operands whose
  // partial is 0; returns the slot 0, that of a constant, if none remains.
  template <class... P>
  [[gnu::always_inline]] std::int32_t record_some(const detail::Leaf<P>&... leaf) {
    std::int32_t slots[sizeof...(P)];
    double partials[sizeof...(P)];
    std::size_t n = 0;
    const auto keep = [&](std::int32_t slot, double partial) {
      if (slot == 0 || partial == 0.0) return;
      slots[n] = slot;
      partials[n++] = partial;
    };
    (keep(leaf.slot, leaf.partial), ...);
    if (n == 0) return 0;
    if (n == 1) return record_one(slots[0], partials[0]);
    return record_many(slots, partials, n);
  }

  // Records a number with one operand. If the partial is 1, the number shares the operand's slot.
  // If it is 0, the result is a constant.
  [[gnu::always_inline]] std::int32_t record_one(std::int32_t operand, double partial) {
    if (partial == 0.0) return 0;
    if (partial == 1.0) return operand;
    const std::int32_t slot = next(1);
    *partial_++ = partial;
    steps_[slot] = step(operand, 0, one);
    return slot;
  }

  [[gnu::always_inline]] std::int32_t record_plain(std::int32_t a, std::int32_t b, Kind kind) {
    const std::int32_t slot = next(1);
    steps_[slot] = step(a, b, kind);
    return slot;
  }

  // record_each() out of line: expressions with some constants are rarer.
  [[gnu::noinline]] std::int32_t record_many(const std::int32_t* slots, const double* partials,
                                             std::size_t n) {
    return record_each(slots, partials, n, two);
  }

  // Records one step for every two operands and returns the slot of the last step. Each later step
  // has the step before it as a further operand (`carried`). `first` is the kind of the first step:
  // two, or two | carried.
  [[gnu::always_inline]] std::int32_t record_each(const std::int32_t* slots, const double* partials,
                                                  std::size_t n, std::uint32_t first) {
    std::int32_t slot = next(static_cast<std::int32_t>((n + 1) / 2));
    double* partial = partial_;
    std::uint32_t kind = first;
    std::size_t k = 0;
    for (; k + 1 < n; k += 2) {
      partial[k] = partials[k];
      partial[k + 1] = partials[k + 1];
      steps_[slot++] = step(slots[k], slots[k + 1], kind);
      kind = two | carried;
    }
    if (k < n) {
      partial[k] = partials[k];
      steps_[slot++] = step(slots[k], 0, kind | one);
    }
    partial_ = partial + n;
    return slot - 1;
  }

  // Allocates `count` consecutive steps and returns the first. Throws ArenaFull if they do not fit.
  std::int32_t next(std::int32_t count) {
    if (end_ - top_ < count) [[unlikely]]
      touch_steps(count);
    return std::exchange(top_, top_ + count);
  }
  [[noreturn]] void full() const {
    throw ArenaFull("the compact tape is full: it has room for " + std::to_string(limit_ - 1) +
                    " operations and as many inputs");
  }

  // The number of steps to touch ahead of their use: a quarter of those in use, within bounds.
  static std::ptrdiff_t ahead(std::ptrdiff_t used) noexcept {
    return std::clamp<std::ptrdiff_t>(used / 4, 512, std::ptrdiff_t{1} << 15);
  }
  [[gnu::noinline, gnu::cold]] void touch_steps(std::int32_t count) {
    if (limit_ - top_ < count) full();
    const std::ptrdiff_t more = std::min<std::ptrdiff_t>(count + ahead(top_), limit_ - top_);
    const auto end = static_cast<std::int32_t>(top_ + more);
    touch(step_pages_, steps_ + end_, steps_ + end);
    double* const partials_end = partial_ + more * (partial_ - partials_) / top_;  // on average
    if (partials_end > partials_end_)
      touch(partial_pages_, std::exchange(partials_end_, partials_end), partials_end);
    end_ = end;
  }
  template <class T>
  static void touch(VirtualMemory& pages, const T* from, const T* to) noexcept {
    const auto offset = [&](const T* p) {
      return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(p) - pages.base());
    };
    pages.touch(offset(from), offset(to));
  }

  void reserve(std::size_t limit) {
    for (; limit > 0; limit /= 2) {
      const std::size_t steps = limit + 1;
      if (!step_pages_.reserve_usable(steps * sizeof(Step)) ||
          !partial_pages_.reserve_usable(3 * steps * sizeof(double)) ||
          !adjoint_pages_.reserve_usable((limit + steps) * sizeof(double), limit * sizeof(double)))
        continue;
      steps_ = reinterpret_cast<Step*>(step_pages_.base());
      partials_ = reinterpret_cast<double*>(partial_pages_.base());
      first_adjoint_ = reinterpret_cast<double*>(adjoint_pages_.base());
      adjoints_ = first_adjoint_ + limit;
      limit_ = static_cast<std::int32_t>(steps);
      partials_end_ = partials_;
      inputs_end_ = adjoints_;
      return clear();
    }
    throw ArenaFull("the compact tape cannot begin: the system gives no address space");
  }

  TAPEGRAD_ONE_TAPE static inline thread_local constinit CompactTape* current_ = nullptr;

  std::int32_t top_ = 1;    // the next step; slot 0 means a constant
  std::int32_t end_ = 1;    // end of the steps whose memory was touched
  std::int32_t limit_ = 1;  // end of the steps that the tape has room for
  std::int32_t swept_ = 0;  // end of the steps whose adjoints were touched
  double* partial_ = nullptr;
  double* partials_end_ = nullptr;   // end of the partials whose memory was touched
  double* inputs_end_ = nullptr;     // lowest adjoint of an input that a sweep has written
  double* inputs_ = nullptr;         // adjoint of the newest input; they grow downwards
  double* first_adjoint_ = nullptr;  // lowest address for the adjoint of an input
  double* adjoints_ = nullptr;       // adjoints of steps, 0 outside a sweep
  Step* steps_ = nullptr;
  double* partials_ = nullptr;
  VirtualMemory step_pages_, partial_pages_, adjoint_pages_;
};

template <Op code, class... Operands>
[[gnu::always_inline]] inline Active::Active(const Expression<code, Operands...>& expression)
    : primal_(expression.data()) {
  if (expression.all_recorded())
    slot_ = std::apply([](const auto&... leaf) { return CompactTape::current_->record(leaf...); },
                       expression.leaves(ops::one));
  else if (expression.any_recorded())
    slot_ =
        std::apply([](const auto&... leaf) { return CompactTape::current_->record_some(leaf...); },
                   expression.leaves(ops::one));
}

inline void CompactTape::backward(const Active& root, double seed) noexcept {
  double* const adjoints = adjoints_;
  if (root.slot_ == 0) return;
  if (inputs_ < inputs_end_) touch(adjoint_pages_, inputs_, std::exchange(inputs_end_, inputs_));
  if (top_ > swept_)
    touch(adjoint_pages_, adjoints_ + std::exchange(swept_, top_), adjoints_ + top_);
  adjoints[root.slot_] += seed;
  if (root.slot_ < 0) return;
  const Step* const steps = steps_;
  const double* partial = partial_;
  double carry = 0.0;  // contribution to the step before, kept in a register
  for (std::int64_t slot = top_ - 1; slot > 0; --slot) {
    const Step step = steps[slot];
    const double adjoint = adjoints[slot] + std::exchange(carry, 0.0);
    adjoints[slot] = 0.0;
    if (adjoint == 0.0) {
      partial -= written[step & 15];
      continue;
    }
    const std::int64_t first = static_cast<std::int64_t>(step << 30) >> 34;
    const std::int64_t second = static_cast<std::int64_t>(step) >> 34;
    const auto give_first = [&](double amount) {
      if (first == slot - 1) carry = amount;
      else adjoints[first] += amount;
    };
    const auto give_second = [&](double amount) {
      if (second == slot - 1) carry += amount;
      else adjoints[second] += amount;
    };
    switch (step & 15) {
      case two | carried:
        partial -= 2;
        carry = adjoint;
        adjoints[first] += adjoint * partial[0];
        adjoints[second] += adjoint * partial[1];
        break;
      case two:
        partial -= 2;
        give_first(adjoint * partial[0]);
        give_second(adjoint * partial[1]);
        break;
      case third:
        partial -= 3;
        give_first(adjoint * partial[0]);
        give_second(adjoint * partial[1]);
        adjoints[std::bit_cast<std::int64_t>(partial[2])] += adjoint;
        break;
      case sum:
        give_first(adjoint);
        give_second(adjoint);
        break;
      case difference:
        give_first(adjoint);
        give_second(-adjoint);
        break;
      case one | carried:
        carry = adjoint;
        adjoints[first] += adjoint * *--partial;
        break;
      case one:
        give_first(adjoint * *--partial);
        break;
    }
  }
}

/// Returns the sum of `xs` from left to right; the constant 0 for no operands.
inline Active sum(std::span<const Active> xs) {
  if (xs.empty()) return 0.0;
  Active total = xs[0];
  for (const Active& x : xs.subspan(1)) total = total + x;
  return total;
}

namespace detail {

template <class Y>
void check_lengths(const char* name, std::span<const Active> xs, std::span<const Y> ys) {
  if (xs.size() != ys.size())
    throw std::invalid_argument(std::string(name) + ": sequences of different lengths");
}

template <class Y>
Active dot(std::span<const Active> xs, std::span<const Y> ys) {
  check_lengths("dot", xs, ys);
  Active total = 0.0;
  for (std::size_t k = 0; k < xs.size(); ++k)
    total = k == 0 ? Active(xs[0] * ys[0]) : Active(total + xs[k] * ys[k]);
  return total;
}

template <class Y>
Active squared_distance(std::span<const Active> xs, std::span<const Y> ys) {
  check_lengths("squared_distance", xs, ys);
  Active total = 0.0;
  for (std::size_t k = 0; k < xs.size(); ++k)
    total = k == 0 ? Active(square(xs[0] - ys[0])) : Active(total + square(xs[k] - ys[k]));
  return total;
}

// Returns the sum of the exponentials of all numbers but xs[at], the largest. They are divided by
// exp(xs[at]) unless `plain` is true.
inline Active rest_of_exponentials(std::span<const Active> xs, std::size_t at, bool plain) {
  Active rest = 0.0;
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (k == at) continue;
    rest = plain ? Active(rest + exp(xs[k])) : Active(rest + exp(xs[k] - xs[at]));
  }
  return rest;
}
// Returns the index of the largest number, the first of equal ones.
inline std::size_t place_of_largest(std::span<const Active> xs) {
  std::size_t at = 0;
  for (std::size_t k = 1; k < xs.size(); ++k)
    if (xs[k] > xs[at]) at = k;
  return at;
}

}  // namespace detail

/// Returns the sum of the products xs[k] * ys[k] from left to right; the constant 0 for empty
/// sequences. Throws std::invalid_argument for sequences of different lengths.
inline Active dot(std::span<const Active> xs, std::span<const Active> ys) {
  return detail::dot(xs, ys);
}
/// The same, with plain numbers as constant factors.
inline Active dot(std::span<const Active> xs, std::span<const double> ys) {
  return detail::dot(xs, ys);
}
/// Returns the sum of the squares of the differences xs[k] - ys[k] from left to right; the constant
/// 0 for empty sequences. Throws std::invalid_argument for sequences of different lengths.
inline Active squared_distance(std::span<const Active> xs, std::span<const Active> ys) {
  return detail::squared_distance(xs, ys);
}
/// The same, with the distance to plain numbers.
inline Active squared_distance(std::span<const Active> xs, std::span<const double> ys) {
  return detail::squared_distance(xs, ys);
}

/// Returns the logarithm of the sum of the exponentials of `xs`, computed without overflow; -inf
/// for no operands.
inline Active logsumexp(std::span<const Active> xs) {
  if (xs.empty()) return -std::numeric_limits<double>::infinity();
  const std::size_t at = detail::place_of_largest(xs);
  const Active rest = detail::rest_of_exponentials(xs, at, isinf(xs[at]));
  if (isinf(xs[at])) return log(exp(xs[at]) + rest);
  return xs[at] + log1p(rest);
}
/// Returns logsumexp(xs) - xs[0], which is -log(softmax(xs)[0]): the cross-entropy of logits whose
/// first is the target. Throws std::invalid_argument for no operands.
inline Active surprisal(std::span<const Active> xs) {
  if (xs.empty()) throw std::invalid_argument("surprisal: no number");
  constexpr double masked = -std::numeric_limits<double>::infinity();
  const std::size_t at = detail::place_of_largest(xs);
  const Active rest = detail::rest_of_exponentials(xs, at, xs[at] == masked);
  if (at == 0 && xs[0] != masked) return log1p(rest);
  return (xs[at] - xs[0]) + log1p(rest);
}

}  // namespace tapegrad
