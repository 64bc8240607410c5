// Derivatives that may be absent. A derivative is absent if it comes through a branch not taken, or
// from a direction or cotangent of 0. An infinite slope then cannot turn it into NaN.
//
// In a sweep over doubles, and in a recording that is not replayed, it is known which derivatives
// are absent. In a recording for replays, other inputs may take other branches. The sweep then
// carries a condition along with each derivative, whose number is 0 if the condition is false.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "tapegrad/detail/ir/recording.hpp"

namespace tapegrad::detail {

// The condition under which a derivative of a recorded sweep is present: `symbol` is not 0. It is
// never negative, so that a sum of several is 0 only if none is present.
struct Presence {
  Symbol symbol = 1.0;
  bool of_seed = false;  // a weight of 0 makes it absent

  bool is_certain() const { return symbol.is_constant() && symbol.primal() != 0.0; }
};

// The presence of a sum, which is present if one of the two is.
inline Presence either(const Presence& x, const Presence& y) {
  if (x.is_certain() || y.is_certain()) return {};
  const bool of_seed = x.of_seed || y.of_seed;
  if (x.symbol.is_constant() || x.symbol.place() == y.symbol.place()) return {y.symbol, of_seed};
  if (y.symbol.is_constant()) return {x.symbol, of_seed};
  return {x.symbol + y.symbol, of_seed};
}

// The presence of a direction or cotangent that is not constant. If it is 0, its derivative is
// absent, but a program can still differentiate by it.
inline Presence presence_of_seed(const Symbol& weight) {
  if (!Recording::current->guarding) return {weight.primal() != 0.0 ? 1.0 : 0.0, true};
  return {Symbol::apply<op<"stop">()>(abs(weight)), true};
}

// True if a direction or cotangent is present in every replay.
inline bool is_present(double weight) { return weight != 0.0; }
inline bool is_present(const Symbol& weight) {
  return weight.is_constant() && weight.primal() != 0.0;
}

// The number, or the presence, if the condition equals `taken`, and else 0.
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

// A derivative that may be absent. An absent derivative is an exact 0, and its number is 0 too.
template <class Number>
struct Maybe;
// A derivative in a sweep over doubles.
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
// A derivative in a recorded sweep. If `there` is false, it is absent in every replay; otherwise
// `presence` is the condition under which it is present.
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

// The number of the derivative times a slope.
inline double times(const Maybe<double>& x, double slope) { return x.number * slope; }
// An absent derivative stays 0, even if the slope is infinite.
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

// The contribution that an operation passes on of x, by one of its partials.
template <class Number, class Partial>
Maybe<Number> passed(Maybe<Number> x, const Partial& partial) {
  x.number = times(x, partial);
  return x;
}
template <class Slope, bool taken>
Maybe<double> passed(const Maybe<double>& x, const Selected<bool, Slope, taken>& partial) {
  return partial.is_present() ? passed(x, partial.slope) : Maybe<double>();
}
// If the condition is constant, the branch not taken passes nothing on. Otherwise the code selects
// the number instead of multiplying it by 0 or 1, so that an infinity from the other branch has no
// effect.
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

// The derivatives passed to a rule, and the presence of its results: they are present if one of
// those derivatives is.
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
