// Derivatives of any order, each in a form of its own.
//
// The chain rule, applied to a first derivative, may subtract numbers that are nearly equal, or
// overflow in an intermediate result where the derivative itself does not. A family of derivatives
// is therefore one function with the order as a parameter. Its own derivative is the same function
// of the next order, so that each order is one evaluation. Each function is accurate from the
// smallest to the largest number; a result that overflows is an infinity of the right sign.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "tapegrad/detail/ops/math.hpp"

namespace tapegrad::math {

// The orders by the first and by the second of two variables, encoded as one number.
inline constexpr double second_order = 1048576.0;
// The orders by the first and the second variable.
struct Orders {
  int first, second;
};
inline Orders orders(double order) {
  const double second = std::floor(order / second_order);
  return {static_cast<int>(order - second * second_order), static_cast<int>(second)};
}

// True if products of two such numbers keep all their digits.
inline bool is_moderate(double x) { return x > 1e-290 && x < 1e290; }

// x / y^n, by repeated division. The second order then has the bits of (x / y) / y, as in a sweep
// over doubles.
inline double quotient(double x, double y, double n) {
  for (; n > 0.0; n -= 1.0) x /= y;
  return x;
}

// The derivative by y of x / y = z.
inline double quotient_slope(double, double y, double z) { return -z / y; }

// The n-th derivative of cbrt.
inline double cbrt_derivative(double x, double n) {
  const double root = std::cbrt(x);
  if (n == 1.0) return 1.0 / (3.0 * root * root);
  double factor = 1.0;
  for (double k = 0.0; k < n; k += 1.0) factor *= 1.0 / 3.0 - k;
  return quotient(factor * root, x, n);
}

// The n-th derivative of tanh: tanh' times a polynomial p in t = tanh(x), each of which follows
// from the one before as -2 t p + p' (1 - t^2). For |x| > 20 it is the derivative of 2 exp(-2 |x|),
// computed in two steps so that a subnormal result keeps its digits.
inline double tanh_derivative(double x, double n) {
  const double size = std::fabs(x);
  if (size > 20.0) {
    const double half = std::exp(-size);
    double result = 2.0 * half;
    for (double k = 0.0; k < n; k += 1.0) result *= 2.0;
    result *= half;
    return x > 0.0 && std::fmod(n, 2.0) == 0.0 ? -result : result;
  }
  const double t = std::tanh(x);
  std::vector<double> polynomial{1.0};
  for (double k = 1.0; k < n; k += 1.0) {
    std::vector<double> next(polynomial.size() + 1, 0.0);
    for (std::size_t i = 0; i < polynomial.size(); ++i) {
      const double power = static_cast<double>(i);
      next[i + 1] -= (2.0 + power) * polynomial[i];
      if (i > 0) next[i - 1] += power * polynomial[i];
    }
    polynomial = std::move(next);
  }
  double result = 0.0;
  for (std::size_t i = polynomial.size(); i-- > 0;) result = result * t + polynomial[i];
  return result * tanh_slope(x, t);
}
// The second derivative of tanh, if tanh(x) = y and its slope is z.
inline double tanh_curve(double, double y, double z) { return -2.0 * y * z; }

// 1 - x^2. Its derivative is -2 x, without the cancellation of (1 - x) - (1 + x).
inline double complement(double x) { return (1.0 - x) * (1.0 + x); }

// The derivative of asinh.
inline double asinh_slope(double x) {
  const double size = std::fabs(x);
  return size > 1e100 ? 1.0 / size : 1.0 / std::sqrt(x * x + 1.0);
}

// The n-th derivative of acosh, by Leibniz' rule for 1/sqrt(x - 1) times 1/sqrt(x + 1), whose terms
// have the same sign.
inline double acosh_derivative(double x, double n) {
  const double size = std::fabs(x);
  const double slope = size > 1e100 ? 1.0 / size : 1.0 / std::sqrt((x - 1.0) * (x + 1.0) + 0.0);
  if (n == 1.0) return slope;
  double term = 1.0;
  for (double k = 1.0; k < n; k += 1.0) term *= (0.5 - k) / (x + 1.0);
  const double ratio = (x + 1.0) / (x - 1.0);
  double sum = term;
  for (double k = 0.0; k < n - 1.0; k += 1.0) {
    term *= (n - 1.0 - k) * (k + 0.5) / ((k + 1.0) * (n - 1.5 - k)) * ratio;
    sum += term;
  }
  return slope * sum;
}

// The derivatives of x^y, of order j by x and k by y: x^(y-j) times the k-th derivative by t of
// (y+t) (y+t-1) ... (y+t-j+1) x^t where t = 0, a polynomial in log(x). A factor of 0 gives 0 for
// every x. For x = 0, a power that is not negative, times a logarithm, also gives 0. Both agree
// with PyTorch in the first order.
inline double pow_derivative_of(double x, double y, double order) {
  const auto [by_x, by_y] = orders(order);
  // The Taylor coefficients of the product of the factors.
  std::vector<double> taylor(static_cast<std::size_t>(by_y) + 1, 0.0);
  taylor[0] = 1.0;
  for (int j = 0; j < by_x; ++j) {
    for (std::size_t k = taylor.size(); --k > 0;) taylor[k] = taylor[k] * (y - j) + taylor[k - 1];
    taylor[0] *= y - j;
  }
  if (by_y == 0 && taylor[0] == 0.0) return 0.0;
  const double exponent = y - by_x, power = std::pow(x, exponent);
  const double logarithm = by_y == 0 ? 0.0 : std::log(x);
  double sum = 0.0, factor = 1.0;  // by_y! / (by_y - k)!
  for (int k = 0; k <= by_y; ++k) {
    const double coefficient = factor * taylor[static_cast<std::size_t>(k)];
    factor *= by_y - k;
    if (x != 0.0) {
      sum = k == 0 ? coefficient : sum * logarithm + coefficient;
    } else if (coefficient != 0.0 && (!(exponent >= 0.0) || k == by_y)) {
      sum = coefficient * power;
      for (int l = k; l < by_y; ++l) sum *= logarithm;
      return sum;
    }
  }
  if (x == 0.0) return 0.0;
  const double size = std::fabs(power);
  // The first order by y has the bits of pow_slope().
  if (is_moderate(size) || power != power ||
      (size > 1.0 && std::isfinite(size) && order == second_order))
    return sum * power;
  const double half = std::pow(std::fabs(x), 0.5 * exponent);
  return sum * half * std::copysign(half, power);
}

// pow_derivative_of(), with a fast path for the first order by x.
inline double pow_derivative(double x, double y, double order) {
  if (order == 1.0) {
    const double power = std::pow(x, y - 1.0);
    if (is_moderate(std::fabs(power))) return y * power;
  }
  return pow_derivative_of(x, y, order);
}
// The derivative by x of power(x, c). It is right even if x^(c-1) overflows or is subnormal and c
// times it is not.
inline double power_slope(double x, double c) {
  if (c == 0.0) return 0.0;
  const double power_below = power(x, c - 1.0);
  const bool keeps_digits = is_moderate(std::fabs(power_below)) || x == 0.0 || std::isinf(x);
  return keeps_digits ? c * power_below : pow_derivative_of(x, c, 1.0);
}
// The derivative by y of x^y = power. It is right even if the power underflows or overflows and the
// factor log(x) does not leave the result so.
inline double pow_slope(double x, double y, double power) {
  const double size = std::fabs(power);
  if (size > 1e-290 && std::isfinite(size) && x != 0.0) return power * std::log(x);
  return pow_derivative(x, y, second_order);
}

// The derivatives of the angle of the point (x, y), which is the imaginary part of log(x + iy).
// That of order n, of which j by y, is the imaginary part of (-1)^(n-1) (n-1)! i^j (x + iy)^-n.
inline double atan2_derivative_of(double y, double x, double order) {
  const auto [by_y, by_x] = orders(order);
  if (by_y + by_x == 1 && !(std::isfinite(x) && std::isfinite(y)))
    return (by_y == 1 ? x : -y) * (1.0 / (x * x + y * y));
  if (x == 0.0 && y == 0.0) return 0.0;  // as in PyTorch
  if (std::isinf(x) || std::isinf(y)) return 0.0;
  // Dividing the point by `scale` keeps the digits of its powers.
  const double scale = std::fmax(std::fabs(x), std::fabs(y));
  const double a = x / scale, b = y / scale, length = a * a + b * b;
  const double inverse = a / length, inverse_i = -b / length;
  double real = inverse, imaginary = inverse_i;
  for (int k = 1; k < by_y + by_x; ++k) {
    const double next = real * inverse - imaginary * inverse_i;
    imaginary = -k * (real * inverse_i + imaginary * inverse);
    real = -k * next;
  }
  const int quarter = by_y % 4;
  double result = quarter % 2 == 0 ? imaginary : real;
  if (quarter >= 2) result = -result;
  return result == 0.0 ? result : quotient(result, scale, by_y + by_x);
}

// The derivative by x of hypot(x, y) = r, even if r overflows. The derivative by y exchanges the
// two.
inline double hypot_slope(double x, double y, double r) {
  if (!std::isinf(r) || std::isinf(x) || std::isinf(y)) return x / r;
  return (0.25 * x) / std::hypot(0.25 * x, 0.25 * y);
}

// atan2_derivative_of(), with a fast path for the first order. Every recorded atan2 needs that
// order, so this function is short enough to be inlined.
inline double atan2_derivative(double y, double x, double order) {
  const double square = x * x + y * y;
  if (is_moderate(square)) {
    if (order == 1.0) return x * (1.0 / square);
    if (order == second_order) return -y * (1.0 / square);
  }
  return atan2_derivative_of(y, x, order);
}

// The derivatives of r = hypot(x, y). That of order n is r^(1-n) times a homogeneous polynomial of
// degree n in x / r and y / r with integer coefficients.
inline double hypot_derivative(double x, double y, double order) {
  const auto [by_x, by_y] = orders(order);
  const int n = by_x + by_y;
  double scale = std::fmax(std::fabs(x), std::fabs(y));
  if (n == 1)
    return by_x == 1 ? hypot_slope(x, y, std::hypot(x, y)) : hypot_slope(y, x, std::hypot(x, y));
  if (scale == 0.0) return std::numeric_limits<double>::quiet_NaN();
  if (std::isinf(x) || std::isinf(y)) return 0.0;
  const double a = x / scale, b = y / scale, length = std::sqrt(a * a + b * b);
  const double cosine = a / length, sine = b / length;
  if (n == 2)
    return (by_x == 1   ? -cosine * sine
            : by_x == 2 ? sine * sine
                        : cosine * cosine) /
           length / scale;
  // Element i is the coefficient of cosine^i sine^(k-i).
  std::vector<double> polynomial{1.0};
  for (int k = 0; k < n; ++k) {
    std::vector<double> next(polynomial.size() + 2, 0.0);
    for (int i = 0; i <= k; ++i) {
      const double p = polynomial[static_cast<std::size_t>(i)];
      const auto at = static_cast<std::size_t>(i);
      if (k < by_x) {
        if (i > 0) next[at - 1] += i * p;
        next[at + 1] -= (2 * k - 1 - i) * p;
      } else {
        next[at] -= (k - 1 + i) * p;
        next[at + 2] += (k - i) * p;
      }
    }
    next.resize(polynomial.size() + 1);
    polynomial = std::move(next);
  }
  double result = 0.0, power = 1.0;  // of the sine
  for (int i = n; i >= 0; --i) {
    double term = polynomial[static_cast<std::size_t>(i)] * power;
    for (int k = 0; k < i; ++k) term *= cosine;
    result += term;
    power *= sine;
  }
  return result == 0.0 ? result : quotient(quotient(result, length, n - 1), scale, n - 1);
}
// The n-th derivative of exp(-x^2): a Hermite polynomial, with its sign, times exp(-x^2).
inline double gaussian(double x, double n) {
  if (n == 0.0) return std::exp(-(x * x));
  if (std::fabs(x) > 40.0) return 0.0;
  double before = 0.0, polynomial = 1.0;
  for (double k = 0.0; k < n; k += 1.0) {
    const double next = -2.0 * x * polynomial - 2.0 * k * before;
    before = polynomial;
    polynomial = next;
  }
  if (std::fabs(x) < 26.0) return polynomial * std::exp(-(x * x));
  // Two steps keep the digits that exp(-x^2) alone would lose to underflow.
  const double half = std::exp(-0.5 * x * x);
  return polynomial * half * half;
}

// The normal distribution function of x, times -x, divided by the density, for x < -37.
inline double mills_ratio(double x) {
  const double z = 1.0 / (x * x);
  return 1.0 - z * (1.0 - z * (3.0 - z * (15.0 - z * (105.0 - z * (945.0 - z * 10395.0)))));
}

// x times the normal distribution function of x.
inline double gelu(double x) {
  if (x < -37.0 && std::isfinite(x)) {
    const double half = std::exp(-0.25 * x * x);
    return -(normal_density * mills_ratio(x)) * half * half;
  }
  return x * normal_cdf(x);
}
// The n-th derivative of gelu.
inline double gelu_derivative(double x, double n) {
  if (n == 1.0) {
    if (!(x < -37.0) || std::isinf(x)) return normal_cdf(x) + x * normal_pdf(x);
    const double half = std::exp(-0.25 * x * x);
    return normal_density * (x - mills_ratio(x) / x) * half * half;
  }
  if (std::fabs(x) > 40.0) return 0.0;
  double before = 0.0, polynomial = 1.0;  // factors of the derivatives of the density
  for (double k = 0.0; k < n - 2.0; k += 1.0) {
    const double next = -x * polynomial - k * before;
    before = polynomial;
    polynomial = next;
  }
  const double next = -x * polynomial - (n - 2.0) * before;
  const double factor = normal_density * (x * next + n * polynomial);
  const double half = std::exp(-0.25 * x * x);
  return factor * half * half;
}

// x * sigmoid(x). Below -700, exp(x) has lost digits to underflow.
inline double silu(double x) {
  if (x < -700.0) {
    const double half = std::exp(0.5 * x);
    return x * half * half;
  }
  return x * sigmoid(x);
}
// The n-th derivative of silu; for n = 1, x must be less than -700. A derivative of sigmoid is
// sigmoid' p(t), where t = tanh(x / 2) and each polynomial p follows from the one before as -t p +
// p' (1 - t^2) / 2.
inline double silu_derivative_of(double x, double n) {
  const bool is_far = std::fabs(x) > 700.0;
  const double half = is_far ? std::exp(-0.5 * std::fabs(x)) : 1.0;
  const double slope = is_far ? half : sigmoid_slope(x);
  if (n == 1.0) return (1.0 + x) * half * half;
  if (std::fabs(x) > 1e4) return 0.0;
  const double t = std::tanh(0.5 * x);
  if (n == 2.0) return (2.0 - x * t) * slope * half;
  const auto size = static_cast<std::size_t>(n) + 1;
  std::vector<double> polynomial(size, 0.0), before(size, 0.0), next(size, 0.0);
  polynomial[0] = 1.0;
  for (std::size_t k = 1; k + 1 < size; ++k) {
    for (double& coefficient : next) coefficient = 0.0;
    for (std::size_t i = 0; i < k; ++i) {
      const double whole = static_cast<double>(i);
      next[i + 1] -= (1.0 + 0.5 * whole) * polynomial[i];
      if (i > 0) next[i - 1] += 0.5 * whole * polynomial[i];
    }
    before.swap(polynomial);
    polynomial.swap(next);
  }
  double last = 0.0, earlier = 0.0;
  for (std::size_t i = size; i-- > 0;) {
    last = last * t + polynomial[i];
    earlier = earlier * t + before[i];
  }
  return (x * last + n * earlier) * slope * half;
}

// silu_derivative_of(), with a fast path for the first order.
inline double silu_derivative(double x, double n) {
  if (n == 1.0 && !(x < -700.0)) return sigmoid(x) + x * sigmoid_slope(x);
  return silu_derivative_of(x, n);
}

}  // namespace tapegrad::math
