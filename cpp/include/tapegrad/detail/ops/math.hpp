// Functions of numbers in which the operation table is written.
//
// A number type other than double, such as Symbol, overloads these names in its own namespace,
// where argument-dependent lookup finds them.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "tapegrad/detail/base/platform.hpp"

namespace tapegrad::math {

using std::acos;
using std::acosh;
using std::asin;
using std::asinh;
using std::atan;
using std::atan2;
using std::atanh;
using std::cbrt;
using std::cos;
using std::cosh;
using std::erf;
using std::erfc;
using std::exp;
using std::exp2;
using std::expm1;
using std::hypot;
using std::log;
using std::log10;
using std::log1p;
using std::log2;
using std::pow;
using std::sin;
using std::sinh;
using std::sqrt;
using std::tan;
using std::tanh;

inline double abs(double x) { return std::fabs(x); }

// The remainder of x // y, as in Python. It has the sign of y, and is exact unless that sign
// requires an addition.
inline double remainder(double x, double y) {
  const double rest = std::fmod(x, y);
  if (rest == 0.0) return std::copysign(0.0, y);
  return (rest < 0.0) != (y < 0.0) ? rest + y : rest;
}
// x // y, as in CPython's float_divmod(): it snaps a quotient that rounding has made fractional to
// the nearest whole number.
inline double floor_quotient(double x, double y) {
  const double rest = std::fmod(x, y);
  double quotient = (x - rest) / y;
  if (rest != 0.0 && (rest < 0.0) != (y < 0.0)) quotient -= 1.0;
  if (quotient == 0.0) return std::copysign(0.0, x / y);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1.0 : whole;
}

// `yes` if the condition is true, and else `no`.
inline double where(bool condition, double yes, double no) { return condition ? yes : no; }
// True if a condition is not 0. is_there() is for a condition that is known not to be negative.
inline bool is_true(double x) { return x != 0.0; }
inline bool is_there(double x) { return x != 0.0; }
// x * slope if `presence` is not 0, and else 0. There is no branch, because both cases are common.
inline double scaled(double presence, double x, double slope) {
  const std::uint64_t mask = -static_cast<std::uint64_t>(presence != 0.0);
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(x * slope) & mask);
}

// A power with a plain exponent. The special cases are those of PyTorch's pow(tensor, number),
// which programs also use most.
inline double power(double x, double n) {
  if (n == 2.0) return x * x;
  if (n == -1.0) return 1.0 / x;
  if (n == 0.5) return std::sqrt(x);
  if (n == -0.5) return 1.0 / std::sqrt(x);
  if (n == 1.0) return x;
  if (n == 3.0) return x * x * x;
  if (n == -2.0) return std::fabs(x) < 1e150 ? 1.0 / (x * x) : 1.0 / x / x;
  return std::pow(x, n);
}
// True for the exponents that power() treats specially, and for 0, whose power is 1.
inline bool has_own_form(double n) {
  return n == 2.0 || n == -1.0 || n == 0.5 || n == -0.5 || n == 1.0 || n == 3.0 || n == -2.0 ||
         n == 0.0;
}

// x, as a constant for derivatives.
inline double stop(double x) { return x; }

// A sum of exponentials, as its largest exponent `top`, the first of equal ones, and the sum `rest`
// of the other terms, divided by exp(top). The logarithm of the sum is top + log1p(rest), which
// keeps the digits of a small rest.
template <class Number>
struct Exponentials {
  Number top, rest;
};

// The position of the first of the largest numbers; 0 if the first number is NaN.
inline std::size_t place_of_largest(std::span<const double> x) {
  std::size_t at = 0;
  for (std::size_t k = 1; k < x.size(); ++k)
    if (x[k] > x[at]) at = k;
  return at;
}
// The sum of exp(x - shift) over all x but the one at position `left_out`.
inline double rest_of_exponentials(std::span<const double> x, std::size_t left_out, double shift) {
  double rest = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k)
    if (k != left_out) rest = rest + std::exp(x[k] - shift);
  return rest;
}

