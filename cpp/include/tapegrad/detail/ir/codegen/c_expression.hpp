// Numbers as C text: the table's entries work on them as on doubles, and say in C99 what they do.
//
// Functions keep the table's name, but those of c_functions.hpp are named tapegrad_<name>.
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

// What C calls a function of the table.
inline std::string c_name(std::string_view name) {
  for (const CFunction& function : c_functions)
    if (function.name == name) return "tapegrad_" + std::string(name);
  return std::string(name == "abs" ? "fabs" : name);
}

// Exact: as a short decimal fraction where there is one, else in hexadecimal as Python's
// float.hex().
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

// An expression of C.
class CText {
 public:
  using Whole = CText;

  CText(Number auto number)
      : text_(c_literal(static_cast<double>(number))), is_one_word_(text_[0] != '-') {}

  static CText variable(std::string name) { return {std::move(name), true}; }
  static CText composed(std::string text) { return {std::move(text), false}; }
  template <class... Operands>
  static CText call(std::string_view name, const CText& first, const Operands&... rest) {
    return {c_name(name) + "(" + (first.text_ + ... + (", " + rest.text_)) + ")", true};
  }

  const std::string& text() const noexcept { return text_; }
  // As an operand of an operator.
  std::string operand() const { return is_one_word_ ? text_ : "(" + text_ + ")"; }

  template <Op code>
  static CText apply(const CText& x) {
    if constexpr (code == op<"neg">()) return composed("-" + x.operand());
    else return call(description(code)->name, x);
  }
  template <Op code>
  static CText apply(const CText& x, const CText& y) {
    constexpr std::string_view symbol = ops::descriptions[static_cast<std::size_t>(code)].symbol;
    if constexpr (symbol == "+" || symbol == "-" || symbol == "*" || symbol == "/")
      return composed(x.operand() + " " + std::string(symbol) + " " + y.operand());
    else return call(description(code)->name, x, y);
  }

 private:
  CText(std::string text, bool is_one_word) : text_(std::move(text)), is_one_word_(is_one_word) {}

  std::string text_;
  bool is_one_word_;
};

// An expression of C that is true or false.
struct CCondition {
  CText text;
};

inline CCondition c_condition(const CText& x, std::string_view sign, const CText& y) {
  return {CText::composed(x.operand() + " " + std::string(sign) + " " + y.operand())};
}

template <class X, class Y>
concept CTextPair = Pair<X, Y> &&(std::same_as<X, CText> || std::same_as<Y, CText>);

// clang-format off
template <class X, class Y> requires CTextPair<X, Y> CCondition operator<(const X& x, const Y& y) { return c_condition(x, "<", y); }
template <class X, class Y> requires CTextPair<X, Y> CCondition operator>(const X& x, const Y& y) { return c_condition(x, ">", y); }
template <class X, class Y> requires CTextPair<X, Y> CCondition operator<=(const X& x, const Y& y) { return c_condition(x, "<=", y); }
template <class X, class Y> requires CTextPair<X, Y> CCondition operator>=(const X& x, const Y& y) { return c_condition(x, ">=", y); }
template <class X, class Y> requires CTextPair<X, Y> CCondition operator==(const X& x, const Y& y) { return c_condition(x, "==", y); }
template <class X, class Y> requires CTextPair<X, Y> CCondition operator!=(const X& x, const Y& y) { return c_condition(x, "!=", y); }
inline CCondition operator&&(const CCondition& x, const CCondition& y) { return c_condition(x.text, "&&", y.text); }
inline CCondition operator||(const CCondition& x, const CCondition& y) { return c_condition(x.text, "||", y.text); }

inline CText where(const CCondition& condition, const CText& x, const CText& y) {
  return CText::composed(condition.text.operand() + " ? " + x.operand() + " : " + y.operand());
}
inline CText scaled(const CText& presence, const CText& x, const CText& slope) { return where(presence != 0.0, x * slope, 0.0); }
inline CText power(const CText& x, const CText& exponent) { return CText::call("power", x, exponent); }
inline CText remainder(const CText& x, const CText& y) { return CText::call("remainder", x, y); }
inline CText sigmoid_slope(const CText& x) { return CText::call("sigmoid_slope", x); }
inline CText tanh_slope(const CText& x, const CText& y) { return CText::call("tanh_slope", x, y); }
inline CText tanh_curve(const CText&, const CText& y, const CText& slope) { return -2.0 * y * slope; }
inline CText tanh_derivative(const CText& x, const CText& order) { return CText::call("tanh_derivative", x, order); }
inline CText expm1_slope(const CText& x, const CText& y) { return CText::call("expm1_slope", x, y); }
inline CText complement(const CText& x) { return CText::call("complement", x); }
inline CText asinh_slope(const CText& x) { return CText::call("asinh_slope", x); }
inline CText cbrt_derivative(const CText& x, const CText& order) { return CText::call("cbrt_derivative", x, order); }
inline CText acosh_derivative(const CText& x, const CText& order) { return CText::call("acosh_derivative", x, order); }
inline CText gaussian(const CText& x, const CText& order) { return CText::call("gaussian", x, order); }
inline CText gelu_derivative(const CText& x, const CText& order) { return CText::call("gelu_derivative", x, order); }
inline CText silu_derivative(const CText& x, const CText& order) { return CText::call("silu_derivative", x, order); }
inline CText quotient(const CText& x, const CText& y, const CText& n) { return CText::call("quotient", x, y, n); }
inline CText pow_derivative(const CText& x, const CText& y, const CText& order) { return CText::call("pow_derivative", x, y, order); }
inline CText atan2_derivative(const CText& y, const CText& x, const CText& order) { return CText::call("atan2_derivative", y, x, order); }
inline CText hypot_derivative(const CText& x, const CText& y, const CText& order) { return CText::call("hypot_derivative", x, y, order); }
inline CText polygamma(const CText& x, const CText& order) { return CText::call("polygamma", x, order); }
inline CText trunc(const CText& x) { return CText::call("trunc", x); }
inline CText floor(const CText& x) { return CText::call("floor", x); }
inline CText ceil(const CText& x) { return CText::call("ceil", x); }
inline CText nearbyint(const CText& x) { return CText::call("nearbyint", x); }
inline CText floor_quotient(const CText& x, const CText& y) { return CText::call("floor_quotient", x, y); }
// clang-format on

}  // namespace tapegrad
