// The free functions on numbers that are recorded, of both types: those of the table, and C's.
#include <tapegrad/detail/ops/functions.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <tapegrad/compact_tape.hpp>
#include <tapegrad/detail/graph/dispatch.hpp>
#include <tapegrad/nn.hpp>
#include <tapegrad/value.hpp>

using tapegrad::Active;
using tapegrad::Value;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

struct Result {
  double value;
  std::vector<double> slopes;
};

// f of numbers of each type, with its derivatives by all of them.
template <class F>
Result of_values(F f, const std::vector<double>& at) {
  const std::vector<Value> xs(at.begin(), at.end());
  const Value y = f(xs);
  y.backward();
  Result result{y.data(), {}};
  for (const Value& x : xs) result.slopes.push_back(x.grad());
  return result;
}
template <class F>
Result of_traced(F f, const std::vector<double>& at) {
  tapegrad::CompactTape trace(1 << 12);
  std::vector<Active> xs;
  for (const double x : at) xs.push_back(trace.input(x));
  const Active y = f(xs);
  trace.backward(y);
  Result result{y.data(), {}};
  for (const Active& x : xs) result.slopes.push_back(trace.adjoint(x));
  return result;
}

// A function of the table, called by its name in C++ with every mix of operands: what has no such
// function does not compile here, and what is missing here fails the first test.
struct Called {
  std::string_view name;
  std::vector<std::function<Result(const std::vector<double>&)>> mixes;
};

template <class F>
Called one(std::string_view name, F f) {
  const auto g = [f](const auto& x) { return f(x[0]); };
  return {name,
          {[g](const auto& at) { return of_values(g, at); },
           [g](const auto& at) { return of_traced(g, at); }}};
}

// Plain where the bit of `plain` is set. The derivatives by plain numbers come out as 0.
template <int plain, std::size_t k, class Xs>
auto item(const Xs& xs, const std::vector<double>& at) {
  if constexpr ((plain >> k & 1) != 0) return at[k];
  else return xs[k];
}
template <int plain, class F>
void add_two(Called& called, F f) {
  called.mixes.push_back([f](const std::vector<double>& at) {
    return of_values([&](const auto& x) { return f(item<plain, 0>(x, at), item<plain, 1>(x, at)); },
                     at);
  });
  called.mixes.push_back([f](const std::vector<double>& at) {
    return of_traced(
        [&](const auto& x) { return Active(f(item<plain, 0>(x, at), item<plain, 1>(x, at))); }, at);
  });
}
template <class F>
Called two(std::string_view name, F f) {
  Called called{name, {}};
  add_two<0>(called, f);
  add_two<1>(called, f);
  add_two<2>(called, f);
  return called;
}
template <int plain, class F>
void add_three(Called& called, F f) {
  const auto g = [f](const auto& x, const std::vector<double>& at) {
    return f(item<plain, 0>(x, at), item<plain, 1>(x, at), item<plain, 2>(x, at));
  };
  called.mixes.push_back([g](const std::vector<double>& at) {
    return of_values([&](const auto& x) { return g(x, at); }, at);
  });
  called.mixes.push_back([g](const std::vector<double>& at) {
    return of_traced([&](const auto& x) { return Active(g(x, at)); }, at);
  });
}
template <class F>
Called three(std::string_view name, F f) {
  Called called{name, {}};
  add_three<0>(called, f);
  add_three<1>(called, f);
  add_three<2>(called, f);
  add_three<3>(called, f);
  add_three<4>(called, f);
  add_three<5>(called, f);
  add_three<6>(called, f);
  return called;
}
template <class F>
Called many(std::string_view name, F f) {
  const auto g = [f](const auto& x) {
    return f(std::span<const std::remove_cvref_t<decltype(x[0])>>(x));
  };
  return {name,
          {[g](const auto& at) { return of_values(g, at); },
           [g](const auto& at) { return of_traced(g, at); }}};
}
// The first half and the second half, of which that may be plain.
template <class F>
Called halves(std::string_view name, F f) {
  Called called{name, {}};
  const auto split = [f](const auto& x) {
    const std::span<const std::remove_cvref_t<decltype(x[0])>> all(x);
    return f(all.first(all.size() / 2), all.subspan(all.size() / 2));
  };
  called.mixes.push_back([split](const auto& at) { return of_values(split, at); });
  called.mixes.push_back([split](const auto& at) { return of_traced(split, at); });
  const auto mixed = [f](const auto& x, const std::vector<double>& at) {
    const std::span<const std::remove_cvref_t<decltype(x[0])>> all(x);
    return f(all.first(all.size() / 2), std::span<const double>(at).subspan(all.size() / 2));
  };
  called.mixes.push_back([mixed](const std::vector<double>& at) {
    return of_values([&](const auto& x) { return mixed(x, at); }, at);
  });
  called.mixes.push_back([mixed](const std::vector<double>& at) {
    return of_traced([&](const auto& x) { return mixed(x, at); }, at);
  });
  return called;
}

