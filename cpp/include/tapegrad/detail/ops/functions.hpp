// Operators and functions of numbers that are recorded: Value's and Active's.
//
// Such a type T names itself as T::Whole and has static members T::apply<code>(...), for each way
// in which T and plain numbers can be an operation's arguments. What they return is a T, or an
// expression: another type, with the same Whole, that becomes a T when it is assigned to one.
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

template <class T>
concept Number = std::is_arithmetic_v<T>;

template <class T>
concept Recorded = requires {
  typename T::Whole;
};

namespace detail {

template <class X, class Y>
concept Alike = std::same_as<typename X::Whole, typename Y::Whole>;

}  // namespace detail

// Two of one recorded type, or one and a plain number.
template <class X, class Y>
concept Pair = (Recorded<X> && (Number<Y> || detail::Alike<X, Y>)) || (Number<X> && Recorded<Y>);

// One that has its number at hand: a symbol of a recording has none to decide by.
template <class T>
concept Evaluated = Recorded<T> && requires(const T& x) {
  { x.data() } -> std::convertible_to<double>;
};

// One recorded number at least, and beside it plain ones or recorded ones of the same type.
template <class X, class Y, class Z>
concept Triple = (Recorded<X> && (Number<Y> || Pair<X, Y>)&&(Number<Z> || Pair<X, Z>)) ||
                 (Number<X> && Pair<Y, Z>);

// What can be assigned to.
template <class T>
concept Whole = Recorded<T> && std::same_as<T, typename T::Whole>;

