// A compact tape: the numbers of one evaluation, recorded in order, swept, and forgotten together.
//
//   tapegrad::CompactTape tape; 
//   tapegrad::Active a = tape.input(2.0), b = tape.input(-3.0);
//   tapegrad::Active y = tanh(a * b + 6.5);
//   tape.backward(y);
//   tape.adjoint(a);  // dy/da
//
// Where a Value is a node that can be looked at, kept and dropped by itself, an Active number is
// its primal and a place. A statement is recorded as one step for each two of its numbers: 8 bytes,
// 8 for each partial derivative that is not 1 or -1, and 8 for its adjoint. So y = x * a + b is one
// step, and a function of one number is, however long.
//
// Operators return expressions, which become an Active by being assigned to one. `auto` keeps the
// expression, which is recorded each time that it is used.
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

class CompactTape {
 public:
#if defined(_WIN32)
  static constexpr std::size_t most = std::size_t{1} << 22;  // there, memory is paid for at once
#else
  static constexpr std::size_t most = std::size_t{1} << 29;
#endif

  // For so many operations and so many inputs, less where the system gives less. Each thread has
  // one CompactTape at a time: std::logic_error for a second.
  explicit CompactTape(std::size_t limit = most) {
    if (current_ != nullptr) throw std::logic_error("this thread has a CompactTape already");
    reserve(std::clamp(limit, std::size_t{1}, most));
    current_ = this;
  }
  CompactTape(const CompactTape&) = delete;
  CompactTape& operator=(const CompactTape&) = delete;
  ~CompactTape() { current_ = nullptr; }

  // A number to differentiate by. Throws ArenaFull when there is no more room.
  Active input(double primal) {
    if (inputs_ == first_adjoint_) [[unlikely]]
      full();
    // Nothing has yet been written below inputs_end_: there, it is 0.
    if (--inputs_ >= inputs_end_) *inputs_ = 0.0;
    return {primal, static_cast<std::int32_t>(inputs_ - adjoints_)};
  }

  // The adjoint of each input that `root` was computed from grows by its derivative, times `seed`.
  // An adjoint of 0 is not passed on: where a Value's sweep makes NaN of 0 times infinity, this one
  // makes 0.
  void backward(const Active& root, double seed = 1.0) noexcept;

  // The adjoint of an input, or of a number that differs from it by a constant; 0 for others, whose
  // adjoints backward() uses up.
  double adjoint(const Active& input) const noexcept { return adjoints_[input.slot_]; }

  // Clears the adjoints of all inputs.
  void zero_adjoints() noexcept { std::fill(inputs_, adjoints_, 0.0); }

  // What is recorded from a position on is forgotten by going back to it: numbers made since must
  // not be used any more.
  struct Position {
    std::size_t steps, partials, inputs;
  };
  Position position() const noexcept {
    return {static_cast<std::size_t>(top_), static_cast<std::size_t>(partial_ - partials_),
            static_cast<std::size_t>(adjoints_ - inputs_)};
  }
  void rewind(const Position& position) noexcept {
    top_ = static_cast<std::int32_t>(position.steps);
    partial_ = partials_ + position.partials;
    inputs_ = adjoints_ - position.inputs;
  }
  void clear() noexcept { rewind({1, 0, 0}); }

  // How many steps are recorded, and the bytes that they and the inputs take.
  std::size_t size() const noexcept { return static_cast<std::size_t>(top_) - 1; }
  std::size_t bytes() const noexcept {
    const Position all = position();
    return all.steps * (sizeof(Step) + sizeof(double)) +
           (all.partials + all.inputs) * sizeof(double);
  }

  // This thread's; null when it has none.
  static CompactTape* current() noexcept { return current_; }

 private:
  friend class Active;

  // Which partials of a step are written down, 1 and -1 are not; `third` has a third operand, whose
  // partial is 1 and whose place is written after those of the others. A step that is carried has
  // the step before it for an operand, too, with a partial of 1.
  enum Kind : std::uint32_t { two, one, sum, difference, third, carried = 8 };
  static constexpr std::ptrdiff_t written[] = {2, 1, 0, 0, 3, 0, 0, 0, 2, 1};