// The sum for logsumexp. If `top` is infinite, the rest is not divided by exp(top).
inline Exponentials<double> exponentials(std::span<const double> x) {
  const std::size_t at = place_of_largest(x);
  return {x[at], rest_of_exponentials(x, at, std::isinf(x[at]) ? 0.0 : x[at])};
}

// The sum for a difference from the first number, which may be infinite. If `top` is +inf, finite
// numbers leave a rest of 0. If all numbers are -inf, the difference is NaN, and so is the rest.
inline Exponentials<double> exponentials_beside(std::span<const double> x) {
  const std::size_t at = place_of_largest(x);
  if (x[at] == -std::numeric_limits<double>::infinity())
    return {x[at], std::numeric_limits<double>::quiet_NaN()};
  return {x[at], rest_of_exponentials(x, at, x[at])};
}

// The logarithm of a sum of exponentials. If the largest exponent is infinite, it is the logarithm
// of the plain sum, which has PyTorch's derivatives.
inline double log_sum(std::span<const double> x) {
  const auto [top, rest] = exponentials(x);
  return std::isinf(top) ? std::log(std::exp(top) + rest) : top + std::log1p(rest);
}

// log_sum(x) minus the first number. If the first number is itself the largest, it cancels exactly.
inline double log_sum_above_first(std::span<const double> x) {
  const auto [top, rest] = exponentials_beside(x);
  const bool is_first = x[0] >= top && top != -std::numeric_limits<double>::infinity();
  return (is_first ? 0.0 : top - x[0]) + std::log1p(rest);
}

}  // namespace tapegrad::math

#if defined(__APPLE__)
// The library of macOS has the function; its <math.h> declares it only if _REENTRANT is defined.
extern "C" double lgamma_r(double, int*);
#endif

namespace tapegrad::math {

// The logarithm of |gamma(x)|. Unlike std::lgamma, lgamma_r does not write the global `signgam`.
inline double lgamma(double x) {
#if defined(__GLIBC__) || defined(__APPLE__)
  int sign = 0;
  return ::lgamma_r(x, &sign);
#else
  return std::lgamma(x);
#endif
}

// The logistic function. exp(-|x|) never overflows, and both tails keep their relative accuracy.
inline double sigmoid(double x) {
  const double e = std::exp(-std::fabs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}
// The derivative of sigmoid.
inline double sigmoid_slope(double x) {
  const double e = std::exp(-std::fabs(x));
  return e / ((1.0 + e) * (1.0 + e));
}
// log(1 + exp(x)), without overflow.
inline double softplus(double x) {
  if (std::isnan(x)) return x;
  return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
}

// The derivative of tanh. 1 - tanh(x)^2 cancels where tanh saturates; there the function computes
// sech^2 from the exponential.
inline double tanh_slope(double x, double tanh_x) {
  if (std::fabs(tanh_x) <= 0.9) return 1.0 - tanh_x * tanh_x;
  const double e = std::exp(-std::fabs(x)), sech = 2.0 * e / (1.0 + e * e);
  return sech * sech;
}

// The derivative of 2^x = y. It is right even if y overflows and the factor log(2) makes the result
// finite.
inline double exp2_slope(double x, double y) {
  return std::isinf(y) ? std::exp2(x - 1.0) * (2.0 * std::numbers::ln2) : y * std::numbers::ln2;
}

// The derivative of expm1. expm1(x) + 1 cancels if expm1(x) is near -1.
inline double expm1_slope(double x, double expm1_x) {
  return expm1_x < -0.5 ? std::exp(x) : expm1_x + 1.0;
}

// The normal distribution. erfc keeps the lower tail, which 1 + erf would round away.
inline constexpr double normal_density = 0.5 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
inline double normal_cdf(double x) { return 0.5 * std::erfc(x * -(0.5 * std::numbers::sqrt2)); }
inline double normal_pdf(double x) { return std::exp(-0.5 * x * x) * normal_density; }

// The derivative of lgamma: reflection for x < 0 (Abramowitz & Stegun 6.3.7), recurrence until x is
// at least 10 (6.3.5) and the asymptotic series from there (6.3.18), whose first dropped term is
// below 1e-16.
inline double digamma(double x) {
  if (std::fabs(x) < 1e-20) return -1.0 / x;
  if (std::isinf(x)) return x > 0 ? x : std::numeric_limits<double>::quiet_NaN();
  double result = 0.0;
  if (x < 0.0) {
    const double fraction = x - std::round(x);
    if (fraction == 0.0) return std::numeric_limits<double>::quiet_NaN();
    result = -std::numbers::pi / std::tan(std::numbers::pi * fraction);
    x = 1.0 - x;
  }
  // Near a zero of digamma, the sum of the reciprocals nearly cancels with the logarithm. The loop
  // therefore keeps the sum to twice the digits.
  double sum = 0.0, lost = 0.0;
  for (; x < 10.0; x += 1.0) {
    const double term = 1.0 / x, next = sum + term;
    lost += sum > term ? (sum - next) + term : (term - next) + sum;
    sum = next;
  }
  const double z = 1.0 / (x * x);
  const double series =
      z * (1.0 / 12 -
           z * (1.0 / 120 -
                z * (1.0 / 252 -
                     z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z * (1.0 / 12)))))));
  return result + ((std::log(x) - sum) - (0.5 / x + series + lost));
}

