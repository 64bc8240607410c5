// Operators and functions of recorded numbers: Value, Active, and the number types of programs.
// Each function records an operation of the table, whose entry has the value and the partial
// derivatives.
//
// A recorded type T names itself as T::Whole. It has static member functions T::apply<code>(...)
// for each combination of T and plain numbers as arguments. They return a T or an expression:
// another type with the same Whole, which becomes a T when it is assigned to one. fma() and hypot()
// of three also need T::with_data(x, primal), which returns x with another primal.
//
// The functions return T::Whole or an expression. They throw ArenaFull if the storage of T is full.
#pragma once

#include <cmath>
#include <compare>
#include <concepts>
#include <iosfwd>
#include <limits>
#include <type_traits>
#include <utility>

#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad {

/// A plain number: a built-in arithmetic type.
template <class T>
concept Number = std::is_arithmetic_v<T>;

/// A type whose operations are recorded: Value, Active, an expression, or a number type of
/// programs.
template <class T>
concept Recorded = requires {
  typename T::Whole;
};

namespace detail {

template <class X, class Y>
concept Alike = std::same_as<typename X::Whole, typename Y::Whole>;

}  // namespace detail

/// The operand types of a binary operation: two with the same Whole, or a recorded type and a plain
/// number in either order.
template <class X, class Y>
concept Pair = (Recorded<X> && (Number<Y> || detail::Alike<X, Y>)) || (Number<X> && Recorded<Y>);

/// A recorded type whose number can be read with data(). Functions that decide by the number need
/// it. A symbol of a program does not satisfy it, because its program runs with other numbers.
template <class T>
concept Evaluated = Recorded<T> && requires(const T& x) {
  { x.data() } -> std::convertible_to<double>;
};

/// The operand types of a ternary operation: at least one recorded type; the others are plain
/// numbers or recorded types with the same Whole.
template <class X, class Y, class Z>
concept Triple = (Recorded<X> && (Number<Y> || Pair<X, Y>)&&(Number<Z> || Pair<X, Z>)) ||
                 (Number<X> && Pair<Y, Z>);

/// A recorded type that can be assigned to: not an expression.
template <class T>
concept Whole = Recorded<T> && std::same_as<T, typename T::Whole>;

namespace detail {

double plain(Number auto x) { return static_cast<double>(x); }
template <Recorded T>
const T& plain(const T& x) {
  return x;
}

// The Whole of the first recorded type among its arguments.
template <class X, class... Rest>
struct WholeOf : WholeOf<Rest...> {};
template <Recorded X, class... Rest>
struct WholeOf<X, Rest...> {
  using type = typename X::Whole;
};
template <class... X>
using whole_of = typename WholeOf<X...>::type;

template <Name name, class... X>
auto apply(const X&... x) {
  return whole_of<X...>::template apply<op<name>()>(plain(x)...);
}

double data(Number auto x) { return static_cast<double>(x); }
double data(const Recorded auto& x) { return x.data(); }

// The std::numeric_limits of a type that stands for a double. The names min and max are in
// parentheses because <windows.h> defines them as macros.
template <class T>
struct Limits : std::numeric_limits<double> {
  using Double = std::numeric_limits<double>;
  static T(min)() { return (Double::min)(); }
  static T(max)() { return (Double::max)(); }
  static T lowest() { return Double::lowest(); }
  static T epsilon() { return Double::epsilon(); }
  static T round_error() { return Double::round_error(); }
  static T infinity() { return Double::infinity(); }
  static T quiet_NaN() { return Double::quiet_NaN(); }
  static T signaling_NaN() { return Double::signaling_NaN(); }
  static T denorm_min() { return Double::denorm_min(); }
};

}  // namespace detail

/// Returns x itself: no operation is recorded.
template <Recorded T>
T operator+(const T& x) {
  return x;
}
/// The negative -x.
template <Recorded T>
auto operator-(const T& x) {
  return detail::apply<"neg">(x);
}

// clang-format off
/// The sum x + y.
template <class X, class Y> requires Pair<X, Y> auto operator+(const X& x, const Y& y) { return detail::apply<"add">(x, y); }
/// The difference x - y.
template <class X, class Y> requires Pair<X, Y> auto operator-(const X& x, const Y& y) { return detail::apply<"sub">(x, y); }
/// The product x * y.
template <class X, class Y> requires Pair<X, Y> auto operator*(const X& x, const Y& y) { return detail::apply<"mul">(x, y); }
/// The quotient x / y.
template <class X, class Y> requires Pair<X, Y> auto operator/(const X& x, const Y& y) { return detail::apply<"div">(x, y); }