// clang-format off
const std::vector<Called> functions = {
    two("add", [](auto x, auto y) { return x + y; }),
    two("sub", [](auto x, auto y) { return x - y; }),
    two("mul", [](auto x, auto y) { return x * y; }),
    two("div", [](auto x, auto y) { return x / y; }),
    two("pow", [](auto x, auto y) { return pow(x, y); }),
    one("pow_const", [](auto x) { return pow(x, 1.5); }),
    one("neg", [](auto x) { return -x; }),
    one("abs", [](auto x) { return abs(x); }),
    one("square", [](auto x) { return square(x); }),
    one("reciprocal", [](auto x) { return reciprocal(x); }),
    one("exp", [](auto x) { return exp(x); }),
    one("exp2", [](auto x) { return exp2(x); }),
    one("expm1", [](auto x) { return expm1(x); }),
    one("log", [](auto x) { return log(x); }),
    one("log1p", [](auto x) { return log1p(x); }),
    one("log1mexp", [](auto x) { return log1mexp(x); }),
    one("log2", [](auto x) { return log2(x); }),
    one("log10", [](auto x) { return log10(x); }),
    one("sqrt", [](auto x) { return sqrt(x); }),
    one("cbrt", [](auto x) { return cbrt(x); }),
    one("sin", [](auto x) { return sin(x); }),
    one("cos", [](auto x) { return cos(x); }),
    one("tan", [](auto x) { return tan(x); }),
    one("asin", [](auto x) { return asin(x); }),
    one("acos", [](auto x) { return acos(x); }),
    one("atan", [](auto x) { return atan(x); }),
    two("atan2", [](auto y, auto x) { return atan2(y, x); }),
    one("sinh", [](auto x) { return sinh(x); }),
    one("cosh", [](auto x) { return cosh(x); }),
    one("tanh", [](auto x) { return tanh(x); }),
    one("asinh", [](auto x) { return asinh(x); }),
    one("acosh", [](auto x) { return acosh(x); }),
    one("atanh", [](auto x) { return atanh(x); }),
    two("hypot", [](auto x, auto y) { return hypot(x, y); }),
    one("sigmoid", [](auto x) { return sigmoid(x); }),
    one("softplus", [](auto x) { return softplus(x); }),
    one("relu", [](auto x) { return relu(x); }),
    two("leaky_relu", [](auto x, auto slope) { return leaky_relu(x, slope); }),
    one("gelu", [](auto x) { return gelu(x); }),
    one("silu", [](auto x) { return silu(x); }),
    one("erf", [](auto x) { return erf(x); }),
    one("erfc", [](auto x) { return erfc(x); }),
    one("lgamma", [](auto x) { return lgamma(x); }),
    two("maximum", [](auto x, auto y) { return maximum(x, y); }),
    two("minimum", [](auto x, auto y) { return minimum(x, y); }),
    three("clip", [](auto x, auto low, auto high) { return clip(x, low, high); }),
    many("sum", [](auto xs) { return sum(xs); }),
    halves("dot", [](auto xs, auto ys) { return dot(xs, ys); }),
    halves("squared_distance", [](auto xs, auto ys) { return squared_distance(xs, ys); }),
    many("logsumexp", [](auto xs) { return logsumexp(xs); }),
    many("surprisal", [](auto xs) { return surprisal(xs); }),
};
// clang-format on

