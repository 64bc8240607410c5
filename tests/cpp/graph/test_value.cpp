#include <tapegrad/value.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using tapegrad::Value;

namespace {

using Values = std::span<const Value>;
using Numbers = std::span<const double>;

std::size_t alive() { return Value::tape().pool().alive(); }

template <class T>
T model(const T& x, const T& y) {
  using std::exp, std::log, std::pow, std::sin, std::sqrt, std::tanh;
  return exp(-x) * sin(y) + sqrt(x) / log(y) - pow(x, 1.5) + tanh(x * y) * 2.0;
}

template <class Xs, class Ys>
concept Dotted = requires(const Xs& xs, const Ys& ys) {
  { dot(xs, ys) } -> std::same_as<Value>;
};

}  // namespace

TEST_CASE("the program of the first page") {
  Value a = 2.0, b = -3.0, c = 6.5;
  auto y = tanh(a * b + c);
  static_assert(std::same_as<decltype(y), Value>);
  y.backward();
  const double slope = 1.0 - std::tanh(0.5) * std::tanh(0.5);
  CHECK(y.data() == std::tanh(0.5));
  CHECK(y.grad() == 1.0);
  CHECK(a.grad() == doctest::Approx(-3.0 * slope).epsilon(1e-14));
  CHECK(b.grad() == doctest::Approx(2.0 * slope).epsilon(1e-14));
  CHECK(c.grad() == doctest::Approx(slope).epsilon(1e-14));
}

TEST_CASE("operators take numbers of any type on either side") {
  const Value x = 8.0;
  CHECK((x + 2).data() == 10.0);
  CHECK((2 + x).data() == 10.0);
  CHECK((x - 2.5f).data() == 5.5);
  CHECK((2L - x).data() == -6.0);
  CHECK((x * 3u).data() == 24.0);
  CHECK((0.5 * x).data() == 4.0);
  CHECK((x / 4).data() == 2.0);
  CHECK((4 / x).data() == 0.5);
  CHECK((+x).data() == 8.0);
  CHECK((-x).data() == -8.0);
}

TEST_CASE("the derivative with a number on either side") {
  Value x = 2.0;
  const auto derivative = [&](const Value& y) {
    x.set_grad(0.0);
    y.backward();
    return x.grad();
  };
  CHECK(derivative(3 - x) == -1.0);
  CHECK(derivative(x - 3) == 1.0);
  CHECK(derivative(1 / x) == -0.25);
  CHECK(derivative(x / 4) == 0.25);
  CHECK(derivative(pow(x, 3)) == 12.0);
  CHECK(derivative(pow(3.0, x)) == doctest::Approx(9.0 * std::log(3.0)));
  CHECK(derivative(atan2(1.0, x)) == doctest::Approx(-0.2));
  CHECK(derivative(hypot(x, 1.5)) == doctest::Approx(0.8));
  CHECK(derivative(maximum(x, 1.0)) == 1.0);
  CHECK(derivative(minimum(1.0, x)) == 0.0);
  CHECK(derivative(leaky_relu(-x)) == -0.01);
  CHECK(derivative(leaky_relu(-x, 0.5)) == -0.5);
}

TEST_CASE("copies share a node and moves hand it on") {
  const auto before = alive();
  {
    Value a = 1.0;
    Value b = a;
    CHECK(b.node() == a.node());
    b.set_data(5.0);
    CHECK(a.data() == 5.0);
    const tapegrad::Index node = a.node();
    Value c = std::move(a);
    CHECK(c.node() == node);
    a = 3.0;
    CHECK(a.data() == 3.0);
    b = c;
    b = *&b;
    CHECK(b.node() == node);
    Value d = std::move(c);
    const Value e = c;  // a copy of what was moved from is harmless
    std::swap(a, d);
    CHECK(a.node() == node);
    CHECK(alive() == before + 2);
  }
  CHECK(alive() == before);
}

TEST_CASE("a default Value is a zero of its own") {
  std::vector<Value> values(3);
  CHECK(values[1].data() == 0.0);
  CHECK(values[0].node() != values[1].node());
}