/// Assigns x + y to x. A Value then refers to the new node; other handles of the old node do not
/// change.
template <Whole T, Pair<T> Y> [[gnu::always_inline]] inline T& operator+=(T& x, const Y& y) { return x = x + y; }
/// Assigns x - y to x, as operator+= does with the sum.
template <Whole T, Pair<T> Y> [[gnu::always_inline]] inline T& operator-=(T& x, const Y& y) { return x = x - y; }
/// Assigns x * y to x, as operator+= does with the sum.
template <Whole T, Pair<T> Y> [[gnu::always_inline]] inline T& operator*=(T& x, const Y& y) { return x = x * y; }
/// Assigns x / y to x, as operator+= does with the sum.
template <Whole T, Pair<T> Y> [[gnu::always_inline]] inline T& operator/=(T& x, const Y& y) { return x = x / y; }

/// Compares the data of x and y as doubles; the result is a std::partial_ordering. Comparisons
/// record nothing.
template <class X, class Y> requires Pair<X, Y> auto operator<=>(const X& x, const Y& y) { return detail::data(x) <=> detail::data(y); }
/// Returns whether the data of x and y are equal as doubles. Records nothing.
template <class X, class Y> requires Pair<X, Y> bool operator==(const X& x, const Y& y) { return detail::data(x) == detail::data(y); }

/// Returns std::isnan of the data.
template <Evaluated T> bool isnan(const T& x) { return std::isnan(x.data()); }
/// Returns std::isinf of the data.
template <Evaluated T> bool isinf(const T& x) { return std::isinf(x.data()); }
/// Returns std::isfinite of the data.
template <Evaluated T> bool isfinite(const T& x) { return std::isfinite(x.data()); }
/// Returns std::signbit of the data.
template <Evaluated T> bool signbit(const T& x) { return std::signbit(x.data()); }

// Step functions. Their derivative is 0 wherever it exists, so the result does not depend on x for
// the reverse sweep: it is a new leaf, or for an Active a constant.

/// The largest integer not above x, with the derivative 0.
template <Evaluated T> auto floor(const T& x) { return typename T::Whole(std::floor(x.data())); }
/// The smallest integer not below x, with the derivative 0.
template <Evaluated T> auto ceil(const T& x) { return typename T::Whole(std::ceil(x.data())); }
/// x rounded towards 0, with the derivative 0.
template <Evaluated T> auto trunc(const T& x) { return typename T::Whole(std::trunc(x.data())); }
/// The nearest integer, halves away from 0 as std::round, with the derivative 0.
template <Evaluated T> auto round(const T& x) { return typename T::Whole(std::round(x.data())); }

