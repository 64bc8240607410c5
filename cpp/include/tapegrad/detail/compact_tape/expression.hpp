// Numbers of a compact tape, and expressions of them: what an operator returns, until it is assigned.
//
// An expression holds copies of its operands and nothing is recorded of it before it becomes a
// Active: then the whole statement is one step, with a partial derivative for each number in it.
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

// How an expression holds an operand.
class ActiveCopy;
template <class Operand>
using Stored = std::conditional_t<Recorded<Operand> && Whole<Operand>, ActiveCopy, Operand>;

}  // namespace detail

// A number of this thread's compact tape, or a plain one, of which nothing is recorded.
class Active {
 public:
  using Whole = Active;

  Active() = default;
  Active(Number auto primal) : primal_(static_cast<double>(primal)) {}
  // Records the expression, if it depends on a number that is no constant.
  template <Op code, class... Operands>
  Active(const Expression<code, Operands...>& expression);

  double data() const noexcept { return primal_; }
  bool is_constant() const noexcept { return slot_ == 0; }

  // `x` with a primal that is rounded in another way.
  static Active with_data(const Active& x, double primal) { return {primal, x.slot_}; }

  template <Op code, class... Operands>
  static auto apply(const Operands&... operands) {
    return Expression<code, detail::Stored<Operands>...>(operands...);
  }

 private:
  friend class CompactTape;
  friend class detail::ActiveCopy;
  Active(double primal, std::int32_t place) : primal_(primal), slot_(place) {}

  double primal_ = 0.0;
  std::int32_t slot_ = 0;  // of its adjoint: below 0 that of an input
};

namespace detail {

// A copy of an Active. Its members are copied one by one: as a whole, they would be read by one
// load from where two stores have just put them, for which a processor waits.
class ActiveCopy {
 public:
  using Whole = Active;

  explicit ActiveCopy(const Active& number) : primal(number.primal_), place(number.slot_) {}
  ActiveCopy(const ActiveCopy& other) : primal(other.primal), place(other.place) {}
  ActiveCopy& operator=(const ActiveCopy&) = delete;

  double data() const noexcept { return primal; }
  bool all_recorded() const noexcept { return place != 0; }
  bool any_recorded() const noexcept { return place != 0; }

  const double primal;
  const std::int32_t place;
};

// A number in an expression, and the partial derivative by it: a double or a Constant.
template <class Partial>
struct Leaf {
  std::int32_t place;
  Partial partial;
};

// The chain rule inside an expression, where as in a sweep 0 times infinity is 0.
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

// An operation whose operands are Active, plain numbers or expressions.
template <Op code, class... Operands>
class Expression {
 public:
  using Whole = Active;

  template <class... X>
  explicit Expression(const X&... x)
      : operands_(x...), primal_(entry<code>.value(detail::data(x)...)) {}

  double data() const noexcept { return primal_; }

 private:
  friend class Active;
  friend class CompactTape;
  template <Op, class...>
  friend class Expression;

  // Whether all of its numbers, or any, are no constants.
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

  // A tuple of its numbers from left to right, with their partials times `outer`.
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
            detail::Leaf<std::remove_const_t<decltype(partial)>>{operand.place, partial});
      else return operand.leaves(partial);
    }
  }

  std::tuple<Operands...> operands_;
  double primal_;
};

}  // namespace tapegrad

template <>
class std::numeric_limits<tapegrad::Active> : public tapegrad::detail::Limits<tapegrad::Active> {};
template <tapegrad::Op code, class... Operands>
class std::numeric_limits<tapegrad::Expression<code, Operands...>>
    : public std::numeric_limits<tapegrad::Active> {};
