// A recording: every operation of one recorded call of a function, in order, without Python
// objects.
//
// A Symbol is a number of a recording. Values and partials of the operation table work on Symbols
// as on doubles and record what they compute. The derivative of a recording is therefore more
// recording.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "tapegrad/detail/base/errors.hpp"
#include "tapegrad/detail/ops/functions.hpp"
#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad {

// An SSA identifier: the index of an instruction or, with constant_tag, of a constant.
using ValueId = std::uint32_t;
inline constexpr ValueId constant_tag = 0x80000000u;
inline constexpr ValueId no_value = 0xffffffffu;

class Symbol;

// One operation with its value in the recorded call. An input is a leaf; an output of a Rule has
// Op::custom, and its first operand is the index of its RuleCall in Recording::groups().
struct Instruction {
  double primal;
  Op op;
  ValueId operand[3];
};
static_assert(sizeof(Instruction) == 24);

namespace detail {
// Number of operands for each operation, a constant last parameter included; 0 for leaves and
// custom operations.
inline constexpr auto operand_counts = [] {
  std::array<std::uint8_t, ops::count + 2> counts{};
  for (std::size_t k = 0; k < ops::count; ++k)
    counts[k] = static_cast<std::uint8_t>(ops::descriptions[k].arity +
                                          (ops::descriptions[k].constant_last ? 1 : 0));
  return counts;
}();
}  // namespace detail

constexpr std::size_t operand_count(Op op) {
  return detail::operand_counts[static_cast<std::size_t>(op)];
}

// The outcome of a query about numbers during the recorded call, such as x < y or int(x). The
// function takes the same branches as long as all guards have the same outcomes.
struct Guard {
  enum Kind : std::uint8_t {
    less,
    less_equal,
    equal,
    value,
    truncated,
    floored,
    ceiled,
    rounded,
    quotient,
    digits,  // like value, for a read that loses no derivative
  };
  Kind kind;
  std::uint32_t source;  // the embedding's identifier of the source line of the query
  ValueId operand[2];
  double outcome;  // 1 or 0 for a comparison
};

// The outcome of a query of this kind about x and, for some kinds, y.
template <class Number>
Number observe(Guard::Kind kind, const Number& x, const Number& y) {
  using math::floor_quotient, math::where;
  using std::ceil, std::floor, std::nearbyint, std::trunc;
  switch (kind) {
    case Guard::less:
      return where(x < y, 1.0, 0.0);
    case Guard::less_equal:
      return where(x <= y, 1.0, 0.0);
    case Guard::equal:
      return where(x == y, 1.0, 0.0);
    case Guard::value:
    case Guard::digits:
      return x;
    case Guard::truncated:
      return trunc(x);
    case Guard::floored:
      return floor(x);
    case Guard::ceiled:
      return ceil(x);
    case Guard::rounded:
      return nearbyint(x);
    case Guard::quotient:
      return floor_quotient(x, y);
  }
  return x;
}

// True if no program can tell the two numbers apart: 0.0 is not -0.0, and NaN is NaN.
inline bool same(double x, double y) {
  return (x == y && std::signbit(x) == std::signbit(y)) || (x != x && y != y);
}

// A derivative that the embedding supplies in place of the table's, for a group of outputs.
// The rule receives 0 for an absent number; `present` distinguishes it from a number that is
// present and 0. If `record` is true, the rule must record its operations in the current recording,
// so that a program can differentiate them; otherwise only the primals of its results count.
struct Rule {
  virtual ~Rule() = default;
  // Returns the operands' cotangents, given the outputs'.
  virtual std::vector<Symbol> pull(std::span<const Symbol> cotangents,
                                   const std::vector<bool>& present, bool record) = 0;
  // True if the rule has a push() for forward mode.
  virtual bool goes_forward() const = 0;
  // Returns the outputs' tangents, given the operands'.
  virtual std::vector<Symbol> push(std::span<const Symbol> tangents,
                                   const std::vector<bool>& present, bool record) = 0;
};

// The instructions, constants, guards and rules of one recorded call.
class Recording {
 public:
  // The outputs of one application of a rule: successive instructions from `first` on.
  struct RuleCall {
    ValueId first;
    std::uint32_t count;
    std::vector<ValueId> operands;
    std::vector<ValueId> values;  // the number that each output copies
    std::shared_ptr<Rule> rule;
    bool pulled = false;  // a recorded reverse sweep has applied the rule
  };

  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // Appends an input with this primal.
  ValueId input(double primal) {
    return append({primal, Op::leaf, {no_value, no_value, no_value}});
  }

