// Numbers as C text: the table's entries work on them as on doubles, and say in C99 what they do.
//
// Functions keep the table's name. Those that C99 has not, or not with that meaning, are written
// out here, named tapegrad_<name>: as math.hpp has them, operation for operation, so that they give
// the same bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "functions.hpp"
#include "ops.hpp"

namespace tapegrad {

struct CFunction {
  std::string_view name, text;
};

// Each uses only functions before it. `volatile` where a compiler that knows an argument would
// compute the function itself, with another rounding than the library's.
inline constexpr CFunction c_functions[] = {
    {"same", R"(static int tapegrad_same(volatile double x, double y) {
  return (x == y && !signbit(x) == !signbit(y)) || (x != x && y != y);
}
)"},
    {"pow", R"(static double tapegrad_pow(volatile double x, volatile double y) {
  return pow(x, y);
}
)"},
    {"power", R"(static double tapegrad_power(double x, double n) {
  if (n == 2.0) return x * x;
  if (n == -1.0) return 1.0 / x;
  if (n == 0.5) return sqrt(x);
  if (n == -0.5) return 1.0 / sqrt(x);
  if (n == 1.0) return x;
  if (n == 3.0) return x * x * x;
  if (n == -2.0) return 1.0 / (x * x);
  return tapegrad_pow(x, n);
}
)"},
    {"remainder", R"(static double tapegrad_remainder(double x, double y) {
  const double rest = fmod(x, y);
  if (rest == 0.0) return copysign(0.0, y);
  return (rest < 0.0) != (y < 0.0) ? rest + y : rest;
}
)"},
    {"floor_quotient", R"(static double tapegrad_floor_quotient(double x, double y) {
  const double rest = fmod(x, y);
  double quotient = (x - rest) / y, whole;
  if (rest != 0.0 && (rest < 0.0) != (y < 0.0)) quotient -= 1.0;
  if (quotient == 0.0) return copysign(0.0, x / y);
  whole = floor(quotient);
  return quotient - whole > 0.5 ? whole + 1.0 : whole;
}
)"},
    {"sigmoid", R"(static double tapegrad_sigmoid(double x) {
  const double e = exp(-fabs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}
)"},
    {"sigmoid_slope", R"(static double tapegrad_sigmoid_slope(double x) {
  const double e = exp(-fabs(x));
  return e / ((1.0 + e) * (1.0 + e));
}
)"},
    {"softplus", R"(static double tapegrad_softplus(double x) {
  if (isnan(x)) return x;
  return fmax(x, 0.0) + log1p(exp(-fabs(x)));
}
)"},
    {"tanh_slope", R"(static double tapegrad_tanh_slope(double x, double tanh_x) {
  if (fabs(tanh_x) <= 0.9) return 1.0 - tanh_x * tanh_x;
  return 4.0 * tapegrad_sigmoid_slope(2.0 * x);
}
)"},
    {"expm1_slope", R"(static double tapegrad_expm1_slope(double x, double expm1_x) {
  return expm1_x < -0.5 ? exp(x) : expm1_x + 1.0;
}
)"},
    {"digamma", R"(static double tapegrad_digamma(double x) {
  const double pi = 0x1.921fb54442d18p+1;
  double result = 0.0, z;
  if (x == 0.0) return copysign(INFINITY, -x);
  if (isinf(x)) return x > 0 ? x : NAN;
  if (x < 0.0) {
    const double fraction = x - round(x);
    if (fraction == 0.0) return NAN;
    result = -pi / tan(pi * fraction);
    x = 1.0 - x;
  }
  for (; x < 10.0; x += 1.0) result -= 1.0 / x;
  z = 1.0 / (x * x);
  z = z * (1.0 / 12 -
           z * (1.0 / 120 -
                z * (1.0 / 252 -
                     z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z * (1.0 / 12)))))));
  return result + log(x) - 0.5 / x - z;
}
)"},
    {"polygamma", R"(static double tapegrad_polygamma(double x, volatile double n) {
  static const double bernoulli[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                     5.0 / 66, -691.0 / 2730, 7.0 / 6,  -3617.0 / 510};
  const double pi = 0x1.921fb54442d18p+1, sign = fmod(n, 2.0) == 0.0 ? -1.0 : 1.0;
  double factorial, result = 0.0, term = 1.0, series = 0.0;
  int k;
  if (n == 0.0) return tapegrad_digamma(x);
  if (isinf(x)) return x > 0 ? 0.0 : NAN;
  if (x < 0.0) {
    const double fraction = x - round(x);
    const int order = (int)n;
    double polynomial[order + 3], slopes[order + 3], cot, by_cot = 0.0;
    int j;
    if (fraction == 0.0) return NAN;
    for (j = 0; j < order + 3; ++j) polynomial[j] = j == 1;
    for (k = 0; k < order; ++k) {
      for (j = 0; j < order + 3; ++j) slopes[j] = 0.0;
      for (j = 1; j < k + 2; ++j) {
        slopes[j - 1] += -(double)j * polynomial[j];
        slopes[j + 1] += -(double)j * polynomial[j];
      }
      for (j = 0; j < order + 3; ++j) polynomial[j] = slopes[j];
    }
    cot = 1.0 / tan(pi * fraction);
    for (j = order + 1; j >= 0; --j) by_cot = by_cot * cot + polynomial[j];
    return -sign * tapegrad_polygamma(1.0 - x, n) - tapegrad_pow(pi, n + 1.0) * by_cot;
  }
  factorial = tgamma(n);
  for (; x < 10.0 + n; x += 1.0) result += n * tapegrad_pow(x, -(n + 1.0));
  for (k = 1; k <= 8; ++k) {
    const double two_k = 2.0 * k;
    term *= (two_k + n - 1.0) * (two_k + n - 2.0) / (two_k * (two_k - 1.0)) / (x * x);
    series += bernoulli[k - 1] * term;
  }
  result += tapegrad_pow(x, -n) * (1.0 + 0.5 * n / x + series);
  return sign * factorial * result;
}
)"},
};

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
inline CText expm1_slope(const CText& x, const CText& y) { return CText::call("expm1_slope", x, y); }
inline CText polygamma(const CText& x, const CText& order) { return CText::call("polygamma", x, order); }
inline CText trunc(const CText& x) { return CText::call("trunc", x); }
inline CText floor(const CText& x) { return CText::call("floor", x); }
inline CText ceil(const CText& x) { return CText::call("ceil", x); }
inline CText nearbyint(const CText& x) { return CText::call("nearbyint", x); }
inline CText floor_quotient(const CText& x, const CText& y) { return CText::call("floor_quotient", x, y); }
// clang-format on

}  // namespace tapegrad
