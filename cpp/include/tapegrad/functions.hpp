// Operators and functions of numbers that are recorded: Value's and Traced's.
//
// Such a type T names itself as T::Whole and has static members T::apply<code>(...), for each way
// in which T and plain numbers can be an operation's arguments. What they return is a T, or an
// expression: another type, with the same Whole, that becomes a T when it is assigned to one.
#pragma once

#include <compare>
#include <concepts>
#include <type_traits>

#include "ops.hpp"

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

template <Recorded T> auto abs(const T& x) { return detail::apply<"abs">(x); }
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

template <Recorded T, class Low, class High>
requires(Pair<T, Low>&& Pair<T, High>) auto clip(const T& x, const Low& low, const High& high) {
  return T::Whole::template apply<op<"clip">()>(x, detail::plain(low), detail::plain(high));
}

}  // namespace tapegrad
