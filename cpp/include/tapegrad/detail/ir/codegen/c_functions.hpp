// Functions that C99 lacks, or defines differently, as C text.
//
// Each performs the operations of its namesake in the C++ headers, mostly math.hpp and orders.hpp,
// in the same order, so that it gives the same bits.
#pragma once

#include <string_view>

#include "tapegrad/detail/base/platform.hpp"

namespace tapegrad {

// The name of a function, without the prefix tapegrad_, and its definition in C.
struct CFunction {
  std::string_view name, text;
};

// Each function calls only functions before it. A parameter is `volatile` if the compiler, knowing
// its value, might evaluate a library function itself and round differently from the library.
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
  if (n == -2.0) return fabs(x) < 1e150 ? 1.0 / (x * x) : 1.0 / x / x;
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
  double e, sech;
  if (fabs(tanh_x) <= 0.9) return 1.0 - tanh_x * tanh_x;
  e = exp(-fabs(x));
  sech = 2.0 * e / (1.0 + e * e);
  return sech * sech;
}
)"},
    {"tanh_derivative", R"(static double tapegrad_tanh_derivative(double x, double n) {
  const double size = fabs(x), t = tanh(x);
  const int count = (int)n;
  double polynomial[count + 2], next[count + 2], result = 0.0, half;
  int i, k;
  if (size > 20.0) {
    half = exp(-size);
    result = 2.0 * half;
    for (k = 0; k < count; ++k) result *= 2.0;
    result *= half;
    return x > 0.0 && count % 2 == 0 ? -result : result;
  }
  for (i = 0; i < count + 2; ++i) polynomial[i] = i == 0;
  for (k = 1; k < count; ++k) {
    for (i = 0; i < count + 2; ++i) next[i] = 0.0;
    for (i = 0; i < k; ++i) {
      next[i + 1] -= (2.0 + i) * polynomial[i];
      if (i > 0) next[i - 1] += i * polynomial[i];
    }
    for (i = 0; i < count + 2; ++i) polynomial[i] = next[i];
  }
  for (i = count; i-- > 0;) result = result * t + polynomial[i];
  return result * tapegrad_tanh_slope(x, t);
}
)"},
    {"expm1_slope", R"(static double tapegrad_expm1_slope(double x, double expm1_x) {
  return expm1_x < -0.5 ? exp(x) : expm1_x + 1.0;
}
)"},
    {"is_moderate", R"(static int tapegrad_is_moderate(double x) {
  return x > 1e-290 && x < 1e290;
}
)"},
    {"complement", R"(static double tapegrad_complement(double x) {
  return (1.0 - x) * (1.0 + x);
}
)"},
    {"asinh_slope", R"(static double tapegrad_asinh_slope(double x) {
  const double size = fabs(x);
  return size > 1e100 ? 1.0 / size : 1.0 / sqrt(x * x + 1.0);
}
)"},
    {"quotient", R"(static double tapegrad_quotient(double x, double y, double n) {
  for (; n > 0.0; n -= 1.0) x /= y;
  return x;
}
)"},
    {"cbrt_derivative", R"(static double tapegrad_cbrt_derivative(double x, double n) {
  const double root = cbrt(x);
  double factor = 1.0, k;
  if (n == 1.0) return 1.0 / (3.0 * root * root);
  for (k = 0.0; k < n; k += 1.0) factor *= 1.0 / 3.0 - k;
  return tapegrad_quotient(factor * root, x, n);
}
)"},
    {"acosh_derivative", R"(static double tapegrad_acosh_derivative(double x, double n) {
  const double size = fabs(x);
  const double slope = size > 1e100 ? 1.0 / size : 1.0 / sqrt((x - 1.0) * (x + 1.0) + 0.0);
  const double ratio = (x + 1.0) / (x - 1.0);
  double term = 1.0, sum, k;
  if (n == 1.0) return slope;
  for (k = 1.0; k < n; k += 1.0) term *= (0.5 - k) / (x + 1.0);
  sum = term;
  for (k = 0.0; k < n - 1.0; k += 1.0) {
    term *= (n - 1.0 - k) * (k + 0.5) / ((k + 1.0) * (n - 1.5 - k)) * ratio;
    sum += term;
  }
  return slope * sum;
}
)"},
    {"pow_derivative", R"(static double tapegrad_pow_derivative(double x, double y, double order) {
  const int by_y = (int)floor(order / 1048576.0), by_x = (int)(order - by_y * 1048576.0);
  const double exponent = y - by_x, power = tapegrad_pow(x, exponent);
  double taylor[by_y + 1], logarithm, sum = 0.0, factor = 1.0, half;
  int j, k, l;
  if (order == 1.0 && tapegrad_is_moderate(fabs(power))) return y * power;
  for (k = 0; k <= by_y; ++k) taylor[k] = k == 0;
  for (j = 0; j < by_x; ++j) {
    for (k = by_y; k > 0; --k) taylor[k] = taylor[k] * (y - j) + taylor[k - 1];
    taylor[0] *= y - j;
  }
  if (by_y == 0 && taylor[0] == 0.0) return 0.0;
  logarithm = by_y == 0 ? 0.0 : log(x);
  for (k = 0; k <= by_y; ++k) {
    const double coefficient = factor * taylor[k];
    factor *= by_y - k;
    if (x != 0.0) {
      sum = k == 0 ? coefficient : sum * logarithm + coefficient;
    } else if (coefficient != 0.0 && (!(exponent >= 0.0) || k == by_y)) {
      sum = coefficient * power;
      for (l = k; l < by_y; ++l) sum *= logarithm;
      return sum;
    }
  }
  if (x == 0.0) return 0.0;
  if (tapegrad_is_moderate(fabs(power)) || power != power ||
      (fabs(power) > 1.0 && isfinite(power) && order == 1048576.0))
    return sum * power;
  half = tapegrad_pow(fabs(x), 0.5 * exponent);
  return sum * half * copysign(half, power);
}
)"},
    {"atan2_derivative",
     R"(static double tapegrad_atan2_derivative(double y, double x, double order) {
  const int by_x = (int)floor(order / 1048576.0), by_y = (int)(order - by_x * 1048576.0);
  const double square = x * x + y * y;
  double scale, a, b, length, inverse, inverse_i, real, imaginary, result;
  int k;
  if (by_y + by_x == 1 && (tapegrad_is_moderate(square) || !isfinite(x) || !isfinite(y)))
    return (by_y == 1 ? x : -y) * (1.0 / square);
  if (x == 0.0 && y == 0.0) return 0.0;
  if (isinf(x) || isinf(y)) return 0.0;
  scale = fmax(fabs(x), fabs(y));
  a = x / scale;
  b = y / scale;
  length = a * a + b * b;
  inverse = a / length;
  inverse_i = -b / length;
  real = inverse;
  imaginary = inverse_i;
  for (k = 1; k < by_y + by_x; ++k) {
    const double next = real * inverse - imaginary * inverse_i;
    imaginary = -k * (real * inverse_i + imaginary * inverse);
    real = -k * next;
  }
  result = by_y % 2 == 0 ? imaginary : real;
  if (by_y % 4 >= 2) result = -result;
  return result == 0.0 ? result : tapegrad_quotient(result, scale, by_y + by_x);
}
)"},
    {"hypot_slope", R"(static double tapegrad_hypot_slope(double x, double y, double r) {
  if (!isinf(r) || isinf(x) || isinf(y)) return x / r;
  return (0.25 * x) / hypot(0.25 * x, 0.25 * y);
}
)"},
    {"hypot_derivative",
     R"(static double tapegrad_hypot_derivative(double x, double y, double order) {
  const int by_y = (int)floor(order / 1048576.0), by_x = (int)(order - by_y * 1048576.0);
  const int n = by_x + by_y;
  const double scale = fmax(fabs(x), fabs(y));
  double polynomial[n + 3], next[n + 3], a, b, length, cosine, sine, result = 0.0, power = 1.0;
  int i, k;
  if (n == 1)
    return by_x == 1 ? tapegrad_hypot_slope(x, y, hypot(x, y))
                     : tapegrad_hypot_slope(y, x, hypot(x, y));
  if (scale == 0.0) return NAN;
  if (isinf(x) || isinf(y)) return 0.0;
  a = x / scale;
  b = y / scale;
  length = sqrt(a * a + b * b);
  cosine = a / length;
  sine = b / length;
  if (n == 2)
    return (by_x == 1 ? -cosine * sine : by_x == 2 ? sine * sine : cosine * cosine) / length /
           scale;
  for (i = 0; i < n + 3; ++i) polynomial[i] = i == 0;
  for (k = 0; k < n; ++k) {
    for (i = 0; i < n + 3; ++i) next[i] = 0.0;
    for (i = 0; i <= k; ++i) {
      if (k < by_x) {
        if (i > 0) next[i - 1] += i * polynomial[i];
        next[i + 1] -= (2 * k - 1 - i) * polynomial[i];
      } else {
        next[i] -= (k - 1 + i) * polynomial[i];
        next[i + 2] += (k - i) * polynomial[i];
      }
    }
    for (i = 0; i < n + 3; ++i) polynomial[i] = next[i];
  }
  for (i = n; i >= 0; --i) {
    double term = polynomial[i] * power;
    for (k = 0; k < i; ++k) term *= cosine;
    result += term;
    power *= sine;
  }
  if (result == 0.0) return result;
  return tapegrad_quotient(tapegrad_quotient(result, length, n - 1), scale, n - 1);
}
)"},
    {"gaussian", R"(static double tapegrad_gaussian(double x, double n) {
  double before = 0.0, polynomial = 1.0, half, k;
  if (n == 0.0) return exp(-(x * x));
  if (fabs(x) > 40.0) return 0.0;
  for (k = 0.0; k < n; k += 1.0) {
    const double next = -2.0 * x * polynomial - 2.0 * k * before;
    before = polynomial;
    polynomial = next;
  }
  if (fabs(x) < 26.0) return polynomial * exp(-(x * x));
  half = exp(-0.5 * x * x);
  return polynomial * half * half;
}
)"},
    {"normal_density", R"(static double tapegrad_normal_density(double x) {
  return x * 0x1.9884533d43651p-2;
}
)"},
    {"normal_cdf", R"(static double tapegrad_normal_cdf(double x) {
  return 0.5 * erfc(x * -0x1.6a09e667f3bcdp-1);
}
)"},
    {"mills_ratio", R"(static double tapegrad_mills_ratio(double x) {
  const double z = 1.0 / (x * x);
  return 1.0 - z * (1.0 - z * (3.0 - z * (15.0 - z * (105.0 - z * (945.0 - z * 10395.0)))));
}
)"},
    {"gelu", R"(static double tapegrad_gelu(double x) {
  if (x < -37.0 && isfinite(x)) {
    const double half = exp(-0.25 * x * x);
    return -tapegrad_normal_density(tapegrad_mills_ratio(x)) * half * half;
  }
  return x * tapegrad_normal_cdf(x);
}
)"},
    {"gelu_derivative", R"(static double tapegrad_gelu_derivative(double x, double n) {
  double before = 0.0, polynomial = 1.0, next, factor, half, k;
  if (n == 1.0) {
    if (!(x < -37.0) || isinf(x))
      return tapegrad_normal_cdf(x) + x * tapegrad_normal_density(exp(-0.5 * x * x));
    half = exp(-0.25 * x * x);
    return tapegrad_normal_density(x - tapegrad_mills_ratio(x) / x) * half * half;
  }
  if (fabs(x) > 40.0) return 0.0;
  for (k = 0.0; k < n - 2.0; k += 1.0) {
    next = -x * polynomial - k * before;
    before = polynomial;
    polynomial = next;
  }
  next = -x * polynomial - (n - 2.0) * before;
  factor = tapegrad_normal_density(x * next + n * polynomial);
  half = exp(-0.25 * x * x);
  return factor * half * half;
}
)"},
    {"silu", R"(static double tapegrad_silu(double x) {
  if (x < -700.0) {
    const double half = exp(0.5 * x);
    return x * half * half;
  }
  return x * tapegrad_sigmoid(x);
}
)"},
    {"silu_derivative", R"(static double tapegrad_silu_derivative(double x, double n) {
  const int is_far = fabs(x) > 700.0, size = (int)n + 1;
  const double half = is_far ? exp(-0.5 * fabs(x)) : 1.0;
  const double slope = is_far ? half : tapegrad_sigmoid_slope(x);
  double polynomial[size], before[size], next[size], t, last = 0.0, earlier = 0.0;
  int i, k;
  if (n == 1.0)
    return x < -700.0 ? (1.0 + x) * half * half : tapegrad_sigmoid(x) + x * slope * half;
  if (fabs(x) > 1e4) return 0.0;
  t = tanh(0.5 * x);
  if (n == 2.0) return (2.0 - x * t) * slope * half;
  for (i = 0; i < size; ++i) {
    polynomial[i] = i == 0;
    before[i] = 0.0;
  }
  for (k = 1; k + 1 < size; ++k) {
    for (i = 0; i < size; ++i) next[i] = 0.0;
    for (i = 0; i < k; ++i) {
      next[i + 1] -= (1.0 + 0.5 * i) * polynomial[i];
      if (i > 0) next[i - 1] += 0.5 * i * polynomial[i];
    }
    for (i = 0; i < size; ++i) {
      before[i] = polynomial[i];
      polynomial[i] = next[i];
    }
  }
  for (i = size; i-- > 0;) {
    last = last * t + polynomial[i];
    earlier = earlier * t + before[i];
  }
  return (x * last + n * earlier) * slope * half;
}
)"},
    {"digamma", R"(static double tapegrad_digamma(double x) {
  const double pi = 0x1.921fb54442d18p+1;
  double result = 0.0, sum = 0.0, lost = 0.0, z;
  if (fabs(x) < 1e-20) return -1.0 / x;
  if (isinf(x)) return x > 0 ? x : NAN;
  if (x < 0.0) {
    const double fraction = x - round(x);
    if (fraction == 0.0) return NAN;
    result = -pi / tan(pi * fraction);
    x = 1.0 - x;
  }
  for (; x < 10.0; x += 1.0) {
    const double term = 1.0 / x, next = sum + term;
    lost += sum > term ? (sum - next) + term : (term - next) + sum;
    sum = next;
  }
  z = 1.0 / (x * x);
  z = z * (1.0 / 12 -
           z * (1.0 / 120 -
                z * (1.0 / 252 -
                     z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z * (1.0 / 12)))))));
  return result + ((log(x) - sum) - (0.5 / x + z + lost));
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

}  // namespace tapegrad
