// tapegrad::Active, a number of a compact tape, and tapegrad::Expression, the type that its
// operators return.
//
// An expression holds copies of its operands and records nothing. Its assignment to an Active
// records the whole statement with one partial derivative for each active number in it, as in
// expression templates of other libraries (Phipps & Pawlowski, "Efficient Expression Templates for
// Operator Overloading-based Automatic Differentiation", 2012).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tapegrad/detail/ops/functions.hpp"
#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad {

template <Op code, class... Operands>
class Expression;

namespace detail {

// The type in which an expression stores an operand: an Active as an ActiveCopy, others as they
// are.
class ActiveCopy;
template <class Operand>
using Stored = std::conditional_t<Recorded<Operand> && Whole<Operand>, ActiveCopy, Operand>;

}  // namespace detail

/// A number of this thread's CompactTape, or a constant, of which the tape records nothing. It
/// holds a primal and the index of an adjoint on the tape, 16 bytes in all, and owns nothing.
///
///     tapegrad::CompactTape tape;
///     tapegrad::Active x = tape.input(0.5);
///     tapegrad::Active y = x * sin(x) + 1.0;
///     tape.backward(y);
///     double slope = tape.adjoint(x);
///
/// An Active that is not a constant is valid while its tape exists and is not rewound past it.
class Active {
 public:
  /// The type that an expression becomes when it is assigned: Active itself.
  using Whole = Active;

  /// Creates the constant 0.
  Active() = default;
  /// Creates a constant. CompactTape::input() creates a variable.
  Active(Number auto primal) : primal_(static_cast<double>(primal)) {}
  /// Takes the value of an expression and records it on this thread's tape. An expression of
  /// constants alone gives a constant and is not recorded. Throws ArenaFull when the tape is full.
  template <Op code, class... Operands>
  Active(const Expression<code, Operands...>& expression);

  /// Returns the primal, the number itself.
  double data() const noexcept { return primal_; }
  /// Returns whether no derivative passes through this number.
  bool is_constant() const noexcept { return slot_ == 0; }

  /// Returns a number with the adjoint of `x` and another primal, for an operation whose value is
  /// rounded more accurately than the recorded steps compute it.
  static Active with_data(const Active& x, double primal) { return {primal, x.slot_}; }

  /// Returns an expression: the operation `code` of Active numbers, expressions and doubles.
  ///
  ///     tapegrad::Active y = tapegrad::Active::apply<tapegrad::op<"pow_const">()>(x, 3.0);
  template <Op code, class... Operands>
  static auto apply(const Operands&... operands) {
    return Expression<code, detail::Stored<Operands>...>(operands...);
  }

 private:
  friend class CompactTape;
  friend class detail::ActiveCopy;
  Active(double primal, std::int32_t slot) : primal_(primal), slot_(slot) {}

  double primal_ = 0.0;
  std::int32_t slot_ = 0;  // index of its adjoint: negative for an input, 0 for a constant
};

namespace detail {

// A copy of an Active in an expression. The constructors copy the members one by one. A copy of the
// whole would be one load of bytes that two stores have just written; store forwarding fails for
// such a load, and the processor stalls.
class ActiveCopy {
 public:
  using Whole = Active;

  explicit ActiveCopy(const Active& number) : primal(number.primal_), slot(number.slot_) {}
  ActiveCopy(const ActiveCopy& other) : primal(other.primal), slot(other.slot) {}
  ActiveCopy& operator=(const ActiveCopy&) = delete;

  double data() const noexcept { return primal; }
  bool all_recorded() const noexcept { return slot != 0; }
  bool any_recorded() const noexcept { return slot != 0; }