// The n-th derivative of digamma, for a whole number n: recurrence until x is at least 10 + n
// (Abramowitz & Stegun 6.4.6) and the asymptotic series from there (6.4.11). For x < 0 it uses
// reflection (6.4.7); the derivatives of cot(pi x) are polynomials in it.
inline double polygamma(double x, double n) {
  if (n == 0.0) return digamma(x);
  const double sign = std::fmod(n, 2.0) == 0.0 ? -1.0 : 1.0;
  if (std::isinf(x)) return x > 0 ? 0.0 : std::numeric_limits<double>::quiet_NaN();
  if (x < 0.0) {
    const double fraction = x - std::round(x);
    if (fraction == 0.0) return std::numeric_limits<double>::quiet_NaN();
    const auto order = static_cast<std::size_t>(n);
    std::vector<double> polynomial{0.0, 1.0};
    for (std::size_t k = 0; k < order; ++k) {
      std::vector<double> next(polynomial.size() + 1, 0.0);
      for (std::size_t j = 1; j < polynomial.size(); ++j) {
        const double slope = -static_cast<double>(j) * polynomial[j];
        next[j - 1] += slope;
        next[j + 1] += slope;
      }
      polynomial = std::move(next);
    }
    const double cot = 1.0 / std::tan(std::numbers::pi * fraction);
    double by_cot = 0.0;
    for (std::size_t j = polynomial.size(); j-- > 0;) by_cot = by_cot * cot + polynomial[j];
    return -sign * polygamma(1.0 - x, n) - std::pow(std::numbers::pi, n + 1.0) * by_cot;
  }
  const double factorial = std::tgamma(n);  // (n - 1)!
  double result = 0.0;
  for (; x < 10.0 + n; x += 1.0) result += n * std::pow(x, -(n + 1.0));
  // The Bernoulli numbers B_2 to B_16.
  constexpr double bernoulli[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                  5.0 / 66, -691.0 / 2730, 7.0 / 6,  -3617.0 / 510};
  double term = 1.0, series = 0.0;  // (2k + n - 1)! / ((2k)! (n - 1)! x^2k)
  for (std::size_t k = 1; k <= std::size(bernoulli); ++k) {
    const double two_k = 2.0 * static_cast<double>(k);
    term *= (two_k + n - 1.0) * (two_k + n - 2.0) / (two_k * (two_k - 1.0)) / (x * x);
    series += bernoulli[k - 1] * term;
  }
  result += std::pow(x, -n) * (1.0 + 0.5 * n / x + series);
  return sign * factorial * result;
}

}  // namespace tapegrad::math
