// tapegrad::Value: a number that remembers how it was computed.
//
//   tapegrad::Value a = 2.0, b = -3.0, c = 10.0;
//   auto y = tanh(a * b + c);
//   y.backward();
//   a.grad();   // dy/da
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tape.hpp"

namespace tapegrad {

template <class T>
concept Number = std::is_arithmetic_v<T>;

// One reference to a node of this thread's tape; copies refer to the same node. A Value belongs to
// the thread that made it.
class Value {
 public:
  Value() : Value(0.0) {}
  Value(Number auto primal) : node_(tape().leaf(static_cast<double>(primal))) {}
  Value(const Value& other) noexcept : node_(other.node_) {
    if (node_ != no_node) tape().own(node_);
  }
  Value(Value&& other) noexcept : node_(std::exchange(other.node_, no_node)) {}
  Value& operator=(Value other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Value() {
    if (node_ != no_node) tape().release(node_);
  }

  // Takes over the caller's ownership of a node.
  static Value adopt(Index node) noexcept { return Value(Adopted{}, node); }

  double data() const noexcept { return tape().cell(node_).primal; }
  double grad() const noexcept { return tape().link(node_).adjoint; }
  void set_data(double primal) noexcept { tape().cell(node_).primal = primal; }
  void set_grad(double adjoint) noexcept { tape().link(node_).adjoint = adjoint; }
  Index node() const noexcept { return node_; }

  // Afterwards grad() of every Value that this one was computed from has grown by its derivative.
  void backward(double seed = 1.0) const {
    const Value root = *this;  // a backward function may drop the caller's
    tape().backward(root.node_, seed);
  }
  void zero_grad() const { tape().zero_adjoints(node_); }

  const std::string& label() const {
    static const std::string no_label;
    const Note* note = tape().find_note(node_);
    return note != nullptr ? note->label : no_label;
  }
  void set_label(std::string label) { tape().need_note(node_).label = std::move(label); }

  // The tape of this thread, made at first use; it outlives every Value of the thread.
  static Tape& tape() {
    if (tape_ == nullptr) [[unlikely]]
      begin();
    return *tape_;
  }

  friend Value operator+(const Value& x) { return x; }
  friend Value operator-(const Value& x) { return adopt(tape().record<op<"neg">()>(x.node_)); }

 private:
  struct Adopted {};
  Value(Adopted, Index node) noexcept : node_(node) {}

  // With the thread goes its tape, unless a Value lives on: in a static variable, say.
  struct Keeper {
    ~Keeper() {
      if (tape_ == nullptr || tape_->blocks().alive() != 0) return;
      delete std::exchange(tape_, nullptr);
    }
  };
  static void begin() {
    static thread_local Keeper keeper;
    static_cast<void>(&keeper);
    tape_ = new Tape;
  }

  // A raw pointer, constant-initialised: reading it needs no guard.
  static inline thread_local constinit Tape* tape_ = nullptr;

  Index node_;
};

template <class T>
concept Scalar = std::same_as<T, Value> || Number<T>;
template <class X, class Y>
concept Pair = (std::same_as<X, Value> && Scalar<Y>) || (Number<X> && std::same_as<Y, Value>);

namespace detail {

inline Index argument(const Value& x) { return x.node(); }
inline double argument(Number auto x) { return static_cast<double>(x); }

template <Name name>
Value apply(const Value& x) {
  return Value::adopt(Value::tape().record<op<name>()>(x.node()));
}

template <Name name, class X, class Y>
Value apply(const X& x, const Y& y) {
  return Value::adopt(Value::tape().record<op<name>()>(argument(x), argument(y)));
}

inline Argument any_argument(const Value& x) { return {x.node(), x.data()}; }
inline Argument any_argument(Number auto x) { return {no_node, static_cast<double>(x)}; }

}  // namespace detail

// clang-format off
template <class X, class Y>
  requires Pair<X, Y>
Value operator+(const X& x, const Y& y) {
  return detail::apply<"add">(x, y);
}
template <class X, class Y>
  requires Pair<X, Y>
Value operator-(const X& x, const Y& y) {
  return detail::apply<"sub">(x, y);
}
template <class X, class Y>
  requires Pair<X, Y>
Value operator*(const X& x, const Y& y) {
  return detail::apply<"mul">(x, y);
}
template <class X, class Y>
  requires Pair<X, Y>
Value operator/(const X& x, const Y& y) {
  return detail::apply<"div">(x, y);
}
// clang-format on
Value& operator+=(Value& x, const Scalar auto& y) { return x = x + y; }
Value& operator-=(Value& x, const Scalar auto& y) { return x = x - y; }
Value& operator*=(Value& x, const Scalar auto& y) { return x = x * y; }
Value& operator/=(Value& x, const Scalar auto& y) { return x = x / y; }

// Comparisons are those of the data.
template <class X, class Y>
requires Pair<X, Y>
auto operator<=>(const X& x, const Y& y) {
  const auto data = [](const auto& v) {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(v)>, Value>) return v.data();
    else return static_cast<double>(v);
  };
  return data(x) <=> data(y);
}

// clang-format off
inline Value abs(const Value& x) { return detail::apply<"abs">(x); }
inline Value square(const Value& x) { return detail::apply<"square">(x); }
inline Value reciprocal(const Value& x) { return detail::apply<"reciprocal">(x); }
inline Value exp(const Value& x) { return detail::apply<"exp">(x); }
inline Value exp2(const Value& x) { return detail::apply<"exp2">(x); }
inline Value expm1(const Value& x) { return detail::apply<"expm1">(x); }
inline Value log(const Value& x) { return detail::apply<"log">(x); }
inline Value log1p(const Value& x) { return detail::apply<"log1p">(x); }
inline Value log2(const Value& x) { return detail::apply<"log2">(x); }
inline Value log10(const Value& x) { return detail::apply<"log10">(x); }
inline Value sqrt(const Value& x) { return detail::apply<"sqrt">(x); }
inline Value cbrt(const Value& x) { return detail::apply<"cbrt">(x); }
inline Value sin(const Value& x) { return detail::apply<"sin">(x); }
inline Value cos(const Value& x) { return detail::apply<"cos">(x); }
inline Value tan(const Value& x) { return detail::apply<"tan">(x); }
inline Value asin(const Value& x) { return detail::apply<"asin">(x); }
inline Value acos(const Value& x) { return detail::apply<"acos">(x); }
inline Value atan(const Value& x) { return detail::apply<"atan">(x); }
inline Value sinh(const Value& x) { return detail::apply<"sinh">(x); }
inline Value cosh(const Value& x) { return detail::apply<"cosh">(x); }
inline Value tanh(const Value& x) { return detail::apply<"tanh">(x); }
inline Value asinh(const Value& x) { return detail::apply<"asinh">(x); }
inline Value acosh(const Value& x) { return detail::apply<"acosh">(x); }
inline Value atanh(const Value& x) { return detail::apply<"atanh">(x); }
inline Value sigmoid(const Value& x) { return detail::apply<"sigmoid">(x); }
inline Value softplus(const Value& x) { return detail::apply<"softplus">(x); }
inline Value relu(const Value& x) { return detail::apply<"relu">(x); }
inline Value leaky_relu(const Value& x, const Scalar auto& slope) { return detail::apply<"leaky_relu">(x, slope); }
inline Value leaky_relu(const Value& x) { return detail::apply<"leaky_relu">(x, 0.01); }
inline Value gelu(const Value& x) { return detail::apply<"gelu">(x); }
inline Value silu(const Value& x) { return detail::apply<"silu">(x); }
inline Value erf(const Value& x) { return detail::apply<"erf">(x); }
inline Value erfc(const Value& x) { return detail::apply<"erfc">(x); }
inline Value lgamma(const Value& x) { return detail::apply<"lgamma">(x); }
inline Value pow(const Value& x, Number auto c) { return detail::apply<"pow_const">(x, c); }
inline Value pow(const Value& x, const Value& y) { return detail::apply<"pow">(x, y); }
inline Value pow(Number auto x, const Value& y) { return detail::apply<"pow">(x, y); }
template <class X, class Y> requires Pair<X, Y> Value atan2(const X& y, const Y& x) { return detail::apply<"atan2">(y, x); }
template <class X, class Y> requires Pair<X, Y> Value hypot(const X& x, const Y& y) { return detail::apply<"hypot">(x, y); }
template <class X, class Y> requires Pair<X, Y> Value maximum(const X& x, const Y& y) { return detail::apply<"maximum">(x, y); }
template <class X, class Y> requires Pair<X, Y> Value minimum(const X& x, const Y& y) { return detail::apply<"minimum">(x, y); }
// clang-format on

Value clip(const Value& x, const Scalar auto& low, const Scalar auto& high) {
  const Argument arguments[] = {detail::any_argument(x), detail::any_argument(low),
                                detail::any_argument(high)};
  return Value::adopt(Value::tape().record<op<"clip">()>(std::span<const Argument>(arguments)));
}

// One node, however many operands.
inline Value sum(std::span<const Value> xs) {
  if (xs.empty()) return Value(0.0);
  std::vector<Argument> arguments;
  arguments.reserve(xs.size());
  for (const Value& x : xs) arguments.push_back(detail::any_argument(x));
  return Value::adopt(Value::tape().record<op<"sum">()>(std::span<const Argument>(arguments)));
}

namespace detail {

template <Scalar Y>
Value dot(std::span<const Value> xs, std::span<const Y> ys) {
  if (xs.size() != ys.size()) throw std::invalid_argument("dot: sequences of different lengths");
  if (xs.empty()) return Value(0.0);
  std::vector<Argument> arguments;
  arguments.reserve(xs.size() + ys.size());
  for (const Value& x : xs) arguments.push_back(any_argument(x));
  for (const Y& y : ys) arguments.push_back(any_argument(y));
  return Value::adopt(Value::tape().record<op<"dot">()>(std::span<const Argument>(arguments)));
}

}  // namespace detail

// Throws std::invalid_argument unless both have the same length.
inline Value dot(std::span<const Value> xs, std::span<const Value> ys) {
  return detail::dot(xs, ys);
}
inline Value dot(std::span<const Value> xs, std::span<const double> ys) {
  return detail::dot(xs, ys);
}

}  // namespace tapegrad