TEST_CASE("compound assignment makes a new node") {
  Value x = 6.0;
  Value y = x;
  y += 2;
  CHECK(x.data() == 6.0);
  CHECK(y.data() == 8.0);
  y -= x;
  CHECK(y.data() == 2.0);
  y *= y;
  CHECK(y.data() == 4.0);
  y /= 8;
  CHECK(y.data() == 0.5);
  y.backward();
  CHECK(x.grad() == 0.0);
}

TEST_CASE("comparisons are those of the data") {
  const Value one = 1.0, two = 2.0, nan = std::nan("");
  CHECK(one < two);
  CHECK(two >= one);
  CHECK(one <= 1);
  CHECK(3.0 > two);
  CHECK(!(nan < one));
  CHECK(!(nan >= one));
  CHECK(!(1.0 <= nan));
  CHECK(std::max(one, two).node() == two.node());
  std::vector<Value> values = {two, 3.0, one};
  std::sort(values.begin(), values.end());
  CHECK(values.front().node() == one.node());
}

TEST_CASE("generic code finds the functions beside those of std") {
  Value x = 1.25, y = 2.5;
  const Value z = model(x, y);
  CHECK(z.data() == doctest::Approx(model(1.25, 2.5)).epsilon(1e-14));
  z.backward();
  const double h = 1e-5;
  CHECK(x.grad() == doctest::Approx((model(1.25 + h, 2.5) - model(1.25 - h, 2.5)) / (2 * h)));
  CHECK(y.grad() == doctest::Approx((model(1.25, 2.5 + h) - model(1.25, 2.5 - h)) / (2 * h)));
}

TEST_CASE("every function has the value of its number's") {
  const Value x = 0.75;
  const std::vector<std::pair<Value, double>> pairs = {
      {abs(-x), 0.75},
      {square(x), 0.5625},
      {reciprocal(x), 1 / 0.75},
      {exp2(x), std::exp2(0.75)},
      {expm1(x), std::expm1(0.75)},
      {log1p(x), std::log1p(0.75)},
      {log2(x), std::log2(0.75)},
      {log10(x), std::log10(0.75)},
      {cbrt(x), std::cbrt(0.75)},
      {cos(x), std::cos(0.75)},
      {tan(x), std::tan(0.75)},
      {asin(x), std::asin(0.75)},
      {acos(x), std::acos(0.75)},
      {atan(x), std::atan(0.75)},
      {sinh(x), std::sinh(0.75)},
      {cosh(x), std::cosh(0.75)},
      {asinh(x), std::asinh(0.75)},
      {acosh(x + 1), std::acosh(1.75)},
      {atanh(x), std::atanh(0.75)},
      {sigmoid(x), 1 / (1 + std::exp(-0.75))},
      {softplus(x), std::log(1 + std::exp(0.75))},
      {relu(x), 0.75},
      {relu(-x), 0.0},
      {gelu(x), 0.375 * (1 + std::erf(0.75 / std::sqrt(2.0)))},
      {silu(x), 0.75 / (1 + std::exp(-0.75))},
      {erf(x), std::erf(0.75)},
      {erfc(x), std::erfc(0.75)},
      {lgamma(x), std::lgamma(0.75)},
      {pow(x, x), std::pow(0.75, 0.75)},
  };
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    CAPTURE(k);
    CHECK(pairs[k].first.data() == doctest::Approx(pairs[k].second).epsilon(1e-14));
  }
}

TEST_CASE("clip takes Values and numbers for its bounds") {
  Value x = 5.0, high = 4.0;
  const Value y = clip(x, 0, high);
  CHECK(y.data() == 4.0);
  y.backward();
  CHECK(x.grad() == 0.0);
  CHECK(high.grad() == 1.0);
  CHECK(clip(x, -1, 10.0).data() == 5.0);
  CHECK(clip(x, 6.0, 10).data() == 6.0);
}

