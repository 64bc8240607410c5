#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include <doctest/doctest.h>
#include <tapegrad/detail/ir/derivative.hpp>
#include <tapegrad/detail/ir/recording.hpp>

using namespace tapegrad;

namespace {

// A recording that symbols are recorded in for as long as it lives.
struct Session {
  Session() { Recording::current = &recording; }
  ~Session() { Recording::current = nullptr; }
  Symbol input(double primal) { return Symbol::at(recording, recording.input(primal)); }
  Recording recording;
};

std::vector<ValueId> places(const std::vector<Symbol>& symbols) {
  std::vector<ValueId> all;
  for (const Symbol& symbol : symbols) all.push_back(symbol.place());
  return all;
}

template <class Number>
std::vector<Number> gradient(Recording& recording, const Symbol& root,
                             const std::vector<Symbol>& inputs) {
  const auto from = places(inputs);
  const ActiveRange range(recording, from, recording.size());
  ReverseSweep<Number> sweep(range);
  sweep.seed(root.place(), Number(1.0));
  sweep.run();
  std::vector<Number> all;
  for (const ValueId place : from) all.push_back(sweep.adjoint(place));
  return all;
}

double tangent(Recording& recording, const Symbol& root, const Symbol& input) {
  const ValueId from[] = {input.place()};
  const ActiveRange range(recording, from, recording.size());
  ForwardSweep<double> sweep(range, 1);
  sweep.seed(input.place(), 0, 1.0);
  sweep.run();
  return sweep.tangent(root.place(), 0);
}

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("a symbol computes what a double does, and constants are not recorded") {
  Session session;
  const volatile double at = 0.7;  // computed by this machine, not by the compiler
  const Symbol x = session.input(at);
  const Symbol y = tanh(x * x) + sigmoid(x) / 3.0;
  CHECK(y.primal() == std::tanh(at * at) + math::sigmoid(at) / 3.0);
  const ValueId before = session.recording.size();
  const Symbol constant = exp(Symbol(1.0)) * 2.0;
  CHECK(constant.is_constant());
  CHECK(constant.primal() == doctest::Approx(5.43656365691809).epsilon(1e-14));
  CHECK(session.recording.size() == before);
}

TEST_CASE("only identities of IEEE arithmetic are taken") {
  Session session;
  const Symbol x = session.input(-0.0);
  CHECK((x * 1.0).place() == x.place());
  CHECK((x / 1.0).place() == x.place());
  CHECK((x - 0.0).place() == x.place());
  CHECK((x + -0.0).place() == x.place());
  CHECK((x + 0.0).place() != x.place());  // 0.0, where x is -0.0
  CHECK_FALSE((x * 0.0).is_constant());
  CHECK_FALSE((x - x).is_constant());
  CHECK(pow(x, 1.0).place() == x.place());
}

TEST_CASE("derivatives to the fourth order are those of the closed form, backwards and forwards") {
  Session session;
  const Symbol x = session.input(0.7);
  Symbol y = exp(2.0 * x) + sin(x) * lgamma(x + 1.0) * 0.0;
  for (int order = 1; order <= 4; ++order) {
    const double wanted = std::pow(2.0, order) * std::exp(1.4);
    CHECK(gradient<double>(session.recording, y, {x})[0] == doctest::Approx(wanted).epsilon(1e-13));
    CHECK(tangent(session.recording, y, x) == doctest::Approx(wanted).epsilon(1e-13));
    y = gradient<Symbol>(session.recording, y, {x})[0];
    CHECK(y.primal() == doctest::Approx(wanted).epsilon(1e-13));
  }
}

TEST_CASE("forward and backward agree for every operation that has a derivative") {
  std::mt19937 random(3);
  Session session;
  const auto check = [&](const Description& what, auto apply) {
    std::vector<Symbol> x;
    for (std::size_t k = 0; k < what.arity; ++k) {
      const Interval domain = what.domain[k];
      x.push_back(session.input(domain.low + (0.1 + 0.8 * (random() / 4294967295.0)) *
                                                 (domain.high - domain.low)));
    }
    CAPTURE(what.name);
    Symbol y = apply(x);
    for (int order = 0; order < 2; ++order) {
      if (y.is_constant()) break;
      const auto slopes = gradient<double>(session.recording, y, x);
      for (std::size_t k = 0; k < x.size(); ++k)
        CHECK(tangent(session.recording, y, x[k]) == doctest::Approx(slopes[k]).epsilon(1e-11));
      y = gradient<Symbol>(session.recording, y, x)[0];
    }
  };
  [&]<std::size_t... K>(std::index_sequence<K...>) {
    const auto one = [&]<std::size_t k>(std::integral_constant<std::size_t, k>) {
      constexpr Description what = ops::descriptions[k];
      [[maybe_unused]] constexpr Op code = static_cast<Op>(k);
      if constexpr (!what.constant_last && what.arity == 1)
        check(what, [](const auto& x) { return Symbol::apply<code>(x[0]); });
      if constexpr (what.arity == 2)
        check(what, [](const auto& x) { return Symbol::apply<code>(x[0], x[1]); });
      if constexpr (what.arity == 3)
        check(what, [](const auto& x) { return Symbol::apply<code>(x[0], x[1], x[2]); });
    };
    (one(std::integral_constant<std::size_t, K>{}), ...);
  }
  (std::make_index_sequence<ops::count>());
}

TEST_CASE("slopes are the derivatives of what they are slopes of, to the second order") {
  for (const double at : {-3.0, -0.4, 0.0, 0.3, 2.0, 20.0}) {
    CAPTURE(at);
    Session session;
    const Symbol x = session.input(at);
    const auto second = [&](const Symbol& y) {
      const Symbol first = gradient<Symbol>(session.recording, y, {x})[0];
      return gradient<double>(session.recording, first, {x})[0];
    };
    const double t = std::tanh(at), s = math::sigmoid(at), slope = math::sigmoid_slope(at);
    CHECK(second(tanh(x)) == doctest::Approx(-2.0 * t * math::tanh_slope(at, t)).epsilon(1e-13));
    CHECK(second(expm1(x)) == doctest::Approx(std::exp(at)).epsilon(1e-13));
    if (std::fabs(at) < 10.0)
      CHECK(second(sigmoid(x)) == doctest::Approx(slope * (1.0 - 2.0 * s)).epsilon(1e-13));
  }
}

TEST_CASE("what is not chosen passes nothing on, be it infinite") {
  Session session;
  const Symbol x = session.input(0.0);
  const Symbol y = where(x > 0.0, log(x), 2.0 * x);
  CHECK(y.primal() == 0.0);
  CHECK(gradient<double>(session.recording, y, {x})[0] == 2.0);
  CHECK(gradient<Symbol>(session.recording, y, {x})[0].primal() == 2.0);
  const Symbol z = where(x > 0.0, x * infinity, 2.0 * x);
  CHECK(gradient<double>(session.recording, z, {x})[0] == 2.0);
  CHECK(gradient<Symbol>(session.recording, z, {x})[0].primal() == 2.0);
  const Symbol w = where(x >= 0.0, 3.0 * x, 2.0 * x);
  CHECK(gradient<double>(session.recording, w, {x})[0] == 3.0);
}

TEST_CASE("a copy is a variable of its own, a stop a constant") {
  Session session;
  const Symbol x = session.input(3.0);
  const Symbol copy = Symbol::apply<op<"copy">()>(x);
  const Symbol y = x * copy;
  CHECK(gradient<double>(session.recording, y, {copy})[0] == 3.0);
  CHECK(gradient<double>(session.recording, y, {x})[0] == 6.0);
  CHECK(gradient<double>(session.recording, x * Symbol::apply<op<"stop">()>(x), {x})[0] == 3.0);
}

TEST_CASE("a range counts nothing from before its beginning but its inputs") {
  Session session;
  const Symbol x = session.input(3.0), y = x * x;
  const ValueId begin = session.recording.size();
  const Symbol z = x * y;
  const auto from = places({x, y});
  const ActiveRange range(session.recording, from, session.recording.size(), begin);
  ReverseSweep<double> sweep(range);
  sweep.seed(z.place(), 1.0);
  sweep.run();
  CHECK(sweep.adjoint(x.place()) == 9.0);
  CHECK(sweep.adjoint(y.place()) == 3.0);
}

TEST_CASE("a rule takes the place of what was computed") {
  struct Twice : Rule {
    std::vector<Symbol> pull(std::span<const Symbol> c, const std::vector<bool>&, bool) override {
      return {c[0] * 10.0 + c[1] * 100.0};
    }
    bool goes_forward() const override { return true; }
    std::vector<Symbol> push(std::span<const Symbol> t, const std::vector<bool>&, bool) override {
      return {t[0] * 10.0, t[0] * 100.0};
    }
  };
  Session session;
  Recording& recording = session.recording;
  const Symbol x = session.input(3.0), y = x * x;
  const ValueId first = recording.record_group({x.place()}, {y.place(), recording.constant(7.0)},
                                               std::make_shared<Twice>());
  const Symbol a = Symbol::at(recording, first), b = Symbol::at(recording, first + 1);
  CHECK(a.primal() == 9.0);
  CHECK(b.primal() == 7.0);
  const Symbol z = a + 2.0 * b;
  CHECK(gradient<double>(recording, z, {x})[0] == 210.0);
  CHECK(gradient<Symbol>(recording, z, {x})[0].primal() == 210.0);
  CHECK(tangent(recording, z, x) == 210.0);
  CHECK(gradient<double>(recording, a, {x})[0] == 10.0);  // the second output is not reached
}

TEST_CASE("what was recorded can be forgotten") {
  Session session;
  const Symbol x = session.input(3.0);
  x * 5.0;
  const ValueId begin = session.recording.size();
  const std::size_t constants = session.recording.constants().size();
  exp(x * 7.0);
  session.recording.rewind(begin, constants);
  CHECK(session.recording.size() == begin);
  CHECK(session.recording.constants().size() == constants);
  CHECK((x * x).primal() == 9.0);
}

TEST_CASE("guards are told what Python's conversions give") {
  CHECK(observe(Guard::truncated, -2.7, 0.0) == -2.0);
  CHECK(observe(Guard::floored, -2.2, 0.0) == -3.0);
  CHECK(observe(Guard::ceiled, -2.7, 0.0) == -2.0);
  CHECK(observe(Guard::rounded, 2.5, 0.0) == 2.0);
  CHECK(observe(Guard::quotient, 7.0, -2.0) == -4.0);
  CHECK(observe(Guard::value, 2.5, 0.0) == 2.5);
  CHECK(observe(Guard::digits, -2.5, 0.0) == -2.5);
  CHECK(observe(Guard::less, 1.0, 2.0) == 1.0);
  CHECK(observe(Guard::equal, std::nan(""), std::nan("")) == 0.0);
  CHECK(same(std::nan(""), std::nan("")));
  CHECK_FALSE(same(0.0, -0.0));
}
