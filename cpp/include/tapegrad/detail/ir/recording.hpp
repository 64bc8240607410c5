// A function as it ran once: every operation in order, with no Python object in it.
//
// A Symbol is a number of a recording. The table's entries work on it as they do on a double: their
// values record, and so do their partial derivatives, which makes the derivative of a recording
// more recording.
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

// Where a recording has a number: an instruction, or with the top bit a constant.
using ValueId = std::uint32_t;
inline constexpr ValueId constant_tag = 0x80000000u;
inline constexpr ValueId no_value = 0xffffffffu;

class Symbol;

// An operation, and its value in this run. Inputs are leaves; Op::custom is an output of a Rule.
struct Instruction {
  double primal;
  Op op;
  ValueId operand[3];
};
static_assert(sizeof(Instruction) == 24);

namespace detail {
// Of leaves and open operations none.
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

// What a function was told about a number: while it is told the same, it takes the same path.
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
    digits,  // as value, where no derivative is lost: x itself was read, and not used as a number
  };
  Kind kind;
  std::uint32_t source;  // the embedding's name for the line that asked
  ValueId operand[2];
  double outcome;  // 1 or 0 of a comparison
};

// What `kind` says of x (and y).
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

// Whether two numbers are the same in all that a program can see: 0.0 is not -0.0, nan is nan.
inline bool same(double x, double y) {
  return (x == y && std::signbit(x) == std::signbit(y)) || (x != x && y != y);
}

// A derivative that the embedding knows better than the table: outputs follow each other. Where it
// is recorded, so that it can be differentiated again, `record` says so; else primals are enough.
// `present` says which of the numbers that it is given are there: the others are 0, and a
// derivative that is there may be 0 as well.
struct Rule {
  virtual ~Rule() = default;
  // The cotangents of the operands from those of the outputs, in the recording that is open.
  virtual std::vector<Symbol> pull(std::span<const Symbol> cotangents,
                                   const std::vector<bool>& present, bool record) = 0;
  // Whether it knows forward mode as well.
  virtual bool goes_forward() const = 0;
  // The tangents of the outputs from those of the operands.
  virtual std::vector<Symbol> push(std::span<const Symbol> tangents,
                                   const std::vector<bool>& present, bool record) = 0;
};

class Recording {
 public:
  struct Group {
    ValueId first;
    std::uint32_t count;
    std::vector<ValueId> operands;
    std::vector<ValueId> values;  // what each output is a copy of
    std::shared_ptr<Rule> rule;
    bool pulled = false;  // a recorded sweep went through it
  };

  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  ValueId input(double primal) {
    return append({primal, Op::leaf, {no_value, no_value, no_value}});
  }

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

  // The outputs of a rule whose operands these are, one for each value, in a row.
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
  // Whether x is less than y: what is recorded next holds while the answer is the same. An
  // embedding may answer in its own way.
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
  const std::vector<Group>& groups() const noexcept { return groups_; }
  std::span<const double> constants() const noexcept { return constants_; }

  // Whether it is to be replayed with other inputs. Else comparisons of its numbers are decided for
  // good, and only the branch that was taken is recorded.
  bool guarding = true;

  // Whether a rule was recorded at this place or after it.
  bool has_group_since(ValueId begin) const noexcept {
    return !groups_.empty() && groups_.back().first + groups_.back().count > begin;
  }

  // What was recorded from `place` on is forgotten, and all constants but the first ones; nothing
  // may refer to it any more.
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

  // Where it is not null, a sweep notes there which instruction it records the derivative of, and
  // from which place on.
  using Causes = std::vector<std::pair<ValueId, ValueId>>;
  Causes* causes = nullptr;

  // The one that symbols of this thread are recorded in; null when none is.
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
  std::vector<Group> groups_;
};

// A number of the current recording, or a plain one, of which nothing is recorded.
class Symbol {
 public:
  using Whole = Symbol;

  Symbol() = default;
  Symbol(Number auto primal) : primal_(static_cast<double>(primal)) {}
  template <int number>
  Symbol(Constant<number>) : primal_(number) {}
  Symbol(double primal, ValueId place) : primal_(primal), place_(place) {}
  // A number of this recording as an operand.
  static Symbol at(const Recording& recording, ValueId place) {
    return {recording.primal(place), place & constant_tag ? no_value : place};
  }

  double primal() const noexcept { return primal_; }
  bool is_constant() const noexcept { return place_ == no_value; }
  bool is(double number) const noexcept { return is_constant() && same(primal_, number); }
  ValueId place() const noexcept { return place_; }
  // As an operand of `recording`.
  ValueId in(Recording& recording) const {
    return is_constant() ? recording.constant(primal_) : place_;
  }

  // Records an operation, unless all arguments are constants or its value is one of them.
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

// True where the symbol is not 0. That is never negative, unless it says so: mostly, it is 1 or 0.
struct Condition {
  Symbol symbol;
  bool may_be_negative = false;
};

// What an operation gives without being recorded: a constant of constants, and where an identity
// holds for every number of IEEE arithmetic one of its operands.
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

// Recorded where other inputs may decide otherwise.
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
// Exponents that power() has a form of its own for keep it: a square's slope is a product.
inline Symbol power_slope(const Symbol& x, const Symbol& c) {
  if (c.primal() == 0.0) return 0.0;
  return math::has_own_form(c.primal() - 1.0) ? c * power(x, c - 1.0) : pow_derivative(x, c, 1.0);
}
inline Symbol pow_slope(const Symbol& x, const Symbol& y, const Symbol&) { return pow_derivative(x, y, math::second_order); }
inline Symbol atan2_derivative(const Symbol& y, const Symbol& x, const Symbol& order) { return Symbol::apply<op<"atan2_derivative">()>(y, x, order); }
inline Symbol hypot_derivative(const Symbol& x, const Symbol& y, const Symbol& order) { return Symbol::apply<op<"hypot_derivative">()>(x, y, order); }
inline Symbol hypot_slope(const Symbol& x, const Symbol& y, const Symbol&) { return hypot_derivative(x, y, 1.0); }
// clang-format on

// The largest of symbols, the first of equal ones, and for each whether it is that one: found anew
// in every run. None is where the largest is infinite; `or_infinite`, where it is -infinity.
struct Peak {
  Symbol top;
  std::vector<Symbol> is_top;  // 1 or 0
};
inline Peak peak_of(std::span<const Symbol> x, bool or_infinite = false) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  Peak peak{x[0], {}};
  std::vector<Condition> larger(1, Condition{1.0});  // than all before
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

inline Symbol rest_of_exponentials(std::span<const Symbol> x, const Peak& peak,
                                   const Symbol& shift) {
  // The choice comes before exp, so that its derivative has nothing of inf - inf.
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Symbol rest = ops::nothing;
  for (std::size_t k = 0; k < x.size(); ++k)
    rest = rest + exp(where(Condition{peak.is_top[k]}, -infinity, x[k] - shift));
  return rest;
}

// As of doubles.
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
