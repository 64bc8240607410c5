// The table of operations, which defines each operation in one place.
//
// An entry has names, parameters, a summary, the domain on which the operation is smooth, its value
// and a partial derivative by each operand. Value and partials are generic lambdas over the number
// type: eager recording instantiates them for double, a recording for Symbol. Recording, the sweep,
// Python's methods and functions, drawings, documentation and the parameters of the tests all
// derive from the table, so that a new operation is one new entry.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tapegrad/detail/ops/math.hpp"
#include "tapegrad/detail/ops/orders.hpp"

namespace tapegrad {

// An interval of the domain from which tests draw operands.
struct Interval {
  double low, high;
};

// The arity of an operation with any number of operands.
inline constexpr std::size_t variadic = 0;

// The properties of an operation that do not depend on the number type, for documentation, bindings
// and tests.
struct Description {
  std::string_view name;    // as in Python's math module
  std::string_view alias;   // NumPy's name, if it differs
  std::string_view symbol;  // in drawings
  std::string_view summary;
  std::size_t arity;
  std::array<std::string_view, 3> parameters;
  std::array<Interval, 3> domain;
  std::optional<double> fallback;    // default value of the last parameter
  bool constant_last;                // the last parameter is a plain number and no operand
  std::optional<double> empty = {};  // value without operands, if there is one
  bool inner = false;                // only derivatives and programs use it
};

// An entry of the table.
template <class Value, class... Partials>
struct Operation : Description {
  Value value;
  std::tuple<Partials...> partials;
};

// A partial derivative with the same value everywhere, known at compile time. Code need not compute
// or store it.
template <int number>
struct Constant {
  constexpr operator double() const { return number; }
};

// A partial derivative by an operand that only one of two branches uses. It is `slope` if the
// condition equals `taken`. Otherwise the contribution of the operand is absent, because 0 times an
// infinity would be NaN.
template <class Condition, class Slope, bool taken>
struct Selected {
  Condition condition;
  Slope slope;