TEST_CASE("a sum and a dot product are one node each") {
  std::vector<Value> xs = {1.0, 2.0, 3.0};
  const std::vector<Value> ys = {4.0, 5.0, 6.0};
  const auto before = alive();
  const Value total = sum(xs);
  const Value product = dot(Values(xs), Values(ys));
  const std::array weights = {0.5, 0.25, 0.125};
  const Value weighted = dot(Values(xs), Numbers(weights));
  CHECK(alive() == before + 3);
  CHECK(total.data() == 6.0);
  CHECK(product.data() == 32.0);
  CHECK(weighted.data() == 1.375);
  product.backward();
  CHECK(xs[1].grad() == 5.0);
  CHECK(ys[1].grad() == 2.0);
  weighted.backward();
  CHECK(xs[1].grad() == 5.25);
  total.backward();
  CHECK(xs[2].grad() == 7.125);
}

TEST_CASE("sums of nothing are zero and lengths must agree") {
  const std::vector<Value> none, one = {1.0};
  CHECK(sum(Values(none)).data() == 0.0);
  CHECK(dot(Values(none), Values(none)).data() == 0.0);
  CHECK_THROWS_WITH_AS(dot(Values(none), Values(one)), "dot: sequences of different lengths",
                       std::invalid_argument);
}

TEST_CASE("dot takes vectors as sum does") {
  CHECK(Dotted<std::vector<Value>, std::vector<Value>>);
  CHECK(Dotted<std::vector<Value>, std::vector<double>>);
  CHECK(Dotted<std::array<Value, 2>, std::array<Value, 2>>);
}

TEST_CASE("gradients accumulate until they are cleared") {
  Value x = 3.0;
  const Value y = x * x;
  y.backward();
  y.backward(0.5);
  CHECK(x.grad() == 9.0);
  CHECK(y.grad() == 0.5);
  y.zero_grad();
  CHECK(x.grad() == 0.0);
  CHECK(y.grad() == 0.0);
}

TEST_CASE("a label stays with the node") {
  Value x = 3.0;
  CHECK(x.label().empty());
  x.set_label("x");
  const Value same = x;
  CHECK(same.label() == "x");
  x = 4.0;
  CHECK(x.label().empty());
  CHECK(same.label() == "x");
}

TEST_CASE("training runs in constant memory") {
  const auto before = alive();
  {
    Value w = 0.0;
    const auto step = [&] {
      Value loss = 0.0;
      for (int k = 0; k < 100; ++k) loss += square(w * k - 3.0 * k);
      loss.backward();
      w.set_data(w.data() - 1e-6 * w.grad());
      w.set_grad(0.0);
    };
    step();
    const auto bytes = Value::tape().bytes();
    for (int k = 0; k < 200; ++k) step();
    CHECK(Value::tape().bytes() == bytes);
    CHECK(w.data() == doctest::Approx(3.0));
  }
  CHECK(alive() == before);
}

TEST_CASE("each thread has a tape of its own") {
  Value here = 2.0;
  const Value y = here * here;
  std::vector<double> slopes(8);
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < slopes.size(); ++k)
    threads.emplace_back([&slope = slopes[k], k] {
      Value x = static_cast<double>(k);
      Value power = 1.0;
      for (int n = 0; n < 2000; ++n) power = power + x * x;
      power.backward();
      slope = x.grad();
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t k = 0; k < slopes.size(); ++k) CHECK(slopes[k] == 4000.0 * double(k));
  y.backward();
  CHECK(here.grad() == 4.0);
}

#if defined(__linux__)
TEST_CASE("a thread that ends gives its tape's memory back") {
  const auto address_space = [] {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * 4096;
  };
  const auto run = [] { std::thread([] { Value x = 1.0; }).join(); };
  run();
  const std::size_t before = address_space();
  for (int k = 0; k < 10; ++k) run();
  // Ten tapes reserve more than a terabyte of addresses; the machine has 128.
  CHECK(address_space() - before < std::size_t{1} << 30);
}
#endif