// Functions from the table, by cpp/make_operations.py.
// <operations functions>
/// The absolute value; its derivative at 0 is 0.
template <Recorded T> auto abs(const T& x) { return detail::apply<"abs">(x); }
/// x * x
template <Recorded T> auto square(const T& x) { return detail::apply<"square">(x); }
/// 1 / x
template <Recorded T> auto reciprocal(const T& x) { return detail::apply<"reciprocal">(x); }
/// e to the power x
template <Recorded T> auto exp(const T& x) { return detail::apply<"exp">(x); }
/// 2 to the power x
template <Recorded T> auto exp2(const T& x) { return detail::apply<"exp2">(x); }
/// exp(x) - 1, accurate near 0
template <Recorded T> auto expm1(const T& x) { return detail::apply<"expm1">(x); }
/// The natural logarithm.
template <Recorded T> auto log(const T& x) { return detail::apply<"log">(x); }
/// log(1 + x), accurate near 0
template <Recorded T> auto log1p(const T& x) { return detail::apply<"log1p">(x); }
/// log(1 - exp(-x)), accurate at both ends
template <Recorded T> auto log1mexp(const T& x) { return detail::apply<"log1mexp">(x); }
/// The logarithm to base 2.
template <Recorded T> auto log2(const T& x) { return detail::apply<"log2">(x); }
/// The logarithm to base 10.
template <Recorded T> auto log10(const T& x) { return detail::apply<"log10">(x); }
/// The square root.
template <Recorded T> auto sqrt(const T& x) { return detail::apply<"sqrt">(x); }
/// The real cube root.
template <Recorded T> auto cbrt(const T& x) { return detail::apply<"cbrt">(x); }
/// The sine of x radians.
template <Recorded T> auto sin(const T& x) { return detail::apply<"sin">(x); }
/// The cosine of x radians.
template <Recorded T> auto cos(const T& x) { return detail::apply<"cos">(x); }
/// The tangent of x radians.
template <Recorded T> auto tan(const T& x) { return detail::apply<"tan">(x); }
/// The inverse sine, in radians.
template <Recorded T> auto asin(const T& x) { return detail::apply<"asin">(x); }
/// The inverse cosine, in radians.
template <Recorded T> auto acos(const T& x) { return detail::apply<"acos">(x); }
/// The inverse tangent, in radians.
template <Recorded T> auto atan(const T& x) { return detail::apply<"atan">(x); }
/// The angle of the point (x, y), in radians.
template <class X, class Y> requires Pair<X, Y> auto atan2(const X& y, const Y& x) { return detail::apply<"atan2">(y, x); }
/// The hyperbolic sine.
template <Recorded T> auto sinh(const T& x) { return detail::apply<"sinh">(x); }
/// The hyperbolic cosine.
template <Recorded T> auto cosh(const T& x) { return detail::apply<"cosh">(x); }
/// The hyperbolic tangent.
template <Recorded T> auto tanh(const T& x) { return detail::apply<"tanh">(x); }
/// The inverse hyperbolic sine.
template <Recorded T> auto asinh(const T& x) { return detail::apply<"asinh">(x); }
/// The inverse hyperbolic cosine.
template <Recorded T> auto acosh(const T& x) { return detail::apply<"acosh">(x); }
/// The inverse hyperbolic tangent.
template <Recorded T> auto atanh(const T& x) { return detail::apply<"atanh">(x); }
/// sqrt(x*x + y*y) without overflow.
template <class X, class Y> requires Pair<X, Y> auto hypot(const X& x, const Y& y) { return detail::apply<"hypot">(x, y); }
/// 1 / (1 + exp(-x)), stable in both tails.
template <Recorded T> auto sigmoid(const T& x) { return detail::apply<"sigmoid">(x); }
/// log(1 + exp(x)), without overflow.
template <Recorded T> auto softplus(const T& x) { return detail::apply<"softplus">(x); }
/// max(x, 0); its derivative at 0 is 0.
template <Recorded T> auto relu(const T& x) { return detail::apply<"relu">(x); }
/// x where x > 0, else slope * x.
template <class X, class Y> requires Pair<X, Y> auto leaky_relu(const X& x, const Y& slope) { return detail::apply<"leaky_relu">(x, slope); }
/// The same with slope = 0.01.
template <Recorded X> auto leaky_relu(const X& x) { return leaky_relu(x, 0.01); }
/// x times the normal distribution function of x (erf form).
template <Recorded T> auto gelu(const T& x) { return detail::apply<"gelu">(x); }
/// x * sigmoid(x)
template <Recorded T> auto silu(const T& x) { return detail::apply<"silu">(x); }
/// The error function.
template <Recorded T> auto erf(const T& x) { return detail::apply<"erf">(x); }
/// 1 - erf(x), accurate in the upper tail.
template <Recorded T> auto erfc(const T& x) { return detail::apply<"erfc">(x); }
/// The logarithm of |gamma(x)|; its derivative is digamma.
template <Recorded T> auto lgamma(const T& x) { return detail::apply<"lgamma">(x); }
/// The larger operand; at a tie each takes half of the gradient.
template <class X, class Y> requires Pair<X, Y> auto maximum(const X& x, const Y& y) { return detail::apply<"maximum">(x, y); }
/// The smaller operand; at a tie each takes half of the gradient.
template <class X, class Y> requires Pair<X, Y> auto minimum(const X& x, const Y& y) { return detail::apply<"minimum">(x, y); }
/// x held between low and high; its derivative at a bound is 1.
template <class X, class Y, class Z> requires Triple<X, Y, Z> auto clip(const X& x, const Y& low, const Z& high) { return detail::apply<"clip">(x, low, high); }
// </operations functions>

