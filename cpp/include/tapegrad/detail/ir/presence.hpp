// Derivatives that may not be there: what comes through a branch not taken, or of a direction or
// cotangent of 0, is absent, so that no infinite slope makes NaN of it.
//
// Over doubles, and in a recording that is not replayed, it is known whether a derivative is there.
// In one that is, other inputs may take other branches: the condition is carried along with the
// derivative, whose number is 0 where it does not hold.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad::detail {

// The condition under which a derivative of a recorded sweep is there: `symbol` is not 0. It is
// never negative, so that a sum of several says whether any is there.
struct Presence {
  Symbol symbol = 1.0;
  bool of_seed = false;  // where it is not there, a direction or cotangent is 0

  bool is_certain() const { return symbol.is_constant() && symbol.primal() != 0.0; }
};

inline Presence either(const Presence& x, const Presence& y) {
  if (x.is_certain() || y.is_certain()) return {};
  const bool of_seed = x.of_seed || y.of_seed;
  if (x.symbol.is_constant() || x.symbol.place() == y.symbol.place()) return {y.symbol, of_seed};
  if (y.symbol.is_constant()) return {x.symbol, of_seed};
  return {x.symbol + y.symbol, of_seed};
}

// Of a direction or cotangent that is no constant: where it is 0 it does not vary, though it can
// itself be differentiated by.
inline Presence presence_of_seed(const Symbol& weight) {
  if (!Recording::current->guarding) return {weight.primal() != 0.0 ? 1.0 : 0.0, true};
  return {Symbol::apply<op<"stop">()>(abs(weight)), true};
}

// Whether a direction or cotangent is there in all runs to come.
inline bool is_present(double weight) { return weight != 0.0; }
inline bool is_present(const Symbol& weight) {
  return weight.is_constant() && weight.primal() != 0.0;
}

template <bool taken>
Symbol selected(const Condition& condition, const Symbol& x) {
  return taken ? Symbol::apply<op<"where">()>(condition.symbol, x, 0.0)
               : Symbol::apply<op<"where">()>(condition.symbol, 0.0, x);
}
template <bool taken>
Presence selected(const Condition& condition, const Presence& x) {
  if (taken && x.is_certain() && !condition.may_be_negative) return {condition.symbol};
  return {selected<taken>(condition, x.symbol), x.of_seed};
}

// A derivative that may not be there, which is an exact 0: its number is 0 as well.
template <class Number>
struct Maybe;
template <>
struct Maybe<double> {
  double number = 0.0;
  bool there = false;

  void add(const Maybe& more) {
    if (!more.there) return;
    number = there ? number + more.number : more.number;
    there = true;
  }
  static Maybe seed(double weight, bool present) { return {weight, present}; }
};
template <>
struct Maybe<Symbol> {
  Symbol number;
  bool there = false;
  Presence presence;

  void add(const Maybe& more) {
    if (!more.there) return;
    number = there ? number + more.number : more.number;
    presence = there ? either(presence, more.presence) : more.presence;
    there = true;
  }
  static Maybe seed(const Symbol& weight, bool present) {
    if (present) return {weight, true, {}};
    if (weight.is_constant()) return {};
    return {weight, true, presence_of_seed(weight)};
  }
};

inline double times(const Maybe<double>& x, double slope) { return x.number * slope; }
// What is not there stays 0, be the slope infinite.
inline Symbol times(const Maybe<Symbol>& x, const Symbol& slope) {
  const bool is_finite = slope.is_constant() && std::isfinite(slope.primal());
  if (x.presence.is_certain() || is_finite) return x.number * slope;
  return Symbol::apply<op<"scaled">()>(x.presence.symbol, x.number, slope);
}
template <class Number, int slope>
Number times(const Maybe<Number>& x, Constant<slope>) {
  if constexpr (slope == 1) return x.number;
  else return -x.number;
}

// What an operation passes on of x, by one of its partials.
template <class Number, class Partial>
Maybe<Number> passed(Maybe<Number> x, const Partial& partial) {
  x.number = times(x, partial);
  return x;
}
template <class Slope, bool taken>
Maybe<double> passed(const Maybe<double>& x, const Selected<bool, Slope, taken>& partial) {
  return partial.is_present() ? passed(x, partial.slope) : Maybe<double>();
}
// Where it is not recorded which branch is taken, the other one passes nothing on. Else the branch
// is chosen, not multiplied by: nothing comes through the other one, be it infinite.
template <class Slope, bool taken>
Maybe<Symbol> passed(const Maybe<Symbol>& x, const Selected<Condition, Slope, taken>& partial) {
  const Condition& condition = partial.condition;
  if (condition.symbol.is_constant())
    return (condition.symbol.primal() != 0.0) == taken ? passed(x, partial.slope) : Maybe<Symbol>();
  const Presence presence = selected<taken>(condition, x.presence);
  if constexpr (std::is_same_v<Slope, Symbol>)
    if (!x.presence.of_seed)
      return {Symbol::apply<op<"selected">()>(presence.symbol, x.number, partial.slope), true,
              presence};
  return {selected<taken>(condition, times(x, partial.slope)), true, presence};
}

// What a rule is given, and how what it gives goes on: there, where any of that was.
template <class Number>
struct RuleInput {
  explicit RuleInput(std::size_t count) : numbers(count, Symbol(0.0)), present(count) {}

  void set(std::size_t k, const Maybe<Number>& derivative) {
    if (!derivative.there) return;
    numbers[k] = derivative.number;
    if constexpr (std::is_same_v<Number, Symbol>) {
      presence = any_there ? either(presence, derivative.presence) : derivative.presence;
      present[k] = derivative.presence.symbol.primal() != 0.0 || Recording::current->guarding;
    } else {
      present[k] = true;
    }
    any_there = true;
  }
  bool any() const { return any_there; }

  Maybe<Number> result(const Symbol& number) const {
    if constexpr (std::is_same_v<Number, double>) return {number.primal(), true};
    else if (presence.is_certain()) return {number, true, presence};
    else if (presence.of_seed)
      return {Symbol::apply<op<"scaled">()>(presence.symbol, number, 1.0), true, presence};
    else return {selected<true>(Condition{presence.symbol}, number), true, presence};
  }

  std::vector<Symbol> numbers;
  std::vector<bool> present;
  Presence presence;
  bool any_there = false;
};

}  // namespace tapegrad::detail
