// Expressions of C99. The entries of the operation table work on them as on doubles, and so give
// the text of what they compute.
//
// Functions have the table's name; those of c_functions.hpp are named tapegrad_<name>.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "tapegrad/detail/ir/codegen/c_functions.hpp"
#include "tapegrad/detail/ops/functions.hpp"
#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad {

// The name in C of a function of the table.
inline std::string c_name(std::string_view name) {
  for (const CFunction& function : c_functions)
    if (function.name == name) return "tapegrad_" + std::string(name);
  return std::string(name == "abs" ? "fabs" : name);
}

// Returns a literal with exactly this value: a short decimal fraction if there is one, otherwise
// hexadecimal as from Python's float.hex().
inline std::string c_literal(double number) {
  if (number != number) return "NAN";
  if (std::signbit(number)) return "-" + c_literal(-number);
  if (std::isinf(number)) return "INFINITY";
  constexpr double below = 4294967296.0, denominator = 16.0;
  if (number < below && number * denominator == std::floor(number * denominator)) {
    auto whole = static_cast<std::uint32_t>(number);
    std::string text = std::to_string(whole) + ".";
    do {
      number = (number - whole) * 10.0;
      whole = static_cast<std::uint32_t>(number);
      text += static_cast<char>('0' + whole);
    } while (number != whole);
    return text;
  }
  int exponent = 0;
  double fraction = 2.0 * std::frexp(number, &exponent) - 1.0;
  std::string text = "0x1.";
  do {
    const auto digit = static_cast<std::size_t>(fraction *= 16.0);
    text += "0123456789abcdef"[digit];
    fraction -= static_cast<double>(digit);
  } while (fraction != 0.0);
  return text + "p" + std::to_string(exponent - 1);
}

// The text of an expression of C, and a flag: does it need parentheses as an operand?
class CExpression {
 public:
  using Whole = CExpression;

  CExpression(Number auto number)
      : text_(c_literal(static_cast<double>(number))), is_one_word_(text_[0] != '-') {}

  static CExpression variable(std::string name) { return {std::move(name), true}; }
  static CExpression composed(std::string text) { return {std::move(text), false}; }
  template <class... Operands>
  static CExpression call(std::string_view name, const CExpression& first,
                          const Operands&... rest) {
    return {c_name(name) + "(" + (first.text_ + ... + (", " + rest.text_)) + ")", true};
  }

  const std::string& text() const noexcept { return text_; }
  // The text as an operand of an operator, in parentheses if it needs them.
  std::string operand() const { return is_one_word_ ? text_ : "(" + text_ + ")"; }

  template <Op code>
  static CExpression apply(const CExpression& x) {
    if constexpr (code == op<"neg">()) return composed("-" + x.operand());
    else return call(description(code)->name, x);
  }
  template <Op code>
  static CExpression apply(const CExpression& x, const CExpression& y) {
    constexpr std::string_view symbol = ops::descriptions[static_cast<std::size_t>(code)].symbol;
    if constexpr (symbol == "+" || symbol == "-" || symbol == "*" || symbol == "/")
      return composed(x.operand() + " " + std::string(symbol) + " " + y.operand());
    else return call(description(code)->name, x, y);
  }

 private:
  CExpression(std::string text, bool is_one_word)
      : text_(std::move(text)), is_one_word_(is_one_word) {}

  std::string text_;
  bool is_one_word_;
};

// The text of a condition of C.
struct CCondition {
  CExpression text;
};

inline CCondition c_condition(const CExpression& x, std::string_view sign, const CExpression& y) {
  return {CExpression::composed(x.operand() + " " + std::string(sign) + " " + y.operand())};
}

template <class X, class Y>
concept CExpressionPair = Pair<X, Y> &&
    (std::same_as<X, CExpression> || std::same_as<Y, CExpression>);

