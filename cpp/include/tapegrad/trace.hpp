// A compact tape: the numbers of one evaluation, recorded in order, swept, and forgotten together.
//
//   tapegrad::Trace trace;
//   tapegrad::Traced a = trace.input(2.0), b = trace.input(-3.0);
//   tapegrad::Traced y = tanh(a * b + 6.5);
//   trace.backward(y);
//   trace.adjoint(a);  // dy/da
//
// Where a Value is a node that can be looked at, kept and dropped by itself, a Traced number is its
// primal and a place: an operation costs 8 bytes, 8 for each partial derivative that is not 1 or
// -1, and 8 for its adjoint.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>

#include "blocks.hpp"
#include "functions.hpp"
#include "ops.hpp"
#include "pages.hpp"

namespace tapegrad {

// A number of this thread's trace, or a plain one, of which nothing is recorded.
class Traced {
 public:
  static constexpr bool is_recorded = true;

  Traced() = default;
  Traced(Number auto primal) : primal_(static_cast<double>(primal)) {}

  double data() const noexcept { return primal_; }
  bool is_constant() const noexcept { return place_ == 0; }

  // Records an operation, if any of its arguments is no constant.
  template <Op code>
  static Traced apply(const Traced& x);
  template <Op code>
  static Traced apply(const Traced& x, const Traced& y);
  template <Op code>
  static Traced apply(const Traced& x, double y);
  template <Op code>
  static Traced apply(double x, const Traced& y);
  template <Op code>
  static Traced apply(const Traced& x, const Traced& y, const Traced& z);

 private:
  friend class Trace;
  Traced(double primal, std::int32_t place) : primal_(primal), place_(place) {}

  double primal_ = 0.0;
  std::int32_t place_ = 0;  // of its adjoint: below 0 that of an input
};

class Trace {
 public:
#if defined(_WIN32)
  static constexpr std::size_t most = std::size_t{1} << 22;  // there, memory is paid for at once
#else
  static constexpr std::size_t most = std::size_t{1} << 29;
#endif

  // For so many operations and so many inputs, less where the system gives less. Each thread has
  // one trace at a time: std::logic_error for a second.
  explicit Trace(std::size_t limit = most) {
    if (current_ != nullptr) throw std::logic_error("this thread has a trace already");
    reserve(std::clamp(limit, std::size_t{1}, most));
    current_ = this;
  }
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;
  ~Trace() { current_ = nullptr; }

  // A number to differentiate by. Throws ArenaFull when there is no more room.
  Traced input(double primal) {
    if (inputs_ == first_adjoint_) [[unlikely]]
      full();
    *--inputs_ = 0.0;
    return {primal, static_cast<std::int32_t>(inputs_ - adjoints_)};
  }

  // The adjoint of each input that `root` was computed from grows by its derivative, times `seed`.
  // An adjoint of 0 is not passed on: where a Value's sweep makes NaN of 0 times infinity, this one
  // makes 0.
  void backward(const Traced& root, double seed = 1.0) noexcept;

  // The adjoint of an input; 0 for other numbers, whose adjoints backward() uses up.
  double adjoint(const Traced& input) const noexcept { return adjoints_[input.place_]; }

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

  // How many operations are recorded, and the bytes that they and the inputs take.
  std::size_t size() const noexcept { return static_cast<std::size_t>(top_) - 1; }
  std::size_t bytes() const noexcept {
    const Position all = position();
    return all.steps * (sizeof(Step) + sizeof(double)) +
           (all.partials + all.inputs) * sizeof(double);
  }

  // This thread's; null when it has none.
  static Trace* current() noexcept { return current_; }

 private:
  friend class Traced;

  // What a step's partials are. Only those of `two` and `one` are written down.
  enum Kind : std::uint32_t { two, sum, difference, one };
  static constexpr std::ptrdiff_t written[] = {2, 0, 0, 1};

  // The second operand's place above the first's, which is there four times, and the kind.
  using Step = std::uint64_t;
  static Step step(std::int32_t first, std::int32_t second, Kind kind) noexcept {
    return std::uint64_t{static_cast<std::uint32_t>(second)} << 32 |
           (static_cast<std::uint32_t>(first) * 4 + kind);
  }

  Traced push(double primal, std::int32_t operand, double partial) {
    const std::int32_t place = next();
    *partial_++ = partial;
    steps_[place] = step(operand, 0, one);
    return {primal, place};
  }

  template <class P, class Q>
  Traced push(double primal, std::int32_t a, std::int32_t b, P by_first, Q by_second) {
    const std::int32_t place = next();
    if constexpr (std::is_same_v<P, Constant<1>> && std::is_same_v<Q, Constant<1>>) {
      steps_[place] = step(a, b, sum);
    } else if constexpr (std::is_same_v<P, Constant<1>> && std::is_same_v<Q, Constant<-1>>) {
      steps_[place] = step(a, b, difference);
    } else {
      partial_[0] = by_first;
      partial_[1] = by_second;
      partial_ += 2;
      steps_[place] = step(a, b, two);
    }
    return {primal, place};
  }

  // A step of those operands that are no constants. Both partials are functions.
  template <class P, class Q>
  static Traced record(double primal, const Traced& x, const Traced& y, P by_first, Q by_second) {
    if (x.place_ != 0 && y.place_ != 0)
      return current_->push(primal, x.place_, y.place_, by_first(), by_second());
    if (x.place_ != 0) return current_->push(primal, x.place_, by_first());
    if (y.place_ != 0) return current_->push(primal, y.place_, by_second());
    return primal;
  }