// Both types of f(x, y, z) agree with these derivatives; a plain operand has none.
template <class F>
void check(F f, const std::vector<double>& at, double value, const std::vector<double>& slopes) {
  for (const Result& result : {of_values(f, at), of_traced(f, at)}) {
    CAPTURE(result.value);
    CHECK((result.value == value || (std::isnan(result.value) && std::isnan(value))));
    CHECK(std::signbit(result.value) == std::signbit(value));
    for (std::size_t k = 0; k < slopes.size(); ++k)
      CHECK(result.slopes[k] == doctest::Approx(slopes[k]).epsilon(1e-14));
  }
}

}  // namespace

TEST_CASE("every public operation of the table has a function, for every mix of operands") {
  for (std::size_t code = 0; code < tapegrad::ops::count; ++code) {
    const tapegrad::Description& what = tapegrad::ops::descriptions[code];
    if (what.inner) continue;
    CAPTURE(std::string(what.name));
    const auto called = std::find_if(functions.begin(), functions.end(),
                                     [&](const Called& c) { return c.name == what.name; });
    REQUIRE_MESSAGE(called != functions.end(),
                    "give it a function in functions.hpp and a line here");
    std::vector<double> at;
    for (std::size_t k = 0; k < std::max<std::size_t>(what.arity, 1); ++k)
      at.push_back(0.25 * what.domain[k].low + 0.75 * what.domain[k].high);
    if (what.arity == tapegrad::variadic) at = {0.75, -0.5, 1.25, 2.0};
    std::vector<double> all = at;
    if (what.constant_last) all.push_back(1.5);
    const double value = tapegrad::operation_functions[code].value(all);
    for (const auto& mix : called->mixes) {
      const Result result = mix(at);
      CHECK(result.value == doctest::Approx(value).epsilon(1e-14));
      for (std::size_t k = 0; k < result.slopes.size(); ++k) {
        const double slope = tapegrad::operation_functions[code].partial(all, value, k);
        CHECK(
            (result.slopes[k] == 0.0 || result.slopes[k] == doctest::Approx(slope).epsilon(1e-13)));
      }
    }
  }
}

TEST_CASE_TEMPLATE("comparisons and questions are those of the data", T, Value, Active) {
  const T x = 1.5, y = 2.5, none = not_a_number;
  CHECK(x == x);
  CHECK(x == 1.5);
  CHECK(3 == x * 2.0);
  CHECK(x != y);
  CHECK_FALSE(none == none);
  CHECK(none != none);
  CHECK(x < y);
  CHECK(isnan(none));
  CHECK(isnan(x + none));
  CHECK_FALSE(isnan(x));
  CHECK(isfinite(x * y));
  CHECK_FALSE(isfinite(none));
  CHECK(isinf(x / 0.0));
  CHECK_FALSE(isinf(y));
  CHECK(signbit(-x));
  std::ostringstream text;
  text << x << ' ' << x * y;
  CHECK(text.str() == "1.5 3.75");
}

TEST_CASE_TEMPLATE("numeric limits are those of double", T, Value, Active, Value) {
  using Limits = std::numeric_limits<T>;
  using Double = std::numeric_limits<double>;
  static_assert(std::same_as<decltype(Limits::max()), T>);
  static_assert(Limits::is_specialized && Limits::digits == 53 && Limits::has_infinity);
  static_assert(std::numeric_limits<const T>::max_exponent == Double::max_exponent);
  CHECK(Limits::max() == Double::max());
  CHECK(Limits::min() == Double::min());
  CHECK(Limits::lowest() == Double::lowest());
  CHECK(Limits::epsilon() == Double::epsilon());
  CHECK(Limits::infinity() == infinity);
  CHECK(isnan(Limits::quiet_NaN()));
  CHECK(Limits::denorm_min() == Double::denorm_min());
  CHECK(std::numeric_limits<decltype(T() * T())>::max() == Double::max());
}

TEST_CASE("steps have C's value and no derivative") {
  for (const double x : {-2.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.0, 1e300, -infinity}) {
    const std::vector<double> at = {x};
    check([](const auto& v) { return floor(v[0]) + 0 * v[0]; }, {2.75}, 2.0, {0.0});
    CHECK(floor(Value(x)).data() == std::floor(x));
    CHECK(ceil(Active(x)).data() == std::ceil(x));
    CHECK(trunc(Value(x)).data() == std::trunc(x));
    CHECK(round(Active(x)).data() == std::round(x));
    CHECK(std::signbit(trunc(Value(x)).data()) == std::signbit(std::trunc(x)));
  }
}