  // The places of two operands, of 30 bits each, and four bits of kind.
  using Step = std::uint64_t;
  static Step step(std::int32_t first, std::int32_t second, std::uint32_t kind) noexcept {
    return static_cast<std::uint64_t>(second) << 34 |
           static_cast<std::uint64_t>(static_cast<std::uint32_t>(first * 4)) << 2 | kind;
  }

  // Records a number that depends on these and returns its place. Partials that are constants by
  // their type decide when compiling which kind of step it is.
  template <class... P>
  [[gnu::always_inline]] std::int32_t record(const detail::Leaf<P>&... leaf) {
    using Partials = std::tuple<P...>;
    constexpr std::size_t n = sizeof...(P);
    constexpr bool is_one[] = {std::is_same_v<P, Constant<1>>...};
    constexpr std::size_t unit = std::find(is_one, is_one + n, true) - is_one;
    const std::int32_t places[] = {leaf.place...};
    const double partials[] = {leaf.partial...};
    if constexpr (n == 1) {
      return record_one(places[0], partials[0]);
    } else if constexpr (std::is_same_v<Partials, std::tuple<Constant<1>, Constant<1>>>) {
      return record_plain(places[0], places[1], sum);
    } else if constexpr (std::is_same_v<Partials, std::tuple<Constant<1>, Constant<-1>>>) {
      return record_plain(places[0], places[1], difference);
    } else if constexpr (unit < n) {
      std::int32_t other_places[n - 1];
      double other_partials[n - 1];
      for (std::size_t k = 0; k < n - 1; ++k) {
        other_places[k] = places[k < unit ? k : k + 1];
        other_partials[k] = partials[k < unit ? k : k + 1];
      }
      if (places[unit] == top_ - 1)
        return record_each(other_places, other_partials, n - 1, two | carried);
      if constexpr (n == 3) {
        const std::int32_t place = next(1);
        partial_[0] = other_partials[0];
        partial_[1] = other_partials[1];
        partial_[2] = std::bit_cast<double>(std::int64_t{places[unit]});
        partial_ += 3;
        steps_[place] = step(other_places[0], other_places[1], third);
        return place;
      }
    }
    return record_each(places, partials, n, two);
  }

  // The same, leaving out what is constant or has no influence.
  template <class... P>
  [[gnu::always_inline]] std::int32_t record_some(const detail::Leaf<P>&... leaf) {
    std::int32_t places[sizeof...(P)];
    double partials[sizeof...(P)];
    std::size_t n = 0;
    const auto keep = [&](std::int32_t place, double partial) {
      if (place == 0 || partial == 0.0) return;
      places[n] = place;
      partials[n++] = partial;
    };
    (keep(leaf.place, leaf.partial), ...);
    if (n == 0) return 0;
    if (n == 1) return record_one(places[0], partials[0]);
    return record_many(places, partials, n);
  }

  // What differs from a number by a constant shares its place.
  [[gnu::always_inline]] std::int32_t record_one(std::int32_t operand, double partial) {
    if (partial == 0.0) return 0;
    if (partial == 1.0) return operand;
    const std::int32_t place = next(1);
    *partial_++ = partial;
    steps_[place] = step(operand, 0, one);
    return place;
  }

  [[gnu::always_inline]] std::int32_t record_plain(std::int32_t a, std::int32_t b, Kind kind) {
    const std::int32_t place = next(1);
    steps_[place] = step(a, b, kind);
    return place;
  }

  // Out of line, for what is recorded now and then.
  [[gnu::noinline]] std::int32_t record_many(const std::int32_t* places, const double* partials,
                                             std::size_t n) {
    return record_each(places, partials, n, two);
  }

  // A step for each two operands, each but the first carrying the one before. `first` is the kind
  // of the first: two, or two | carried.
  [[gnu::always_inline]] std::int32_t record_each(const std::int32_t* places,
                                                  const double* partials, std::size_t n,
                                                  std::uint32_t first) {
    std::int32_t place = next(static_cast<std::int32_t>((n + 1) / 2));
    double* partial = partial_;
    std::uint32_t kind = first;
    std::size_t k = 0;
    for (; k + 1 < n; k += 2) {
      partial[k] = partials[k];
      partial[k + 1] = partials[k + 1];
      steps_[place++] = step(places[k], places[k + 1], kind);
      kind = two | carried;
    }
    if (k < n) {
      partial[k] = partials[k];
      steps_[place++] = step(places[k], 0, kind | one);
    }
    partial_ = partial + n;
    return place - 1;
  }