  // Never returns to where it throws, so that the compiler keeps the counters in registers.
  std::int32_t next() {
    if (top_ == end_) [[unlikely]]
      full();
    return top_++;
  }
  [[noreturn, gnu::noinline, gnu::cold]] void full() const {
    throw ArenaFull("the trace is full: it has room for " + std::to_string(end_ - 1) +
                    " operations and as many inputs");
  }

  void reserve(std::size_t limit) {
    for (; limit > 0; limit /= 2) {
      const std::size_t steps = limit + 1;
      if (!step_pages_.reserve_usable(steps * sizeof(Step)) ||
          !partial_pages_.reserve_usable(2 * steps * sizeof(double)) ||
          !adjoint_pages_.reserve_usable((limit + steps) * sizeof(double)))
        continue;
      steps_ = reinterpret_cast<Step*>(step_pages_.base());
      partials_ = reinterpret_cast<double*>(partial_pages_.base());
      first_adjoint_ = reinterpret_cast<double*>(adjoint_pages_.base());
      adjoints_ = first_adjoint_ + limit;
      end_ = static_cast<std::int32_t>(steps);
      return clear();
    }
    throw ArenaFull("the trace cannot begin: the system gives no address space");
  }

  static inline thread_local constinit Trace* current_ = nullptr;

  std::int32_t top_ = 1;  // the step at 0 is no number's
  std::int32_t end_ = 1;
  double* partial_ = nullptr;
  double* inputs_ = nullptr;         // adjoints of inputs, the newest first
  double* first_adjoint_ = nullptr;  // which grow down to here
  double* adjoints_ = nullptr;       // of steps: 0, but in a sweep
  Step* steps_ = nullptr;
  double* partials_ = nullptr;
  Pages step_pages_, partial_pages_, adjoint_pages_;
};

template <Op code>
Traced Traced::apply(const Traced& x) {
  constexpr auto& e = entry<code>;
  const double y = e.value(x.primal_);
  if (x.place_ == 0) return y;
  return Trace::current_->push(y, x.place_, std::get<0>(e.partials)(x.primal_, y));
}

template <Op code>
Traced Traced::apply(const Traced& x, const Traced& y) {
  constexpr auto& e = entry<code>;
  const double z = e.value(x.primal_, y.primal_);
  return Trace::record(
      z, x, y, [&] { return std::get<0>(e.partials)(x.primal_, y.primal_, z); },
      [&] { return std::get<1>(e.partials)(x.primal_, y.primal_, z); });
}

template <Op code>
Traced Traced::apply(const Traced& x, double y) {
  constexpr auto& e = entry<code>;
  const double z = e.value(x.primal_, y);
  if (x.place_ == 0) return z;
  return Trace::current_->push(z, x.place_, std::get<0>(e.partials)(x.primal_, y, z));
}

template <Op code>
Traced Traced::apply(double x, const Traced& y) {
  constexpr auto& e = entry<code>;
  const double z = e.value(x, y.primal_);
  if (y.place_ == 0) return z;
  return Trace::current_->push(z, y.place_, std::get<1>(e.partials)(x, y.primal_, z));
}

// Three operands take two steps, of which the first has no number's primal.
template <Op code>
Traced Traced::apply(const Traced& x, const Traced& y, const Traced& z) {
  constexpr auto& e = entry<code>;
  const double w = e.value(x.primal_, y.primal_, z.primal_);
  const auto partial = [&]<std::size_t k>(std::integral_constant<std::size_t, k>) {
    return std::get<k>(e.partials)(x.primal_, y.primal_, z.primal_, w);
  };
  const Traced both = Trace::record(
      w, x, y, [&] { return partial(std::integral_constant<std::size_t, 0>{}); },
      [&] { return partial(std::integral_constant<std::size_t, 1>{}); });
  return Trace::record(
      w, both, z, [] { return 1.0; },
      [&] { return partial(std::integral_constant<std::size_t, 2>{}); });
}

inline void Trace::backward(const Traced& root, double seed) noexcept {
  double* const adjoints = adjoints_;
  if (root.place_ == 0) return;
  adjoints[root.place_] += seed;
  if (root.place_ < 0) return;
  const Step* const steps = steps_;
  const double* partial = partial_;
  double carry = 0.0;  // what the step before has coming from this one, kept in a register
  for (std::int64_t place = top_ - 1; place > 0; --place) {
    const Step step = steps[place];
    const double adjoint = adjoints[place] + carry;
    adjoints[place] = 0.0;
    carry = 0.0;
    if (adjoint == 0.0) {
      partial -= written[step & 3];
      continue;
    }
    const auto give = [&](std::int64_t operand, double amount) {
      if (operand == place - 1) carry += amount;
      else adjoints[operand] += amount;
    };
    const std::int64_t first = static_cast<std::int32_t>(step) >> 2;
    const std::int64_t second = static_cast<std::int64_t>(step) >> 32;
    switch (step & 3) {
      case two:
        partial -= 2;
        give(first, adjoint * partial[0]);
        give(second, adjoint * partial[1]);
        break;
      case sum:
        give(first, adjoint);
        give(second, adjoint);
        break;
      case difference:
        give(first, adjoint);
        give(second, -adjoint);
        break;
      case one:
        give(first, adjoint * *--partial);
        break;
    }
  }
}

// The sum from left to right.
inline Traced sum(std::span<const Traced> xs) {
  if (xs.empty()) return 0.0;
  Traced total = xs[0];
  for (const Traced& x : xs.subspan(1)) total = total + x;
  return total;
}

}  // namespace tapegrad