  // Returns the identifier of a constant. A constant equal to the one added last gets the same
  // identifier.
  ValueId constant(double number) {
    if (!constants_.empty() && same(constants_.back(), number))
      return static_cast<ValueId>(constants_.size() - 1) | constant_tag;
    constants_.push_back(number);
    return static_cast<ValueId>(constants_.size() - 1) | constant_tag;
  }

  template <Op code>
  ValueId record(ValueId x) {
    return append({entry<code>.value(primal(x)), code, {x, no_value, no_value}});
  }
  template <Op code>
  ValueId record(ValueId x, ValueId y) {
    return append({entry<code>.value(primal(x), primal(y)), code, {x, y, no_value}});
  }
  template <Op code>
  ValueId record(ValueId x, ValueId y, ValueId z) {
    return append({entry<code>.value(primal(x), primal(y), primal(z)), code, {x, y, z}});
  }

  // Appends the outputs of a rule with these operands, one for each value, and returns the first.
  ValueId record_group(std::vector<ValueId> operands, std::vector<ValueId> values,
                       std::shared_ptr<Rule> rule) {
    const ValueId first = size();
    const auto group = static_cast<ValueId>(groups_.size());
    const auto count = static_cast<std::uint32_t>(values.size());
    groups_.push_back({first, count, std::move(operands), std::move(values), std::move(rule)});
    for (std::uint32_t k = 0; k < count; ++k)
      append({primal(groups_[group].values[k]), Op::custom, {group, no_value, no_value}});
    return first;
  }

  void mark_pulled(ValueId group) { groups_[group].pulled = true; }

  void guard(const Guard& guard) { guards_.push_back(guard); }
  // Returns x < y and adds a guard, so that the instructions that follow are valid only for this
  // outcome. An embedding may replace the function through `asked_`.
  bool is_less(ValueId x, ValueId y) {
    if (asked_ != nullptr) return asked_(*this, Guard::less, x, y) != 0.0;
    const double outcome = observe(Guard::less, primal(x), primal(y));
    guard({Guard::less, ~std::uint32_t{0}, {x, y}, outcome});
    return outcome != 0.0;
  }

  ValueId size() const noexcept { return static_cast<ValueId>(instructions_.size()); }
  const Instruction& operator[](ValueId i) const noexcept { return instructions_[i]; }
  double primal(ValueId i) const noexcept {
    return i & constant_tag ? constants_[i & ~constant_tag] : instructions_[i].primal;
  }
  const std::vector<Guard>& guards() const noexcept { return guards_; }
  const std::vector<RuleCall>& groups() const noexcept { return groups_; }
  std::span<const double> constants() const noexcept { return constants_; }

  // True if a program made from the recording will be replayed with other inputs. If false,
  // comparisons of its numbers become constants, and the recording contains only the branch taken.
  bool guarding = true;

  // True if an output of a rule lies at or after `begin`.
  bool has_group_since(ValueId begin) const noexcept {
    return !groups_.empty() && groups_.back().first + groups_.back().count > begin;
  }

  // Removes the instructions from `place` on, their rules, and all but the first `constants`
  // constants. Nothing may refer to them any longer.
  void rewind(ValueId place, std::size_t constants) noexcept {
    while (!groups_.empty() && groups_.back().first >= place) groups_.pop_back();
    instructions_.resize(place);
    constants_.resize(constants);
  }
  void clear() noexcept {
    instructions_.clear();
    constants_.clear();
    guards_.clear();
    groups_.clear();
    if (instructions_.capacity() > kept_capacity) instructions_ = {};
  }

  // Pairs (place, cause): a sweep recorded the instructions from `place` up to the next pair's as
  // the derivative of instruction `cause`. A sweep appends pairs if the pointer is not null.
  using Causes = std::vector<std::pair<ValueId, ValueId>>;
  Causes* causes = nullptr;

  // The recording in which the Symbols of this thread record; null if there is none.
  static inline thread_local constinit Recording* current = nullptr;

 protected:
  using Asked = double (*)(Recording&, Guard::Kind, ValueId, ValueId);
  Asked asked_ = nullptr;

 private:
  static constexpr std::size_t kept_capacity = std::size_t{1} << 20;