namespace detail {

double plain(Number auto x) { return static_cast<double>(x); }
template <Recorded T>
const T& plain(const T& x) {
  return x;
}

template <Name name, Recorded T>
auto apply(const T& x) {
  return T::Whole::template apply<op<name>()>(x);
}

template <Name name, class X, class Y>
requires Pair<X, Y>
auto apply(const X& x, const Y& y) {
  using T = std::conditional_t<Recorded<X>, X, Y>;
  return T::Whole::template apply<op<name>()>(plain(x), plain(y));
}

double data(Number auto x) { return static_cast<double>(x); }
double data(const Recorded auto& x) { return x.data(); }

// The type that the first recorded one becomes when it is assigned.
template <class X, class... Rest>
struct WholeOf : WholeOf<Rest...> {};
template <Recorded X, class... Rest>
struct WholeOf<X, Rest...> {
  using type = typename X::Whole;
};
template <class... X>
using whole_of = typename WholeOf<X...>::type;

// std::numeric_limits of a type that stands for a double. In parentheses, since min and max may be
// macros.
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

template <Recorded T>
T operator+(const T& x) {
  return x;
}
template <Recorded T>
auto operator-(const T& x) {
  return detail::apply<"neg">(x);
}

// clang-format off
template <class X, class Y> requires Pair<X, Y> auto operator+(const X& x, const Y& y) { return detail::apply<"add">(x, y); }
template <class X, class Y> requires Pair<X, Y> auto operator-(const X& x, const Y& y) { return detail::apply<"sub">(x, y); }
template <class X, class Y> requires Pair<X, Y> auto operator*(const X& x, const Y& y) { return detail::apply<"mul">(x, y); }
template <class X, class Y> requires Pair<X, Y> auto operator/(const X& x, const Y& y) { return detail::apply<"div">(x, y); }

template <Whole T, Pair<T> Y> [[gnu::always_inline]] inline T& operator+=(T& x, const Y& y) { return x = x + y; }
template <Whole T, Pair<T> Y> [[gnu::always_inline]] inline T& operator-=(T& x, const Y& y) { return x = x - y; }
template <Whole T, Pair<T> Y> [[gnu::always_inline]] inline T& operator*=(T& x, const Y& y) { return x = x * y; }
template <Whole T, Pair<T> Y> [[gnu::always_inline]] inline T& operator/=(T& x, const Y& y) { return x = x / y; }

// Comparisons are those of the data.
template <class X, class Y> requires Pair<X, Y> auto operator<=>(const X& x, const Y& y) { return detail::data(x) <=> detail::data(y); }
template <class X, class Y> requires Pair<X, Y> bool operator==(const X& x, const Y& y) { return detail::data(x) == detail::data(y); }

template <Evaluated T> bool isnan(const T& x) { return std::isnan(x.data()); }
template <Evaluated T> bool isinf(const T& x) { return std::isinf(x.data()); }
template <Evaluated T> bool isfinite(const T& x) { return std::isfinite(x.data()); }
template <Evaluated T> bool signbit(const T& x) { return std::signbit(x.data()); }

// Steps: their derivative is 0, so that the result is a constant.
template <Evaluated T> auto floor(const T& x) { return typename T::Whole(std::floor(x.data())); }
template <Evaluated T> auto ceil(const T& x) { return typename T::Whole(std::ceil(x.data())); }
template <Evaluated T> auto trunc(const T& x) { return typename T::Whole(std::trunc(x.data())); }
template <Evaluated T> auto round(const T& x) { return typename T::Whole(std::round(x.data())); }

template <Recorded T> auto abs(const T& x) { return detail::apply<"abs">(x); }
template <Recorded T> auto fabs(const T& x) { return detail::apply<"abs">(x); }
template <Recorded T> auto square(const T& x) { return detail::apply<"square">(x); }
template <Recorded T> auto reciprocal(const T& x) { return detail::apply<"reciprocal">(x); }
template <Recorded T> auto exp(const T& x) { return detail::apply<"exp">(x); }
template <Recorded T> auto exp2(const T& x) { return detail::apply<"exp2">(x); }
template <Recorded T> auto expm1(const T& x) { return detail::apply<"expm1">(x); }
template <Recorded T> auto log(const T& x) { return detail::apply<"log">(x); }
template <Recorded T> auto log1p(const T& x) { return detail::apply<"log1p">(x); }
template <Recorded T> auto log2(const T& x) { return detail::apply<"log2">(x); }
template <Recorded T> auto log10(const T& x) { return detail::apply<"log10">(x); }
template <Recorded T> auto sqrt(const T& x) { return detail::apply<"sqrt">(x); }
template <Recorded T> auto cbrt(const T& x) { return detail::apply<"cbrt">(x); }
template <Recorded T> auto sin(const T& x) { return detail::apply<"sin">(x); }
template <Recorded T> auto cos(const T& x) { return detail::apply<"cos">(x); }
template <Recorded T> auto tan(const T& x) { return detail::apply<"tan">(x); }
template <Recorded T> auto asin(const T& x) { return detail::apply<"asin">(x); }
template <Recorded T> auto acos(const T& x) { return detail::apply<"acos">(x); }
template <Recorded T> auto atan(const T& x) { return detail::apply<"atan">(x); }
template <Recorded T> auto sinh(const T& x) { return detail::apply<"sinh">(x); }
template <Recorded T> auto cosh(const T& x) { return detail::apply<"cosh">(x); }
template <Recorded T> auto tanh(const T& x) { return detail::apply<"tanh">(x); }
template <Recorded T> auto asinh(const T& x) { return detail::apply<"asinh">(x); }
template <Recorded T> auto acosh(const T& x) { return detail::apply<"acosh">(x); }
template <Recorded T> auto atanh(const T& x) { return detail::apply<"atanh">(x); }
template <Recorded T> auto sigmoid(const T& x) { return detail::apply<"sigmoid">(x); }
template <Recorded T> auto softplus(const T& x) { return detail::apply<"softplus">(x); }
template <Recorded T> auto relu(const T& x) { return detail::apply<"relu">(x); }
template <Recorded T> auto leaky_relu(const T& x) { return detail::apply<"leaky_relu">(x, 0.01); }
template <Recorded T> auto gelu(const T& x) { return detail::apply<"gelu">(x); }
template <Recorded T> auto silu(const T& x) { return detail::apply<"silu">(x); }
template <Recorded T> auto erf(const T& x) { return detail::apply<"erf">(x); }
template <Recorded T> auto erfc(const T& x) { return detail::apply<"erfc">(x); }
template <Recorded T> auto lgamma(const T& x) { return detail::apply<"lgamma">(x); }
template <class X, class Y> requires Pair<X, Y> auto leaky_relu(const X& x, const Y& slope) { return detail::apply<"leaky_relu">(x, slope); }
template <class X, class Y> requires Pair<X, Y> auto atan2(const X& y, const Y& x) { return detail::apply<"atan2">(y, x); }
template <class X, class Y> requires Pair<X, Y> auto hypot(const X& x, const Y& y) { return detail::apply<"hypot">(x, y); }
template <class X, class Y> requires Pair<X, Y> auto maximum(const X& x, const Y& y) { return detail::apply<"maximum">(x, y); }
template <class X, class Y> requires Pair<X, Y> auto minimum(const X& x, const Y& y) { return detail::apply<"minimum">(x, y); }
template <class X, class Y> requires Pair<X, Y>
auto pow(const X& x, const Y& y) {
  // A power of a plain exponent differentiates by the base alone.
  if constexpr (Number<Y>) return detail::apply<"pow_const">(x, y);
  else return detail::apply<"pow">(x, y);
}
// clang-format on

template <class X, class Low, class High>
requires Triple<X, Low, High>
auto clip(const X& x, const Low& low, const High& high) {
  using T = detail::whole_of<X, Low, High>;
  return T::template apply<op<"clip">()>(detail::plain(x), detail::plain(low), detail::plain(high));
}

template <class C, class Traits, Evaluated T>
std::basic_ostream<C, Traits>& operator<<(std::basic_ostream<C, Traits>& out, const T& x) {
  return out << x.data();
}

// maximum and minimum, but of a NaN and a number, the number: as C's.
template <class X, class Y>
requires Pair<X, Y>
auto fmax(const X& x, const Y& y) {
  using T = detail::whole_of<X, Y>;
  if (std::isnan(detail::data(x))) return T(y);
  if (std::isnan(detail::data(y))) return T(x);
  return T(maximum(x, y));
}
template <class X, class Y>
requires Pair<X, Y>
auto fmin(const X& x, const Y& y) {
  using T = detail::whole_of<X, Y>;
  if (std::isnan(detail::data(x))) return T(y);
  if (std::isnan(detail::data(y))) return T(x);
  return T(minimum(x, y));
}

// x with the sign of y. Its derivative is 1 or -1, and 0 where x is 0, as PyTorch's.
template <class X, class Y>
requires Pair<X, Y>
auto copysign(const X& x, const Y& y) {
  using T = detail::whole_of<X, Y>;
  const double from = detail::data(x), sign = detail::data(y);
  if (from == 0.0) return T(std::copysign(0.0, sign));
  return std::signbit(from) == std::signbit(sign) ? T(x) : T(-detail::plain(x));
}

// What x leaves when it is divided by y, of the sign of x. The derivatives are 1 and -trunc(x / y).
template <class X, class Y>
requires Pair<X, Y>
auto fmod(const X& x, const Y& y) {
  using T = detail::whole_of<X, Y>;
  // Of numbers that are both positive it is Python's remainder, which the table has.
  const auto divided = [&](const auto& dividend) {
    if (std::signbit(detail::data(y)))
      return T(detail::apply<"remainder">(dividend, -detail::plain(y)));
    return T(detail::apply<"remainder">(dividend, y));
  };
  return std::signbit(detail::data(x)) ? T(-divided(-detail::plain(x))) : divided(x);
}

// x * y + z with the one rounding of std::fma. It is recorded as a product and a sum.
template <class X, class Y, class Z>
requires Triple<X, Y, Z>
auto fma(const X& x, const Y& y, const Z& z) {
  using T = detail::whole_of<X, Y, Z>;
  return T::with_data(T(detail::plain(x) * detail::plain(y) + detail::plain(z)),
                      std::fma(detail::data(x), detail::data(y), detail::data(z)));
}

// The square root of the sum of three squares. It is recorded as hypot of hypot, the largest number
// in the inner one, which therefore is 0 only where all three are.
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