  // The first of so many places, all of which there is room for.
  std::int32_t next(std::int32_t count) {
    if (end_ - top_ < count) [[unlikely]]
      touch_steps(count);
    return std::exchange(top_, top_ + count);
  }
  [[noreturn]] void full() const {
    throw ArenaFull("the compact tape is full: it has room for " + std::to_string(limit_ - 1) +
                    " operations and as many inputs");
  }

  // Memory is touched ahead of its use, a quarter of what was used before.
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

  std::int32_t top_ = 1;    // the step at 0 is no number's
  std::int32_t end_ = 1;    // what lies before was touched
  std::int32_t limit_ = 1;  // what lies before can be
  std::int32_t swept_ = 0;  // adjoints before were touched
  double* partial_ = nullptr;
  double* partials_end_ = nullptr;   // what lies before was touched
  double* inputs_end_ = nullptr;     // what lies behind was there for a sweep
  double* inputs_ = nullptr;         // adjoints of inputs, the newest first
  double* first_adjoint_ = nullptr;  // which grow down to here
  double* adjoints_ = nullptr;       // of steps: 0, but in a sweep
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
  double carry = 0.0;  // what the step before has coming from this one, kept in a register
  for (std::int64_t place = top_ - 1; place > 0; --place) {
    const Step step = steps[place];
    const double adjoint = adjoints[place] + std::exchange(carry, 0.0);
    adjoints[place] = 0.0;
    if (adjoint == 0.0) {
      partial -= written[step & 15];
      continue;
    }
    const std::int64_t first = static_cast<std::int64_t>(step << 30) >> 34;
    const std::int64_t second = static_cast<std::int64_t>(step) >> 34;
    const auto give_first = [&](double amount) {
      if (first == place - 1) carry = amount;
      else adjoints[first] += amount;
    };
    const auto give_second = [&](double amount) {
      if (second == place - 1) carry += amount;
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

// The sum from left to right.
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

// The sum of the exponentials but of the largest, relative to that or as they are.
inline Active rest_of_exponentials(std::span<const Active> xs, std::size_t at, bool plain) {
  Active rest = 0.0;
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (k == at) continue;
    rest = plain ? Active(rest + exp(xs[k])) : Active(rest + exp(xs[k] - xs[at]));
  }
  return rest;
}
inline std::size_t place_of_largest(std::span<const Active> xs) {
  std::size_t at = 0;
  for (std::size_t k = 1; k < xs.size(); ++k)
    if (xs[k] > xs[at]) at = k;
  return at;
}

}  // namespace detail

// As of Values, from left to right. Throw std::invalid_argument unless both have the same length.
inline Active dot(std::span<const Active> xs, std::span<const Active> ys) {
  return detail::dot(xs, ys);
}
inline Active dot(std::span<const Active> xs, std::span<const double> ys) {
  return detail::dot(xs, ys);
}
inline Active squared_distance(std::span<const Active> xs, std::span<const Active> ys) {
  return detail::squared_distance(xs, ys);
}
inline Active squared_distance(std::span<const Active> xs, std::span<const double> ys) {
  return detail::squared_distance(xs, ys);
}

inline Active logsumexp(std::span<const Active> xs) {
  if (xs.empty()) return -std::numeric_limits<double>::infinity();
  const std::size_t at = detail::place_of_largest(xs);
  const Active rest = detail::rest_of_exponentials(xs, at, isinf(xs[at]));
  if (isinf(xs[at])) return log(exp(xs[at]) + rest);
  return xs[at] + log1p(rest);
}
// -log of the first one's softmax; throws std::invalid_argument for none.
inline Active surprisal(std::span<const Active> xs) {
  if (xs.empty()) throw std::invalid_argument("surprisal: no number");
  constexpr double masked = -std::numeric_limits<double>::infinity();
  const std::size_t at = detail::place_of_largest(xs);
  const Active rest = detail::rest_of_exponentials(xs, at, xs[at] == masked);
  if (at == 0 && xs[0] != masked) return log1p(rest);
  return (xs[at] - xs[0]) + log1p(rest);
}

}  // namespace tapegrad