  ValueId append(const Instruction& instruction) {
    if (instructions_.size() == constant_tag - 1) [[unlikely]]
      throw ArenaFull("the recording is full: it has room for 2147483647 operations");
    instructions_.push_back(instruction);
    return static_cast<ValueId>(instructions_.size() - 1);
  }

  std::vector<Instruction> instructions_;
  std::vector<double> constants_;
  std::vector<Guard> guards_;
  std::vector<RuleCall> groups_;
};

// A number of the current recording, or a constant, which needs no instruction.
class Symbol {
 public:
  using Whole = Symbol;

  Symbol() = default;
  Symbol(Number auto primal) : primal_(static_cast<double>(primal)) {}
  template <int number>
  Symbol(Constant<number>) : primal_(number) {}
  Symbol(double primal, ValueId place) : primal_(primal), place_(place) {}
  // The number of `recording` with this identifier.
  static Symbol at(const Recording& recording, ValueId place) {
    return {recording.primal(place), place & constant_tag ? no_value : place};
  }

  double primal() const noexcept { return primal_; }
  bool is_constant() const noexcept { return place_ == no_value; }
  bool is(double number) const noexcept { return is_constant() && same(primal_, number); }
  ValueId place() const noexcept { return place_; }
  // The identifier of this number as an operand in `recording`.
  ValueId in(Recording& recording) const {
    return is_constant() ? recording.constant(primal_) : place_;
  }

  // Records an operation and returns its result. It records nothing if known() gives the result.
  template <Op code>
  static Symbol apply(const Symbol& x);
  template <Op code>
  static Symbol apply(const Symbol& x, const Symbol& y);
  template <Op code>
  static Symbol apply(const Symbol& x, const Symbol& y, const Symbol& z);

 private:
  double primal_ = 0.0;
  ValueId place_ = no_value;
};

// A condition: true if `symbol` is not 0. The symbol, usually 1 or 0, is never negative unless
// `may_be_negative` is set.
struct Condition {
  Symbol symbol;
  bool may_be_negative = false;
};

// The result of an operation that needs no instruction: a constant if all operands are constants,
// or an operand if an IEEE identity holds for every number. Empty for all other operations.
template <Op code>
std::optional<Symbol> known(const Symbol& x) {
  if (x.is_constant()) return entry<code>.value(x.primal());
  return {};
}

template <Op code>
std::optional<Symbol> known(const Symbol& x, const Symbol& y) {
  if (x.is_constant() && y.is_constant()) return entry<code>.value(x.primal(), y.primal());
  if constexpr (code == op<"mul">()) {
    if (x.is(1.0)) return y;
    if (y.is(1.0)) return x;
  } else if constexpr (code == op<"div">()) {
    if (y.is(1.0)) return x;
  } else if constexpr (code == op<"add">()) {
    if (x.is(-0.0)) return y;
    if (y.is(-0.0)) return x;
  } else if constexpr (code == op<"sub">()) {
    if (y.is(0.0)) return x;
  } else if constexpr (code == op<"pow_const">()) {
    if (y.is(1.0)) return x;
    if (y.is(0.0) || y.is(-0.0)) return 1.0;
  }
  return {};
}

template <Op code>
std::optional<Symbol> known(const Symbol& x, const Symbol& y, const Symbol& z) {
  if (x.is_constant() && y.is_constant() && z.is_constant())
    return entry<code>.value(x.primal(), y.primal(), z.primal());
  if constexpr (code == op<"where">()) {
    if (x.is_constant()) return x.primal() != 0.0 ? y : z;
  }
  return {};
}

template <Op code>
Symbol Symbol::apply(const Symbol& x) {
  if (const auto symbol = known<code>(x)) return *symbol;
  Recording& r = *Recording::current;
  return at(r, r.record<code>(x.place_));
}

template <Op code>
Symbol Symbol::apply(const Symbol& x, const Symbol& y) {
  if (const auto symbol = known<code>(x, y)) return *symbol;
  if constexpr (code == op<"pow">())
    if (y.is_constant()) return apply<op<"pow_const">()>(x, y);
  Recording& r = *Recording::current;
  const ValueId a = x.in(r), b = y.in(r);
  return at(r, r.record<code>(a, b));
}

template <Op code>
Symbol Symbol::apply(const Symbol& x, const Symbol& y, const Symbol& z) {
  if (const auto symbol = known<code>(x, y, z)) return *symbol;
  Recording& r = *Recording::current;
  const ValueId a = x.in(r), b = y.in(r), c = z.in(r);
  return at(r, r.record<code>(a, b, c));
}