  const double primal;
  const std::int32_t slot;
};

// A leaf of an expression: the slot of an active number, and the partial derivative of the
// expression by it. Partial is double or a Constant.
template <class Partial>
struct Leaf {
  std::int32_t slot;
  Partial partial;
};

// The product of two partial derivatives, by the chain rule. An outer partial of 0 gives 0 even for
// an infinite inner one, as a step with the adjoint 0 does in a sweep.
template <int m, int n>
constexpr Constant<m * n> chain(Constant<m>, Constant<n>) {
  return {};
}
template <int m>
double chain(Constant<m>, double partial) {
  static_assert(m == 1 || m == -1);
  return m == 1 ? partial : -partial;
}
template <int n>
double chain(double outer, Constant<n>) {
  return chain(Constant<n>(), outer);
}
inline double chain(double outer, double partial) {
  const double product = outer * partial;
  return outer == 0.0 ? 0.0 : product;  // without a branch
}

}  // namespace detail

/// An operation that is computed but not yet recorded. Operators and functions of Active numbers
/// return it; assign it to an Active to record it. It holds copies of its operands, which are
/// Active numbers, doubles and other expressions, and may outlive the variables that it was written
/// with. Like those numbers, it is valid while the tape exists and is not rewound past them.
///
///     auto e = exp(x) * y;      // x, y: tapegrad::Active
///     double value = e.data();  // nothing is recorded yet
///     tapegrad::Active z = e;   // records e
template <Op code, class... Operands>
class Expression {
 public:
  /// The type that the expression becomes when it is assigned.
  using Whole = Active;

  /// Copies the operands and computes the primal. Called by Active::apply().
  template <class... X>
  explicit Expression(const X&... x)
      : operands_(x...), primal_(entry<code>.value(detail::data(x)...)) {}

  /// Returns the primal, the value of the expression.
  double data() const noexcept { return primal_; }

 private:
  friend class Active;
  friend class CompactTape;
  template <Op, class...>
  friend class Expression;

  // Whether all, or any, of the active numbers in the expression are not constants.
  bool all_recorded() const {
    return std::apply([](const auto&... x) { return (... && all_recorded(x)); }, operands_);
  }
  bool any_recorded() const {
    return std::apply([](const auto&... x) { return (... || any_recorded(x)); }, operands_);
  }
  static bool all_recorded(double) { return true; }
  static bool any_recorded(double) { return false; }
  static bool all_recorded(const Recorded auto& x) { return x.all_recorded(); }
  static bool any_recorded(const Recorded auto& x) { return x.any_recorded(); }

  // Returns a tuple of the expression's leaves from left to right, with their partials multiplied
  // by `outer`.
  template <class Outer>
  auto leaves(Outer outer) const {
    return leaves(outer, std::index_sequence_for<Operands...>());
  }
  template <class Outer, std::size_t... k>
  auto leaves(Outer outer, std::index_sequence<k...>) const {
    return std::tuple_cat(leaves_of<k>(outer, std::get<k>(operands_))...);
  }
  template <std::size_t k, class Outer, class Operand>
  auto leaves_of([[maybe_unused]] Outer outer, const Operand& operand) const {
    if constexpr (std::is_same_v<Operand, double>) {
      return std::tuple<>();
    } else {
      const auto partial = std::apply(
          [&](const auto&... x) {
            return detail::chain(outer,
                                 std::get<k>(entry<code>.partials)(detail::data(x)..., primal_));
          },
          operands_);
      if constexpr (std::is_same_v<Operand, detail::ActiveCopy>)
        return std::tuple(
            detail::Leaf<std::remove_const_t<decltype(partial)>>{operand.slot, partial});
      else return operand.leaves(partial);
    }
  }

  std::tuple<Operands...> operands_;
  double primal_;
};

}  // namespace tapegrad

/// The limits of double, as constants of type Active.
template <>
class std::numeric_limits<tapegrad::Active> : public tapegrad::detail::Limits<tapegrad::Active> {};
/// The limits of an expression: those of the Active that it becomes.
template <tapegrad::Op code, class... Operands>
class std::numeric_limits<tapegrad::Expression<code, Operands...>>
    : public std::numeric_limits<tapegrad::Active> {};