/// abs, by the name that C has for doubles.
template <Recorded T> auto fabs(const T& x) { return abs(x); }
/// x to the power y. A plain exponent is a constant: the derivative by it is not recorded.
template <class X, class Y> requires Pair<X, Y>
auto pow(const X& x, const Y& y) {
  if constexpr (Number<Y>) return detail::apply<"pow_const">(x, y);
  else return detail::apply<"pow">(x, y);
}
// clang-format on

/// Writes the data to a stream, as a double.
template <class C, class Traits, Evaluated T>
std::basic_ostream<C, Traits>& operator<<(std::basic_ostream<C, Traits>& out, const T& x) {
  return out << x.data();
}

/// The larger operand; if one operand is NaN, the other, as std::fmax. At a tie each has the
/// derivative 1/2.
template <class X, class Y>
requires Pair<X, Y>
auto fmax(const X& x, const Y& y) {
  using T = detail::whole_of<X, Y>;
  if (std::isnan(detail::data(x))) return T(y);
  if (std::isnan(detail::data(y))) return T(x);
  return T(maximum(x, y));
}
/// The smaller operand; if one operand is NaN, the other, as std::fmin. At a tie each has the
/// derivative 1/2.
template <class X, class Y>
requires Pair<X, Y>
auto fmin(const X& x, const Y& y) {
  using T = detail::whole_of<X, Y>;
  if (std::isnan(detail::data(x))) return T(y);
  if (std::isnan(detail::data(y))) return T(x);
  return T(minimum(x, y));
}

/// |x| with the sign of y. The derivative by x is 1 or -1, and 0 where x is 0, as in PyTorch. The
/// derivative by y is 0.
template <class X, class Y>
requires Pair<X, Y>
auto copysign(const X& x, const Y& y) {
  using T = detail::whole_of<X, Y>;
  const double from = detail::data(x), sign = detail::data(y);
  if (from == 0.0) return T(std::copysign(0.0, sign));
  return std::signbit(from) == std::signbit(sign) ? T(x) : T(-detail::plain(x));
}

/// The remainder x - trunc(x / y) * y of the division, with the sign of x, as std::fmod. The
/// derivatives are 1 and -trunc(x / y).
template <class X, class Y>
requires Pair<X, Y>
auto fmod(const X& x, const Y& y) {
  using T = detail::whole_of<X, Y>;
  // The table has Python's remainder, which is the same function for two positive numbers.
  const auto divided = [&](const auto& dividend) {
    if (std::signbit(detail::data(y)))
      return T(detail::apply<"remainder">(dividend, -detail::plain(y)));
    return T(detail::apply<"remainder">(dividend, y));
  };
  return std::signbit(detail::data(x)) ? T(-divided(-detail::plain(x))) : divided(x);
}

/// x * y + z, rounded once, as std::fma. It is recorded as a product and a sum.
template <class X, class Y, class Z>
requires Triple<X, Y, Z>
auto fma(const X& x, const Y& y, const Z& z) {
  using T = detail::whole_of<X, Y, Z>;
  return T::with_data(T(detail::plain(x) * detail::plain(y) + detail::plain(z)),
                      std::fma(detail::data(x), detail::data(y), detail::data(z)));
}

/// sqrt(x * x + y * y + z * z), with the value of std::hypot. It is recorded as hypot of hypot. The
/// inner one contains the largest operand and is therefore 0 only if all three are, so that the
/// derivatives exist elsewhere.
template <class X, class Y, class Z>
requires Triple<X, Y, Z>
auto hypot(const X& x, const Y& y, const Z& z) {
  using T = detail::whole_of<X, Y, Z>;
  const auto two = [](const auto& a, const auto& b) {
    if constexpr (Number<std::remove_cvref_t<decltype(a)>> &&
                  Number<std::remove_cvref_t<decltype(b)>>)
      return std::hypot(detail::plain(a), detail::plain(b));
    else return hypot(a, b);
  };
  const double a = detail::data(x), b = detail::data(y), c = detail::data(z);
  T result = std::fabs(c) > std::fabs(a) && std::fabs(c) > std::fabs(b) ? T(two(two(z, x), y))
                                                                        : T(two(two(x, y), z));
  return T::with_data(std::move(result), std::hypot(a, b, c));
}

}  // namespace tapegrad