  constexpr bool is_present() const requires(std::same_as<Condition, bool>) {
    return condition == taken;
  }
  // The partial as a number, for code that multiplies by every partial.
  constexpr operator double() const requires(std::same_as<Condition, bool>) {
    return is_present() ? static_cast<double>(slope) : 0.0;
  }
};

template <class Partial>
inline constexpr bool is_selected = false;
template <class Condition, class Slope, bool taken>
inline constexpr bool is_selected<Selected<Condition, Slope, taken>> = true;

// The number that stands for an absent contribution among stored partials: a NaN with a payload
// that no arithmetic produces. A sweep tests for it only if a product is NaN.
inline constexpr std::uint64_t absent_bits = 0x7ff8'7461'7065'6772u;
inline constexpr bool is_absent(double partial) noexcept {
  return std::bit_cast<std::uint64_t>(partial) == absent_bits;
}
// The number to store for a partial.
template <class Partial>
constexpr double stored(const Partial& partial) {
  if constexpr (is_selected<Partial>)
    return partial.is_present() ? static_cast<double>(partial.slope)
                                : std::bit_cast<double>(absent_bits);
  else return partial;
}

namespace ops {

inline constexpr Constant<1> one;
inline constexpr Constant<-1> minus_one;
inline constexpr Constant<0> none;

template <class Condition, class Slope>
constexpr Selected<Condition, Slope, true> when(Condition condition, Slope slope) {
  return {condition, slope};
}
template <class Condition, class Slope>
constexpr Selected<Condition, Slope, false> unless(Condition condition, Slope slope) {
  return {condition, slope};
}

inline constexpr Interval everywhere{-4.0, 4.0};
inline constexpr Interval positive{0.05, 6.0};
inline constexpr Interval inside_one{-0.95, 0.95};

template <class Value, class Partial>
constexpr auto unary(std::string_view name, std::string_view alias, std::string_view symbol,
                     std::string_view summary, Interval domain, Value value, Partial partial) {
  return Operation<Value, Partial>{
      {name, alias, symbol, summary, 1, {"x"}, {domain}, {}, false}, value, {partial}};
}

template <class Value, class P, class Q>
constexpr auto binary(std::string_view name, std::string_view alias, std::string_view symbol,
                      std::string_view summary, std::array<std::string_view, 3> parameters,
                      std::array<Interval, 3> domain, Value value, P p, Q q,
                      std::optional<double> fallback = {}) {
  return Operation<Value, P, Q>{
      {name, alias, symbol, summary, 2, parameters, domain, fallback, false}, value, {p, q}};
}

// An entry for an operation of one operand and one plain number, which is no node.
template <class Value, class Partial>
constexpr auto with_constant(std::string_view name, std::string_view symbol,
                             std::string_view summary, std::array<std::string_view, 3> parameters,
                             std::array<Interval, 3> domain, Value value, Partial partial) {
  return Operation<Value, Partial>{
      {name, "", symbol, summary, 1, parameters, domain, {}, true}, value, {partial}};
}

template <class Value, class P, class Q, class R>
constexpr auto ternary(std::string_view name, std::string_view summary,
                       std::array<std::string_view, 3> parameters, std::array<Interval, 3> domain,
                       Value value, P p, Q q, R r) {
  return Operation<Value, P, Q, R>{
      {name, "", name, summary, 3, parameters, domain, {}, false}, value, {p, q, r}};
}

// The additive identity of IEEE doubles, with which a sum without a start begins: x + nothing is x
// for every x, -0.0 included.
inline constexpr double nothing = -0.0;

// The sum of the products, from left to right, so that it does not depend on the layout of the
// operands.
template <class Numbers, class Number>
constexpr auto inner_product(const Numbers& x, const Numbers& y, const Number& start) {
  auto total = start;
  for (std::size_t k = 0; k < x.size(); ++k) total = total + x[k] * y[k];
  return total;
}

// An entry for an operation of any number of operands, which takes them as a span. `partial`
// returns a function of the operand's position k, so that the entry computes common parts once for
// all operands. `empty` is the value without operands.
template <class Value, class Partial>
constexpr auto n_ary(std::string_view name, std::string_view summary,
                     std::array<std::string_view, 3> parameters, std::optional<double> empty,
                     Value value, Partial partial) {
  return Operation<Value, Partial>{
      {name, "", name, summary, variadic, parameters, {everywhere, everywhere}, {}, false, empty},
      value,
      {partial}};
}

// Marks an entry as internal: it is no public function, but derivatives of other operations use it.
template <class Inner>
constexpr Inner inner(Inner operation) {
  operation.inner = true;
  return operation;
}

// Derivatives at kinks and edges are PyTorch's; tests/python/data/torch_edges.json holds them.
// clang-format off
using namespace math;
inline constexpr auto table = std::make_tuple(
  // arithmetic
  binary("add", "", "+", "x + y", {"x", "y"}, {everywhere, everywhere},
         [](auto x, auto y) { return x + y; },
         [](auto, auto, auto) { return one; }, [](auto, auto, auto) { return one; }),
  binary("sub", "subtract", "-", "x - y", {"x", "y"}, {everywhere, everywhere},
         [](auto x, auto y) { return x - y; },
         [](auto, auto, auto) { return one; }, [](auto, auto, auto) { return minus_one; }),
  binary("mul", "multiply", "*", "x * y", {"x", "y"}, {everywhere, everywhere},
         [](auto x, auto y) { return x * y; },
         [](auto, auto y, auto) { return y; }, [](auto x, auto, auto) { return x; }),
  binary("div", "divide", "/", "x / y", {"x", "y"}, {everywhere, positive},
         [](auto x, auto y) { return x / y; },
         [](auto, auto y, auto) { return 1.0 / y; }, [](auto x, auto y, auto z) { return quotient_slope(x, y, z); }),
  binary("pow", "power", "**", "x to the power y", {"x", "y"}, {positive, everywhere},
         [](auto x, auto y) { return pow(x, y); },
         [](auto x, auto y, auto) { return pow_derivative(x, y, 1.0); },
         [](auto x, auto y, auto z) { return pow_slope(x, y, z); }),
  with_constant("pow_const", "**", "x to the power of a plain number", {"x", "c"}, {positive, everywhere},
         [](auto x, auto c) { return power(x, c); },
         [](auto x, auto c, auto) { return power_slope(x, c); }),
  unary("neg", "negative", "neg", "-x", everywhere,
        [](auto x) { return -x; }, [](auto, auto) { return minus_one; }),
  unary("abs", "absolute", "abs", "The absolute value; its derivative at 0 is 0.", {0.05, 4.0},
        [](auto x) { return abs(x); },
        [](auto x, auto) { return where(x > 0.0, 1.0, where(x < 0.0, -1.0, 0.0)); }),
  unary("square", "", "square", "x * x", everywhere,
        [](auto x) { return x * x; }, [](auto x, auto) { return 2.0 * x; }),
  unary("reciprocal", "", "reciprocal", "1 / x", positive,
        [](auto x) { return 1.0 / x; }, [](auto, auto y) { return -y * y; }),
  // exponentials and roots
  unary("exp", "", "exp", "e to the power x", everywhere,
        [](auto x) { return exp(x); }, [](auto, auto y) { return y; }),
  unary("exp2", "", "exp2", "2 to the power x", everywhere,
        [](auto x) { return exp2(x); }, [](auto x, auto y) { return exp2_slope(x, y); }),
  unary("expm1", "", "expm1", "exp(x) - 1, accurate near 0", everywhere,
        [](auto x) { return expm1(x); }, [](auto x, auto y) { return expm1_slope(x, y); }),
  unary("log", "", "log", "The natural logarithm.", positive,
        [](auto x) { return log(x); }, [](auto x, auto) { return 1.0 / x; }),
  unary("log1p", "", "log1p", "log(1 + x), accurate near 0", {-0.9, 6.0},
        [](auto x) { return log1p(x); }, [](auto x, auto) { return 1.0 / (x + 1.0); }),
  unary("log1mexp", "", "log1mexp", "log(1 - exp(-x)), accurate at both ends", positive,
        [](auto x) { return where(x < std::numbers::ln2, log(-expm1(-x)), log1p(-exp(-x))); },
        [](auto x, auto) { return exp(-x) / -expm1(-x); }),
  unary("log2", "", "log2", "The logarithm to base 2.", positive,
        [](auto x) { return log2(x); }, [](auto x, auto) { return std::numbers::log2e / x; }),
  unary("log10", "", "log10", "The logarithm to base 10.", positive,
        [](auto x) { return log10(x); }, [](auto x, auto) { return std::numbers::log10e / x; }),
  unary("sqrt", "", "sqrt", "The square root.", positive,
        [](auto x) { return sqrt(x); }, [](auto, auto y) { return 0.5 / y; }),
  unary("cbrt", "", "cbrt", "The real cube root.", positive,
        [](auto x) { return cbrt(x); }, [](auto x, auto) { return cbrt_derivative(x, 1.0); }),
  // trigonometric and hyperbolic
  unary("sin", "", "sin", "The sine of x radians.", everywhere,
        [](auto x) { return sin(x); }, [](auto x, auto) { return cos(x); }),
  unary("cos", "", "cos", "The cosine of x radians.", everywhere,
        [](auto x) { return cos(x); }, [](auto x, auto) { return -sin(x); }),
  unary("tan", "", "tan", "The tangent of x radians.", {-1.4, 1.4},
        [](auto x) { return tan(x); }, [](auto, auto y) { return 1.0 + y * y; }),
  unary("asin", "arcsin", "asin", "The inverse sine, in radians.", inside_one,
        [](auto x) { return asin(x); }, [](auto x, auto) { return 1.0 / sqrt(complement(x)); }),
  unary("acos", "arccos", "acos", "The inverse cosine, in radians.", inside_one,
        [](auto x) { return acos(x); }, [](auto x, auto) { return -1.0 / sqrt(complement(x)); }),
  unary("atan", "arctan", "atan", "The inverse tangent, in radians.", everywhere,
        [](auto x) { return atan(x); }, [](auto x, auto) { return atan2_derivative(x, 1.0, 1.0); }),
  binary("atan2", "arctan2", "atan2", "The angle of the point (x, y), in radians.", {"y", "x"},
         {everywhere, positive},
         [](auto y, auto x) { return atan2(y, x); },
         [](auto y, auto x, auto) { return atan2_derivative(y, x, 1.0); },
         [](auto y, auto x, auto) { return atan2_derivative(y, x, second_order); }),
  unary("sinh", "", "sinh", "The hyperbolic sine.", everywhere,
        [](auto x) { return sinh(x); }, [](auto x, auto) { return cosh(x); }),
  unary("cosh", "", "cosh", "The hyperbolic cosine.", everywhere,
        [](auto x) { return cosh(x); }, [](auto x, auto) { return sinh(x); }),
  unary("tanh", "", "tanh", "The hyperbolic tangent.", everywhere,
        [](auto x) { return tanh(x); }, [](auto x, auto y) { return tanh_slope(x, y); }),
  unary("asinh", "arcsinh", "asinh", "The inverse hyperbolic sine.", everywhere,
        [](auto x) { return asinh(x); }, [](auto x, auto) { return asinh_slope(x); }),
  unary("acosh", "arccosh", "acosh", "The inverse hyperbolic cosine.", {1.05, 6.0},
        [](auto x) { return acosh(x); }, [](auto x, auto) { return acosh_derivative(x, 1.0); }),
  unary("atanh", "arctanh", "atanh", "The inverse hyperbolic tangent.", inside_one,
        [](auto x) { return atanh(x); }, [](auto x, auto) { return 1.0 / complement(x); }),
  binary("hypot", "", "hypot", "sqrt(x*x + y*y) without overflow.", {"x", "y"}, {positive, positive},
         [](auto x, auto y) { return hypot(x, y); },
         [](auto x, auto y, auto z) { return hypot_slope(x, y, z); },
         [](auto x, auto y, auto z) { return hypot_slope(y, x, z); }),
  // activations
  unary("sigmoid", "", "sigmoid", "1 / (1 + exp(-x)), stable in both tails.", everywhere,
        [](auto x) { return sigmoid(x); }, [](auto x, auto) { return sigmoid_slope(x); }),
  unary("softplus", "", "softplus", "log(1 + exp(x)), without overflow.", everywhere,
        [](auto x) { return softplus(x); }, [](auto x, auto) { return sigmoid(x); }),
  unary("relu", "", "ReLU", "max(x, 0); its derivative at 0 is 0.", {0.05, 4.0},
        [](auto x) { return where(x < 0.0, 0.0, x); }, [](auto, auto y) { return unless(y <= 0.0, one); }),
  binary("leaky_relu", "", "leaky_relu", "x where x > 0, else slope * x.", {"x", "slope"},
         {{{0.05, 4.0}, everywhere}},
         [](auto x, auto slope) { return where(x > 0.0, x, slope * x); },
         [](auto x, auto slope, auto) { return where(x > 0.0, 1.0, slope); },
         [](auto x, auto, auto) { return unless(x > 0.0, x); }, 0.01),
  unary("gelu", "", "gelu", "x times the normal distribution function of x (erf form).", everywhere,
        [](auto x) { return gelu(x); }, [](auto x, auto) { return gelu_derivative(x, 1.0); }),
  unary("silu", "", "silu", "x * sigmoid(x)", everywhere,
        [](auto x) { return silu(x); }, [](auto x, auto) { return silu_derivative(x, 1.0); }),
  // special functions
  unary("erf", "", "erf", "The error function.", everywhere,
        [](auto x) { return erf(x); },
        [](auto x, auto) { return 2.0 * std::numbers::inv_sqrtpi * gaussian(x, 0.0); }),
  unary("erfc", "", "erfc", "1 - erf(x), accurate in the upper tail.", everywhere,
        [](auto x) { return erfc(x); },
        [](auto x, auto) { return -2.0 * std::numbers::inv_sqrtpi * gaussian(x, 0.0); }),
  unary("lgamma", "", "lgamma", "The logarithm of |gamma(x)|; its derivative is digamma.", positive,
        [](auto x) { return lgamma(x); }, [](auto x, auto) { return digamma(x); }),
  // choices
  binary("maximum", "", "max", "The larger operand; at a tie each takes half of the gradient.",
         {"x", "y"}, {{{0.05, 2.0}, {2.1, 4.0}}},
         [](auto x, auto y) { return where(x != x || x >= y, x, y); },
         [](auto x, auto y, auto) { return unless(x < y, where(x == y, 0.5, 1.0)); },
         [](auto x, auto y, auto) { return unless(x > y, where(x == y, 0.5, 1.0)); }),
  binary("minimum", "", "min", "The smaller operand; at a tie each takes half of the gradient.",
         {"x", "y"}, {{{0.05, 2.0}, {2.1, 4.0}}},
         [](auto x, auto y) { return where(x != x || x <= y, x, y); },
         [](auto x, auto y, auto) { return unless(x > y, where(x == y, 0.5, 1.0)); },
         [](auto x, auto y, auto) { return unless(x < y, where(x == y, 0.5, 1.0)); }),
  ternary("clip", "x held between low and high; its derivative at a bound is 1.", {"x", "low", "high"},
          {{{-0.9, 0.9}, {-2.0, -1.0}, {1.0, 2.0}}},
          [](auto x, auto low, auto high) {
            const auto raised = where(x != x || x >= low, x, low);
            return where(raised != raised || raised <= high, raised, high);
          },
          [](auto x, auto low, auto high, auto) { return when(x >= low && x <= high, one); },
          [](auto x, auto low, auto high, auto) { return when(low < high && x < low, one); },
          [](auto x, auto low, auto high, auto) { return when(x > high || high < low, one); }),
  // any number of operands, one node
  n_ary("sum", "The sum of all operands, from left to right.", {"values"}, 0.0,
        [](auto x) {
          auto total = x[0];
          for (std::size_t k = 1; k < x.size(); ++k) total = total + x[k];
          return total;
        },
        [](auto, auto) { return [](std::size_t) { return 1.0; }; }),
  n_ary("dot", "The sum of the products of two sequences.", {"xs", "ys"}, 0.0,
        [](auto x) {
          using Number = std::remove_cvref_t<decltype(x[0])>;
          const std::size_t n = x.size() / 2;
          const Number start = x.size() % 2 != 0 ? x.back() : Number(nothing);
          return inner_product(x.first(n), x.subspan(n, n), start);
        },
        [](auto x, auto) {
          return [x, n = x.size() / 2](std::size_t k) {
            return k == 2 * n ? 1.0 : x[k < n ? k + n : k - n];
          };
        }),
  n_ary("squared_distance", "The sum of the squared differences of two sequences.", {"xs", "ys"}, 0.0,
        [](auto x) {
          const std::size_t n = x.size() / 2;
          auto total = (x[0] - x[n]) * (x[0] - x[n]);
          for (std::size_t k = 1; k < n; ++k) total = total + (x[k] - x[n + k]) * (x[k] - x[n + k]);
          return total;
        },
        [](auto x, auto) {
          return [x, n = x.size() / 2](std::size_t k) {
            return 2.0 * (x[k] - x[k < n ? k + n : k - n]);
          };
        }),
  n_ary("logsumexp", "The logarithm of the sum of the exponentials, without overflow.", {"xs"},
        -std::numeric_limits<double>::infinity(),
        [](auto x) { return log_sum(x); },
        [](auto x, auto) {
          return [x, sum = exponentials(x)](std::size_t k) {
            return exp((x[k] - sum.top) - log1p(sum.rest));
          };
        }),
  n_ary("surprisal", "logsumexp of all minus the first: -log of the first one's softmax.", {"xs"},
        {},
        [](auto x) { return log_sum_above_first(x); },
        [](auto x, auto y) {
          return [x, y, sum = exponentials_beside(x)](std::size_t k) {
            if (k == 0) return expm1(-y);
            return exp((x[k] == sum.top ? 0.0 : x[k] - sum.top) - log1p(sum.rest));
          };
        }),
  // Slopes. A partial by x is the derivative along the curve y = f(x).
  inner(unary("sigmoid_slope", "", "sigmoid'", "The derivative of sigmoid.", everywhere,
        [](auto x) { return sigmoid_slope(x); }, [](auto x, auto y) { return -y * tanh(0.5 * x); })),
  inner(binary("tanh_slope", "", "tanh'", "The derivative of tanh, whose value is y.", {"x", "y"},
        {everywhere, everywhere},
        [](auto x, auto y) { return tanh_slope(x, y); },
        [](auto x, auto y, auto z) { return tanh_curve(x, y, z); }, [](auto, auto, auto) { return none; })),
  inner(ternary("tanh_curve", "The second derivative of tanh, whose value is y and whose slope is z.", {"x", "y", "z"},
        {everywhere, everywhere, everywhere},
        [](auto x, auto y, auto z) { return tanh_curve(x, y, z); },
        [](auto x, auto, auto, auto) { return tanh_derivative(x, 3.0); },
        [](auto, auto, auto, auto) { return none; }, [](auto, auto, auto, auto) { return none; })),
  inner(with_constant("tanh_derivative", "tanh'", "The c-th derivative of tanh.", {"x", "c"}, {everywhere, positive},
        [](auto x, auto c) { return tanh_derivative(x, c); },
        [](auto x, auto c, auto) { return tanh_derivative(x, c + 1.0); })),
  inner(binary("expm1_slope", "", "expm1'", "The derivative of expm1, whose value is y.", {"x", "y"},
        {everywhere, everywhere},
        [](auto x, auto y) { return expm1_slope(x, y); },
        [](auto, auto, auto z) { return z; }, [](auto, auto, auto) { return none; })),
  inner(unary("complement", "", "1-x*x", "1 - x*x", everywhere,
        [](auto x) { return complement(x); }, [](auto x, auto) { return -2.0 * x; })),
  inner(unary("asinh_slope", "", "asinh'", "The derivative of asinh.", everywhere,
        [](auto x) { return asinh_slope(x); }, [](auto x, auto y) { return -x * y * y * y; })),
  inner(with_constant("polygamma", "polygamma", "The c-th derivative of digamma.", {"x", "c"}, {positive, positive},
        [](auto x, auto c) { return polygamma(x, c); },
        [](auto x, auto c, auto) { return polygamma(x, c + 1.0); })),
  // Derivatives of order c, or of order j by the first and k by the second variable.
  inner(with_constant("cbrt_derivative", "cbrt'", "The c-th derivative of cbrt.", {"x", "c"}, {positive, positive},
        [](auto x, auto c) { return cbrt_derivative(x, c); },
        [](auto x, auto c, auto) { return cbrt_derivative(x, c + 1.0); })),
  inner(with_constant("acosh_derivative", "acosh'", "The c-th derivative of acosh.", {"x", "c"}, {{{1.05, 6.0}, positive}},
        [](auto x, auto c) { return acosh_derivative(x, c); },
        [](auto x, auto c, auto) { return acosh_derivative(x, c + 1.0); })),
  inner(with_constant("gaussian", "gaussian", "The c-th derivative of exp(-x*x).", {"x", "c"}, {everywhere, positive},
        [](auto x, auto c) { return gaussian(x, c); },
        [](auto x, auto c, auto) { return gaussian(x, c + 1.0); })),
  inner(with_constant("gelu_derivative", "gelu'", "The c-th derivative of gelu.", {"x", "c"}, {everywhere, positive},
        [](auto x, auto c) { return gelu_derivative(x, c); },
        [](auto x, auto c, auto) { return gelu_derivative(x, c + 1.0); })),
  inner(with_constant("silu_derivative", "silu'", "The c-th derivative of silu.", {"x", "c"}, {everywhere, positive},
        [](auto x, auto c) { return silu_derivative(x, c); },
        [](auto x, auto c, auto) { return silu_derivative(x, c + 1.0); })),
  inner(ternary("quotient", "x / y**n", {"x", "y", "n"}, {everywhere, positive, positive},
        [](auto x, auto y, auto n) { return quotient(x, y, n); },
        [](auto, auto y, auto n, auto) { return quotient(1.0, y, n); },
        [](auto x, auto y, auto n, auto) { return -n * quotient(x, y, n + 1.0); },
        [](auto, auto, auto, auto) { return none; })),
  inner(ternary("pow_derivative", "A derivative of x**y, of order j + 2**20 k.", {"x", "y", "order"}, {positive, everywhere, positive},
        [](auto x, auto y, auto order) { return pow_derivative(x, y, order); },
        [](auto x, auto y, auto order, auto) { return pow_derivative(x, y, order + 1.0); },
        [](auto x, auto y, auto order, auto) { return pow_derivative(x, y, order + second_order); },
        [](auto, auto, auto, auto) { return none; })),
  inner(ternary("atan2_derivative", "A derivative of atan2, of order j + 2**20 k.", {"y", "x", "order"}, {everywhere, positive, positive},
        [](auto y, auto x, auto order) { return atan2_derivative(y, x, order); },
        [](auto y, auto x, auto order, auto) { return atan2_derivative(y, x, order + 1.0); },
        [](auto y, auto x, auto order, auto) { return atan2_derivative(y, x, order + second_order); },
        [](auto, auto, auto, auto) { return none; })),
  inner(ternary("hypot_derivative", "A derivative of hypot, of order j + 2**20 k.", {"x", "y", "order"}, {positive, positive, positive},
        [](auto x, auto y, auto order) { return hypot_derivative(x, y, order); },
        [](auto x, auto y, auto order, auto) { return hypot_derivative(x, y, order + 1.0); },
        [](auto x, auto y, auto order, auto) { return hypot_derivative(x, y, order + second_order); },
        [](auto, auto, auto, auto) { return none; })),
  // Python's %, which has the sign of y.
  inner(binary("remainder", "", "%", "x modulo y", {"x", "y"}, {everywhere, positive},
        [](auto x, auto y) { return remainder(x, y); },
        [](auto, auto, auto) { return one; }, [](auto x, auto y, auto z) { return stop((z - x) / y); })),
  // Conditions, which are 1 or 0.
  inner(binary("less", "", "<", "x < y", {"x", "y"}, {everywhere, everywhere},
        [](auto x, auto y) { return where(x < y, 1.0, 0.0); },
        [](auto, auto, auto) { return none; }, [](auto, auto, auto) { return none; })),
  inner(binary("less_equal", "", "<=", "x <= y", {"x", "y"}, {everywhere, everywhere},
        [](auto x, auto y) { return where(x <= y, 1.0, 0.0); },
        [](auto, auto, auto) { return none; }, [](auto, auto, auto) { return none; })),
  inner(binary("equal", "", "==", "x == y", {"x", "y"}, {everywhere, everywhere},
        [](auto x, auto y) { return where(x == y, 1.0, 0.0); },
        [](auto, auto, auto) { return none; }, [](auto, auto, auto) { return none; })),
  inner(ternary("where", "x where the condition is not 0, else y", {"condition", "x", "y"},
        {everywhere, everywhere, everywhere},
        [](auto condition, auto x, auto y) { return where(condition != 0.0, x, y); },
        [](auto, auto, auto, auto) { return none; },
        [](auto condition, auto, auto, auto) { return when(is_true(condition), one); },
        [](auto condition, auto, auto, auto) { return unless(is_true(condition), one); })),
  // A derivative times a slope in a recorded sweep; 0 if the derivative is absent. `scaled` is for
  // a direction or cotangent: it is 0 itself where it is absent, and a program can differentiate by
  // it. `selected` is for a branch.
  inner(ternary("scaled", "x * slope where presence is not 0, else 0", {"presence", "x", "slope"},
        {everywhere, everywhere, everywhere},
        [](auto presence, auto x, auto slope) { return scaled(presence, x, slope); },
        [](auto, auto, auto, auto) { return none; },
        [](auto, auto, auto slope, auto) { return slope; },
        [](auto presence, auto x, auto, auto) { return when(is_there(presence), x); })),
  inner(ternary("selected", "x * slope where presence is not 0, else 0", {"presence", "x", "slope"},
        {everywhere, everywhere, everywhere},
        [](auto presence, auto x, auto slope) { return scaled(presence, x, slope); },
        [](auto, auto, auto, auto) { return none; },
        [](auto presence, auto, auto slope, auto) { return when(is_there(presence), slope); },
        [](auto presence, auto x, auto, auto) { return when(is_there(presence), x); })),
  // x itself.
  inner(unary("copy", "", "copy", "x, as a variable of its own", everywhere,
        [](auto x) { return x; }, [](auto, auto) { return one; })),
  inner(unary("stop", "", "stop", "x, as a constant", everywhere,
        [](auto x) { return x; }, [](auto, auto) { return none; }))
);
// clang-format on

// The number of operations.
inline constexpr std::size_t count = std::tuple_size_v<decltype(table)>;

// The table's descriptions, indexed by operation.
inline constexpr auto descriptions = std::apply(
    [](const auto&... entry) { return std::array<Description, count>{entry...}; }, table);

}  // namespace ops

// The code of an operation: its position in the table. Two kinds of nodes have no entry there.
enum class Op : std::uint16_t {
  leaf = static_cast<std::uint16_t>(ops::count),
  custom,  // the caller gives partials or a backward function
};

// A string literal as a template argument.
template <std::size_t N>
struct Name {
  char text[N];
  consteval Name(const char (&literal)[N]) {
    for (std::size_t k = 0; k < N; ++k) text[k] = literal[k];
  }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

// The code of the operation with this name, found at compile time.
template <Name name>
consteval Op op() {
  for (std::size_t k = 0; k < ops::count; ++k)
    if (ops::descriptions[k].name == name.view()) return static_cast<Op>(k);
  throw "no such operation in the table";
}

// The entry of an operation.
template <Op code>
inline constexpr const auto& entry = std::get<static_cast<std::size_t>(code)>(ops::table);

// The description of an operation; null for nodes without an entry.
constexpr const Description* description(Op code) {
  const auto k = static_cast<std::size_t>(code);
  return k < ops::count ? &ops::descriptions[k] : nullptr;
}

}  // namespace tapegrad