// A symbol, and a symbol or a plain number.
template <class X, class Y>
concept SymbolPair = Pair<X, Y> &&(std::same_as<X, Symbol> || std::same_as<Y, Symbol>);

// A comparison of symbols. While `guarding` is true it is an instruction, because other inputs may
// change the outcome; a comparison of two constants is a constant.
template <Op code>
Condition compared(const Symbol& x, const Symbol& y) {
  if (Recording::current != nullptr && Recording::current->guarding)
    return {Symbol::apply<code>(x, y)};
  return {entry<code>.value(x.primal(), y.primal())};
}
inline Condition is_true(const Symbol& x) {
  if (Recording::current != nullptr && Recording::current->guarding) return {x, true};
  return {x.primal()};
}
inline Condition is_there(const Symbol& x) { return {is_true(x).symbol}; }

// clang-format off
template <class X, class Y> requires SymbolPair<X, Y> Condition operator<(const X& x, const Y& y) { return compared<op<"less">()>(x, y); }
template <class X, class Y> requires SymbolPair<X, Y> Condition operator>(const X& x, const Y& y) { return compared<op<"less">()>(y, x); }
template <class X, class Y> requires SymbolPair<X, Y> Condition operator<=(const X& x, const Y& y) { return compared<op<"less_equal">()>(x, y); }
template <class X, class Y> requires SymbolPair<X, Y> Condition operator>=(const X& x, const Y& y) { return compared<op<"less_equal">()>(y, x); }
template <class X, class Y> requires SymbolPair<X, Y> Condition operator==(const X& x, const Y& y) { return compared<op<"equal">()>(x, y); }
template <class X, class Y> requires SymbolPair<X, Y> Condition operator!=(const X& x, const Y& y) { return {1.0 - compared<op<"equal">()>(x, y).symbol}; }
inline Condition operator&&(const Condition& x, const Condition& y) { return {x.symbol * y.symbol}; }
inline Condition operator||(const Condition& x, const Condition& y) { return {maximum(x.symbol, y.symbol)}; }

inline Symbol where(const Condition& condition, const Symbol& x, const Symbol& y) { return Symbol::apply<op<"where">()>(condition.symbol, x, y); }
inline Symbol where(bool condition, const Symbol& x, const Symbol& y) { return condition ? x : y; }
inline Symbol power(const Symbol& x, const Symbol& exponent) { return Symbol::apply<op<"pow_const">()>(x, exponent); }
inline Symbol remainder(const Symbol& x, const Symbol& y) { return Symbol::apply<op<"remainder">()>(x, y); }
inline Symbol sigmoid_slope(const Symbol& x) { return Symbol::apply<op<"sigmoid_slope">()>(x); }
inline Symbol tanh_slope(const Symbol& x, const Symbol& y) { return Symbol::apply<op<"tanh_slope">()>(x, y); }
inline Symbol tanh_curve(const Symbol& x, const Symbol& y, const Symbol& slope) { return Symbol::apply<op<"tanh_curve">()>(x, y, slope); }
inline Symbol tanh_derivative(const Symbol& x, const Symbol& order) { return Symbol::apply<op<"tanh_derivative">()>(x, order); }
inline Symbol exp2_slope(const Symbol& x, const Symbol& y) {
  return where(y < std::numeric_limits<double>::infinity(), y * std::numbers::ln2, exp2(x - 1.0) * (2.0 * std::numbers::ln2));
}
inline Symbol expm1_slope(const Symbol& x, const Symbol& y) { return Symbol::apply<op<"expm1_slope">()>(x, y); }
inline Symbol polygamma(const Symbol& x, const Symbol& order) { return Symbol::apply<op<"polygamma">()>(x, order); }
inline Symbol digamma(const Symbol& x) { return polygamma(x, 0.0); }
inline Symbol stop(const Symbol& x) { return Symbol::apply<op<"stop">()>(x); }
inline Symbol complement(const Symbol& x) { return Symbol::apply<op<"complement">()>(x); }
inline Symbol asinh_slope(const Symbol& x) { return Symbol::apply<op<"asinh_slope">()>(x); }
inline Symbol cbrt_derivative(const Symbol& x, const Symbol& order) { return Symbol::apply<op<"cbrt_derivative">()>(x, order); }
inline Symbol acosh_derivative(const Symbol& x, const Symbol& order) { return Symbol::apply<op<"acosh_derivative">()>(x, order); }
inline Symbol gaussian(const Symbol& x, const Symbol& order) { return Symbol::apply<op<"gaussian">()>(x, order); }
inline Symbol gelu_derivative(const Symbol& x, const Symbol& order) { return Symbol::apply<op<"gelu_derivative">()>(x, order); }
inline Symbol silu_derivative(const Symbol& x, const Symbol& order) { return Symbol::apply<op<"silu_derivative">()>(x, order); }
inline Symbol quotient(const Symbol& x, const Symbol& y, const Symbol& n) { return Symbol::apply<op<"quotient">()>(x, y, n); }
inline Symbol quotient_slope(const Symbol& x, const Symbol& y, const Symbol&) { return -quotient(x, y, 2.0); }
inline Symbol pow_derivative(const Symbol& x, const Symbol& y, const Symbol& order) { return Symbol::apply<op<"pow_derivative">()>(x, y, order); }
// Uses power() if it has a special form for c - 1, or if c - 1 is 0, so that the slope of a square
// is a product.
inline Symbol power_slope(const Symbol& x, const Symbol& c) {
  if (c.primal() == 0.0) return 0.0;
  return math::has_own_form(c.primal() - 1.0) ? c * power(x, c - 1.0) : pow_derivative(x, c, 1.0);
}
inline Symbol pow_slope(const Symbol& x, const Symbol& y, const Symbol&) { return pow_derivative(x, y, math::second_order); }
inline Symbol atan2_derivative(const Symbol& y, const Symbol& x, const Symbol& order) { return Symbol::apply<op<"atan2_derivative">()>(y, x, order); }
inline Symbol hypot_derivative(const Symbol& x, const Symbol& y, const Symbol& order) { return Symbol::apply<op<"hypot_derivative">()>(x, y, order); }
inline Symbol hypot_slope(const Symbol& x, const Symbol& y, const Symbol&) { return hypot_derivative(x, y, 1.0); }
// clang-format on