TEST_CASE("fmax and fmin ignore a NaN, and share at a tie") {
  const auto most = [](const auto& v) { return fmax(v[0], v[1]); };
  const auto least = [](const auto& v) { return fmin(v[0], v[1]); };
  check(most, {1.0, 2.0}, 2.0, {0.0, 1.0});
  check(least, {1.0, 2.0}, 1.0, {1.0, 0.0});
  check(most, {2.0, 2.0}, 2.0, {0.5, 0.5});
  check(least, {2.0, 2.0}, 2.0, {0.5, 0.5});
  check(most, {not_a_number, 2.0}, 2.0, {0.0, 1.0});
  check(least, {2.0, not_a_number}, 2.0, {1.0, 0.0});
  CHECK(isnan(fmax(Value(not_a_number), not_a_number)));
  CHECK(fmax(1, Active(not_a_number)) == 1.0);
}

TEST_CASE("copysign and fabs") {
  const auto f = [](const auto& v) { return copysign(v[0], v[1]); };
  check(f, {2.0, -3.0}, -2.0, {-1.0, 0.0});
  check(f, {-2.0, -3.0}, -2.0, {1.0, 0.0});
  check(f, {-2.0, 0.0}, 2.0, {-1.0, 0.0});
  check(f, {2.0, -0.0}, -2.0, {-1.0, 0.0});
  check(f, {0.0, -1.0}, -0.0, {0.0, 0.0});
  check([](const auto& v) { return fabs(v[0]); }, {-2.0}, 2.0, {-1.0});
  check([](const auto& v) { return fabs(v[0]); }, {0.0}, 0.0, {0.0});
}

TEST_CASE("fmod is C's to the last bit, its derivatives 1 and -trunc(x / y)") {
  for (const double x : {5.5, -5.5, 0.1, -7.0, 6.0, 1e17, -0.0, 0.0})
    for (const double y : {2.0, -2.0, 0.3, -7.5}) {
      CAPTURE(x);
      CAPTURE(y);
      const double z = std::fmod(x, y);
      check([](const auto& v) { return fmod(v[0], v[1]); }, {x, y}, z, {1.0, (z - x) / y});
    }
  check([](const auto& v) { return fmod(v[0], 3); }, {-7.5}, -1.5, {1.0});
  check([](const auto& v) { return fmod(7.5, v[0]); }, {-3.0}, 1.5, {2.0});
  CHECK(isnan(fmod(Value(1.0), 0.0)));
  CHECK(fmod(Value(2.5), infinity) == 2.5);
}

TEST_CASE("fma has the one rounding of C's and the derivatives of x * y + z") {
  const double x = 1.0 + 0x1p-30, z = -1.0 - 0x1p-29;
  const double exact = std::fma(x, x, z);
  REQUIRE(exact == 0x1p-60);
  check([](const auto& v) { return fma(v[0], v[1], v[2]); }, {x, x, z}, exact, {x, x, 1.0});
  check([](const auto& v) { return fma(v[0], v[0], -1.0 - 0x1p-29); }, {x}, exact, {2.0 * x});
  check([](const auto& v) { return fma(2, 3.5, v[0]); }, {1.5}, 8.5, {1.0});
  check([](const auto& v) { return fma(v[0] * 2.0, v[0], 1); }, {3.0}, 19.0, {12.0});
}

TEST_CASE("hypot of three") {
  const auto f = [](const auto& v) { return hypot(v[0], v[1], v[2]); };
  check(f, {2.0, 3.0, -6.0}, 7.0, {2.0 / 7.0, 3.0 / 7.0, -6.0 / 7.0});
  check(f, {0.0, 0.0, 2.0}, 2.0, {0.0, 0.0, 1.0});
  check(f, {0.0, -2.0, 0.0}, 2.0, {0.0, -1.0, 0.0});
  check(f, {1e300, 1e300, 1e300}, std::hypot(1e300, 1e300, 1e300),
        std::vector(3, 1 / std::sqrt(3.0)));
  check([](const auto& v) { return hypot(2, v[0], 3); }, {6.0}, 7.0, {6.0 / 7.0});
  check([](const auto& v) { return hypot(2, 3, v[0]); }, {6.0}, 7.0, {6.0 / 7.0});
}