// clang-format off
template <class X, class Y> requires CExpressionPair<X, Y> CCondition operator<(const X& x, const Y& y) { return c_condition(x, "<", y); }
template <class X, class Y> requires CExpressionPair<X, Y> CCondition operator>(const X& x, const Y& y) { return c_condition(x, ">", y); }
template <class X, class Y> requires CExpressionPair<X, Y> CCondition operator<=(const X& x, const Y& y) { return c_condition(x, "<=", y); }
template <class X, class Y> requires CExpressionPair<X, Y> CCondition operator>=(const X& x, const Y& y) { return c_condition(x, ">=", y); }
template <class X, class Y> requires CExpressionPair<X, Y> CCondition operator==(const X& x, const Y& y) { return c_condition(x, "==", y); }
template <class X, class Y> requires CExpressionPair<X, Y> CCondition operator!=(const X& x, const Y& y) { return c_condition(x, "!=", y); }
inline CCondition operator&&(const CCondition& x, const CCondition& y) { return c_condition(x.text, "&&", y.text); }
inline CCondition operator||(const CCondition& x, const CCondition& y) { return c_condition(x.text, "||", y.text); }

inline CExpression where(const CCondition& condition, const CExpression& x, const CExpression& y) {
  return CExpression::composed(condition.text.operand() + " ? " + x.operand() + " : " + y.operand());
}
inline CExpression scaled(const CExpression& presence, const CExpression& x, const CExpression& slope) { return where(presence != 0.0, x * slope, 0.0); }
inline CExpression power(const CExpression& x, const CExpression& exponent) { return CExpression::call("power", x, exponent); }
inline CExpression remainder(const CExpression& x, const CExpression& y) { return CExpression::call("remainder", x, y); }
inline CExpression sigmoid_slope(const CExpression& x) { return CExpression::call("sigmoid_slope", x); }
inline CExpression tanh_slope(const CExpression& x, const CExpression& y) { return CExpression::call("tanh_slope", x, y); }
inline CExpression tanh_curve(const CExpression&, const CExpression& y, const CExpression& slope) { return -2.0 * y * slope; }
inline CExpression tanh_derivative(const CExpression& x, const CExpression& order) { return CExpression::call("tanh_derivative", x, order); }
inline CExpression expm1_slope(const CExpression& x, const CExpression& y) { return CExpression::call("expm1_slope", x, y); }
inline CExpression complement(const CExpression& x) { return CExpression::call("complement", x); }
inline CExpression asinh_slope(const CExpression& x) { return CExpression::call("asinh_slope", x); }
inline CExpression cbrt_derivative(const CExpression& x, const CExpression& order) { return CExpression::call("cbrt_derivative", x, order); }
inline CExpression acosh_derivative(const CExpression& x, const CExpression& order) { return CExpression::call("acosh_derivative", x, order); }
inline CExpression gaussian(const CExpression& x, const CExpression& order) { return CExpression::call("gaussian", x, order); }
inline CExpression gelu_derivative(const CExpression& x, const CExpression& order) { return CExpression::call("gelu_derivative", x, order); }
inline CExpression silu_derivative(const CExpression& x, const CExpression& order) { return CExpression::call("silu_derivative", x, order); }
inline CExpression quotient(const CExpression& x, const CExpression& y, const CExpression& n) { return CExpression::call("quotient", x, y, n); }
inline CExpression pow_derivative(const CExpression& x, const CExpression& y, const CExpression& order) { return CExpression::call("pow_derivative", x, y, order); }
inline CExpression atan2_derivative(const CExpression& y, const CExpression& x, const CExpression& order) { return CExpression::call("atan2_derivative", y, x, order); }
inline CExpression hypot_derivative(const CExpression& x, const CExpression& y, const CExpression& order) { return CExpression::call("hypot_derivative", x, y, order); }
inline CExpression polygamma(const CExpression& x, const CExpression& order) { return CExpression::call("polygamma", x, order); }
inline CExpression trunc(const CExpression& x) { return CExpression::call("trunc", x); }
inline CExpression floor(const CExpression& x) { return CExpression::call("floor", x); }
inline CExpression ceil(const CExpression& x) { return CExpression::call("ceil", x); }
inline CExpression nearbyint(const CExpression& x) { return CExpression::call("nearbyint", x); }
inline CExpression floor_quotient(const CExpression& x, const CExpression& y) { return CExpression::call("floor_quotient", x, y); }
// clang-format on

}  // namespace tapegrad