// The largest of some symbols, and a flag for each: 1 for the first symbol that equals the largest.
// Every replay finds the largest anew. No flag is set if the largest is NaN or infinite; with
// `or_infinite`, none if it is NaN or -infinity.
struct Peak {
  Symbol top;
  std::vector<Symbol> is_top;  // 1 or 0
};
inline Peak peak_of(std::span<const Symbol> x, bool or_infinite = false) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  Peak peak{x[0], {}};
  std::vector<Condition> larger(1, Condition{1.0});  // than all symbols before it
  for (const Symbol& item : x.subspan(1)) {
    larger.push_back(item > peak.top);
    peak.top = where(larger.back(), item, peak.top);
  }
  const Symbol bound =
      where(or_infinite ? peak.top > -infinity : abs(peak.top) < infinity, peak.top, nan);
  for (std::size_t k = 0; k < x.size(); ++k)
    peak.is_top.push_back((larger[k] && x[k] >= bound).symbol);
  return peak;
}

// The sum of exp(x - shift) over all x whose is_top flag is 0.
inline Symbol rest_of_exponentials(std::span<const Symbol> x, const Peak& peak,
                                   const Symbol& shift) {
  // The choice stands inside exp, so that the derivative contains no inf - inf.
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Symbol rest = ops::nothing;
  for (std::size_t k = 0; k < x.size(); ++k)
    rest = rest + exp(where(Condition{peak.is_top[k]}, -infinity, x[k] - shift));
  return rest;
}

// The functions of the same names in math.hpp, for symbols.
inline Symbol log_sum(std::span<const Symbol> x) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Peak peak = peak_of(x);
  const Condition infinite = abs(peak.top) == infinity;
  const Symbol rest = rest_of_exponentials(x, peak, where(infinite, 0.0, peak.top));
  return where(infinite, log(where(infinite, rest, 1.0)), peak.top + log1p(rest));
}

inline Symbol log_sum_above_first(std::span<const Symbol> x) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Peak peak = peak_of(x, true);
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const Symbol shift = where(peak.top == -infinity, nan, peak.top);
  const Symbol rest = rest_of_exponentials(x, peak, shift);
  return where(Condition{peak.is_top[0]}, 0.0, peak.top - x[0]) + log1p(rest);
}

}  // namespace tapegrad
