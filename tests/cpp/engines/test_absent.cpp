// Contributions of branches not taken, and of weights of 0: they are not there, so that no infinite
// slope makes NaN of them.
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>
#include <tapegrad/compact_tape.hpp>
#include <tapegrad/detail/ir/derivative.hpp>
#include <tapegrad/detail/ir/passes/simplify.hpp>
#include <tapegrad/detail/ir/program_cache.hpp>
#include <tapegrad/value.hpp>

#include "support.hpp"

using namespace tapegrad;
using testing::at_rest;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double taken_at = 3.0;  // where selects take f(x); at 0, they take y
constexpr double y_at = -0.5;

// Functions whose slope at 0 is infinite, and which are below y there.
const auto singular = std::make_tuple(
    [](const auto& x) { return log(x); }, [](const auto& x) { return sqrt(x) - 1.0; },
    [](const auto& x) { return -1.0 / x; }, [](const auto& x) { return pow(x, 0.25) - 1.0; });
constexpr double slopes[] = {1.0 / 3.0, 0.28867513459481287, 1.0 / 9.0, 0.10967228394980225};

Symbol chosen(const Symbol& f, const Symbol& y) { return where(f > y, f, y); }
Value chosen(const Value& f, const Value& y) {
  return Value::apply<op<"where">()>(f > y ? 1.0 : 0.0, f, y);
}

// Selects whose derivative by what is taken is 1.
const auto selects = std::make_tuple(
    [](const auto& f, const auto& y) { return maximum(f, y); },
    [](const auto& f, const auto& y) { return maximum(y, f); },
    [](const auto& f, const auto& y) { return -minimum(-f, -y); },
    [](const auto& f, const auto& y) { return -minimum(-y, -f); },
    [](const auto& f, const auto& y) { return clip(f, y, y + 100.0); },
    [](const auto& f, const auto& y) { return -clip(-f, -100.0, -y); },
    [](const auto& f, const auto& y) { return relu(f - y) + y; },
    [](const auto& f, const auto& y) { return chosen(f, y); },
    [](const auto& f, const auto& y) { return maximum(2.0 * maximum(f, y), 2.0 * y) / 2.0; });

template <class Tuple, class Visit>
void each(const Tuple& tuple, Visit visit) {
  int k = 0;
  std::apply([&](const auto&... one) { (visit(k++, one), ...); }, tuple);
}

// Calls visit(f of x and y, slope of the inner function where it is taken).
template <class Visit>
void each_case(Visit visit) {
  each(selects, [&](int select, const auto& of) {
    each(singular, [&](int inner, const auto& g) {
      const std::string name = "select " + std::to_string(select) + ", " + std::to_string(inner);
      CAPTURE(name);
      visit(
          [&](const auto& x, const auto& y) {
            std::remove_cvref_t<decltype(x)> f = g(x);
            return of(f, y) + 3.0 * x;
          },
          slopes[inner]);
    });
  });
}

struct Session {
  explicit Session(bool guarding = true) {
    recording.guarding = guarding;
    Recording::current = &recording;
  }
  ~Session() { Recording::current = nullptr; }
  Symbol input(double primal) {
    inputs.push_back(recording.input(primal));
    return Symbol::at(recording, inputs.back());
  }
  std::vector<double> run(const std::vector<Symbol>& outputs, const std::vector<double>& at) {
    CachedProgram path(std::make_shared<const Program>(simplified(recording, inputs, outputs)),
                       nullptr);
    REQUIRE(path.replay(at) == Program::all_hold);
    std::vector<double> results;
    for (const ValueId output : path.program->outputs) results.push_back(path.numbers[output]);
    return results;
  }
  template <class Number>
  std::vector<Number> gradient(const Symbol& root, const Number& weight = 1.0) {
    const ActiveRange range(recording, inputs, recording.size());
    ReverseSweep<Number> sweep(range);
    sweep.seed(root.place(), weight);
    sweep.run();
    std::vector<Number> all;
    for (const ValueId input : inputs) all.push_back(sweep.adjoint(input));
    return all;
  }
  template <class Number>
  Number tangent(const Symbol& root, const std::vector<Number>& direction) {
    const ActiveRange range(recording, inputs, recording.size());
    ForwardSweep<Number> sweep(range, 1);
    for (std::size_t k = 0; k < direction.size(); ++k) sweep.seed(inputs[k], 0, direction[k]);
    sweep.run();
    return root.is_constant() ? Number(0.0) : sweep.tangent(root.place(), 0);
  }
  Recording recording;
  std::vector<ValueId> inputs;
};

double primal(double number) { return number; }
double primal(const Symbol& number) { return number.primal(); }

}  // namespace

TEST_CASE("a Value is not reached through the branch that was not taken") {
  each_case([](const auto& f, double slope) {
    const Value x(0.0), y(y_at);
    f(x, y).backward();
    CHECK(x.grad() == 3.0);
    CHECK(y.grad() == 1.0);
    const Value taken(taken_at), other(y_at);
    f(taken, other).backward();
    CHECK(taken.grad() == doctest::Approx(3.0 + slope));
    CHECK(other.grad() == 0.0);
  });
}

TEST_CASE("sweeps over numbers, plain and recorded, skip the branch that was not taken") {
  each_case([](const auto& f, double slope) {
    for (const bool guarding : {false, true})
      for (const bool taken : {false, true}) {
        Session session(guarding);
        const Symbol x = session.input(taken ? taken_at : 0.0), y = session.input(y_at);
        const Symbol z = f(x, y);
        const double by_x = 3.0 + (taken ? slope : 0.0), by_y = taken ? 0.0 : 1.0;
        const auto check = [&](const auto& gradient) {
          CHECK(primal(gradient[0]) == doctest::Approx(by_x));
          CHECK(primal(gradient[1]) == by_y);
        };
        check(session.gradient<double>(z));
        CHECK(session.tangent<double>(z, {1.0, 0.0}) == doctest::Approx(by_x));
        CHECK(session.tangent<double>(z, {0.0, 1.0}) == by_y);
        const auto recorded = session.gradient<Symbol>(z);
        check(recorded);
        const Symbol forward = session.tangent<Symbol>(z, {1.0, 0.0});
        CHECK(forward.primal() == doctest::Approx(by_x));
        if (taken) continue;
        // Second derivatives: reverse and forward over reverse and forward.
        for (const Symbol& first : {recorded[0], forward}) {
          if (first.is_constant()) continue;
          CHECK(session.gradient<double>(first)[0] == 0.0);
          CHECK(session.gradient<Symbol>(first)[0].primal() == 0.0);
          CHECK(session.tangent<double>(first, {1.0, 0.0}) == 0.0);
          CHECK(session.tangent<Symbol>(first, {1.0, 0.0}).primal() == 0.0);
        }
      }
  });
}

TEST_CASE("a program knows which branch is taken when it runs") {
  each_case([](const auto& f, double slope) {
    for (const double recorded_at : {0.0, taken_at}) {
      Session session;
      const Symbol x = session.input(recorded_at), y = session.input(y_at);
      const Symbol z = f(x, y);
      const auto first = session.gradient<Symbol>(z);
      const Symbol forward = session.tangent<Symbol>(z, {1.0, 0.0});
      const std::vector<Symbol> outputs{first[0],
                                        first[1],
                                        forward,
                                        session.gradient<Symbol>(first[0])[0],
                                        session.gradient<Symbol>(forward)[0],
                                        session.tangent<Symbol>(first[0], {1.0, 0.0}),
                                        session.tangent<Symbol>(forward, {1.0, 0.0})};
      const auto not_taken = session.run(outputs, {0.0, y_at});
      const std::vector<double> wanted{3.0, 1.0, 3.0, 0.0, 0.0, 0.0, 0.0};
      CHECK(not_taken == wanted);
      const auto taken = session.run(outputs, {taken_at, y_at});
      CHECK(taken[0] == doctest::Approx(3.0 + slope));
      CHECK(taken[1] == 0.0);
      CHECK(taken[2] == taken[0]);
      for (std::size_t k = 3; k < taken.size(); ++k) {
        CHECK(taken[k] != 0.0);
        CHECK(taken[k] == doctest::Approx(taken[3]));
      }
    }
  });
}

TEST_CASE("what is there with a derivative of 0 is multiplied: 0 times infinity is NaN") {
  const Value v(0.0);
  square(sqrt(v)).backward();
  CHECK(std::isnan(v.grad()));
  for (const bool guarding : {false, true}) {
    Session session(guarding);
    const Symbol x = session.input(0.0);
    const Symbol y = square(sqrt(x)), z = sqrt(x * x);
    for (const Symbol& root : {y, z}) {
      CHECK(std::isnan(session.gradient<double>(root)[0]));
      CHECK(std::isnan(session.gradient<Symbol>(root)[0].primal()));
      CHECK(std::isnan(session.tangent<double>(root, {1.0})));
      CHECK(std::isnan(session.tangent<Symbol>(root, {1.0}).primal()));
      if (guarding) CHECK(std::isnan(session.run(session.gradient<Symbol>(root), {0.0})[0]));
    }
  }
}

TEST_CASE("what several branches use is there where any of them is taken") {
  Session session;
  const Symbol x = session.input(2.0), a = session.input(1.0), b = session.input(1.0);
  const Symbol f = sqrt(x);
  const auto gradient = session.gradient<Symbol>(maximum(a, f) + square(maximum(b, f)));
  const auto by_x = [&](double x, double a, double b) {
    return session.run({gradient[0]}, {x, a, b})[0];
  };
  CHECK(by_x(0.0, 1.0, 1.0) == 0.0);
  CHECK(by_x(0.0, -1.0, 1.0) == infinity);
  CHECK(std::isnan(by_x(0.0, 1.0, -1.0)));  // there, with 0 for an adjoint
  CHECK(std::isnan(by_x(0.0, -1.0, -1.0)) == false);
  CHECK(by_x(4.0, 1.0, 1.0) == 1.25);
  CHECK(by_x(4.0, 3.0, 1.0) == 1.0);
  CHECK(by_x(4.0, 3.0, 3.0) == 0.0);
}

TEST_CASE("a weight of 0 does not vary, and can be differentiated by") {
  for (const double zero : {0.0, -0.0}) {
    Session plain(false);
    const Symbol x = plain.input(0.0), y = plain.input(2.0);
    const Symbol z = sqrt(x) * y;
    CHECK(plain.tangent<double>(z, {zero, 1.0}) == 0.0);
    CHECK(plain.gradient<double>(z, zero)[0] == 0.0);
    CHECK(plain.tangent<double>(z, {1.0, zero}) == infinity);
  }
  for (const bool guarding : {false, true}) {
    Session session(guarding);
    const Symbol x = session.input(4.0), t = session.input(0.0);
    const Symbol z = sqrt(x) * x;
    const Symbol along = session.tangent<Symbol>(z, {t});
    const Symbol back = session.gradient<Symbol>(z, t)[0];
    for (const Symbol& product : {along, back}) {
      CHECK(product.primal() == 0.0);
      const auto gradient = session.gradient<Symbol>(product);
      CHECK(gradient[0].primal() == 0.0);
      CHECK(gradient[1].primal() == 3.0);
      CHECK(session.tangent<double>(product, {0.0, 1.0}) == 3.0);
      if (!guarding) continue;
      CHECK(session.run({product, gradient[0], gradient[1]}, {4.0, 2.0}) ==
            std::vector<double>{6.0, 0.75, 3.0});
      const auto singular = session.run({product, gradient[0]}, {0.0, 0.0});
      CHECK(singular == std::vector<double>{0.0, 0.0});
    }
  }
}

namespace {

constexpr Op maximum_op = op<"maximum">();

// A node that takes `taken` and not `other`, whichever stands first.
Index larger(Tape& tape, Index taken, Index other, bool taken_first) {
  return taken_first ? tape.record<maximum_op>(taken, other)
                     : tape.record<maximum_op>(other, taken);
}

}  // namespace

TEST_CASE("an absent partial passes nothing on, and what an earlier sweep left is passed again") {
  for (const bool taken_first : {false, true}) {
    Tape tape;
    const Index x = tape.leaf(4.0), y = tape.leaf(2.0);
    const Index log = tape.record<op<"log">()>(x);
    const Index z = larger(tape, y, log, taken_first);
    tape.link(log).adjoint = 7.0;
    tape.link(x).adjoint = 5.0;
    tape.push_recorded(z);
    CHECK(tape.link(log).adjoint == 7.0);
    tape.backward(z);
    CHECK(tape.link(log).adjoint == 7.0);
    CHECK(tape.link(x).adjoint == 5.0 + 7.0 / 4.0);
    CHECK(tape.link(y).adjoint == 1.0);
    for (const Index i : {x, y, log, z}) CHECK(at_rest(tape, i));
    const Index copy = tape.copy(z);
    tape.backward(copy);
    CHECK(tape.link(log).adjoint == 7.0);
    CHECK(tape.link(x).adjoint == 5.0 + 7.0 / 4.0 + 7.0 / 4.0);
    CHECK(tape.link(y).adjoint == 2.0);
    tape.zero_adjoints(copy);
    CHECK(tape.link(log).adjoint == 0.0);
    CHECK(tape.link(x).adjoint == 0.0);
    std::vector<Index> visited;
    walk<false>(tape, z, [&](Index i) { visited.push_back(i); });
    CHECK(visited == std::vector<Index>{z});
  }
}

TEST_CASE("a seed of 0 reaches nothing") {
  for (const double zero : {0.0, -0.0}) {
    const Value x(0.0);
    const Value y = log(x);
    y.backward(zero);
    CHECK(x.grad() == 0.0);
    CHECK(y.grad() == 0.0);
  }
}

TEST_CASE("selects in the middle of sums of products, where sweeps go two nodes at a time") {
  // p + q, where each of p, q and the sum may be a select that takes either operand.
  for (int kinds = 0; kinds < 64; ++kinds) {
    CAPTURE(kinds);
    Tape tape;
    const Index x = tape.leaf(0.0), y = tape.leaf(2.0);
    const Index bad = tape.record<op<"log">()>(x);  // below everything, its slope infinite
    const auto part = [&](int kind, Index good) {
      if (kind == 0) return tape.record<op<"mul">()>(good, y);
      if (kind == 3) return tape.record<op<"mul">()>(y, y);
      return larger(tape, good, bad, kind == 1);
    };
    Index total = part(kinds & 3, y);
    double by_y = (kinds & 3) % 3 == 0 ? 4.0 : 1.0;
    for (int k = 1; k < 3; ++k) {
      const int kind = kinds >> 2 * k & 3;
      const Index p = part(kind, y);
      total = tape.record<op<"add">()>(total, p);
      by_y += kind % 3 == 0 ? 4.0 : 1.0;
    }
    for (const bool first : {false, true}) {
      const Index z = larger(tape, total, bad, first);
      tape.zero_adjoints(z);
      tape.backward(z);
      CHECK(tape.link(y).adjoint == by_y);
      CHECK(tape.link(x).adjoint == 0.0);
      CHECK(at_rest(tape, z));
      CHECK(at_rest(tape, y));
    }
  }
}

TEST_CASE("sums of selects across the blocks of the tape") {
  Tape tape;
  const Index x = tape.leaf(0.0), y = tape.leaf(2.0);
  const Index bad = tape.record<op<"log">()>(x);
  Index total = tape.record<op<"mul">()>(y, y);
  double by_y = 4.0;
  for (int k = 0; k < 20'000; ++k) {
    const Index one = k % 3 == 0   ? larger(tape, y, bad, k % 2 == 0)
                      : k % 3 == 1 ? tape.record<op<"relu">()>(bad)
                                   : tape.record<op<"mul">()>(y, y);
    by_y += k % 3 == 0 ? 1.0 : k % 3 == 1 ? 0.0 : 4.0;
    total = tape.record<op<"add">()>(total, one);
  }
  tape.backward(total);
  CHECK(tape.link(y).adjoint == by_y);
  CHECK(tape.link(x).adjoint == 0.0);
}

TEST_CASE("a NaN that is there is passed on") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Tape tape;
  const Index x = tape.leaf(1.0), y = tape.leaf(2.0), z = tape.leaf(3.0);
  const Index given = tape.open(1.0, std::vector<Operand>{{x, nan}, {y, 1.0}});
  tape.backward(given);
  CHECK(std::isnan(tape.link(x).adjoint));
  CHECK(tape.link(y).adjoint == 1.0);
  // Even of the payload that means an absent partial elsewhere.
  const double marker = std::bit_cast<double>(absent_bits);
  CHECK(is_absent(marker));
  for (const std::size_t count : {1u, 2u, 3u}) {
    tape.zero_adjoints(given);
    const Operand operands[] = {{x, marker}, {y, marker}, {z, marker}};
    tape.backward(tape.open(1.0, std::span(operands).first(count)));
    CHECK(std::isnan(tape.link(x).adjoint));
  }
  // Infinities of both signs have a NaN for a sum, and are none.
  const Index both[] = {tape.leaf(1.0), tape.leaf(1.0)};
  const Operand infinite[] = {{both[0], infinity}, {both[1], -infinity}};
  tape.backward(tape.open(1.0, infinite));
  CHECK(tape.link(both[0]).adjoint == infinity);
  CHECK(tape.link(both[1]).adjoint == -infinity);
}

TEST_CASE("the constant operand of a select, looked at, has no part in its gradient") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index z = tape.record<maximum_op>(x, 2.0);
  tape.backward(z);
  tape.show_constants(z);
  std::vector<double> partials, adjoints;
  tape.each_operand(z, [&](Index node, double partial) {
    partials.push_back(partial);
    adjoints.push_back(tape.link(node).adjoint);
  });
  CHECK(partials[0] == 1.0);
  CHECK(is_absent(partials[1]));
  CHECK(adjoints == std::vector<double>{1.0, 0.0});
}

TEST_CASE("a compact trace has an adjoint of 0 for what is not reached") {
  CompactTape trace;
  const Active x = trace.input(0.0), y = trace.input(2.0);
  const Active f = log(x);
  const Active z = maximum(f, y) + relu(f) + clip(f, -1.0, 1.0);
  trace.backward(z);
  CHECK(trace.adjoint(x) == 0.0);
  CHECK(trace.adjoint(y) == 1.0);
}

TEST_CASE("what an earlier sweep left deep behind a branch not taken is passed on again") {
  Tape tape;
  const Index x = tape.leaf(1.0), low = tape.leaf(-5.0);
  const Index deep = tape.record<op<"mul">()>(x, x);  // holds 1 after the first sweep
  const Index quiet = tape.record<op<"add">()>(deep, low);
  const Index off = tape.record<op<"relu">()>(quiet);
  const Index bad = tape.record<op<"log">()>(off);  // -infinity, of slope infinity
  const Index root = larger(tape, x, bad, true);
  tape.backward(deep);
  CHECK(tape.link(x).adjoint == 2.0);
  tape.backward(root);
  CHECK(tape.link(x).adjoint == 2.0 + 1.0 + 2.0);
  CHECK(tape.link(deep).adjoint == 1.0);
  CHECK(tape.link(off).adjoint == 0.0);
}

TEST_CASE("a backward function behind a branch not taken is not called for an adjoint of 0") {
  struct Count : Backward {
    explicit Count(int& count) : calls(count) {}
    void operator()(Index) override { ++calls; }
    int& calls;
  };
  Tape tape;
  int calls = 0;
  const Index x = tape.leaf(1.0), low = tape.leaf(-5.0);
  const Index node = tape.record<op<"mul">()>(x, low);
  tape.set_backward(node, std::make_unique<Count>(calls));
  tape.backward(larger(tape, x, node, true));
  CHECK(calls == 0);
  // Reached with an adjoint of 0 by a branch that is taken, it is.
  tape.backward(tape.record<op<"mul">()>(node, 0.0));
  CHECK(calls == 1);
}

TEST_CASE("rows of a layer behind a branch not taken have infinite factors") {
  for (const std::size_t off : {0u, 1u, 2u}) {
    Tape tape;
    const Index x = tape.leaf(-infinity), y = tape.leaf(1.0);
    std::vector<Index> weights, rows;
    {
      OperandListBuilder xs(tape, 1);
      xs.add(x, -infinity);
      for (int k = 0; k < 3; ++k) {
        weights.push_back(tape.leaf(1.0));
        OperandListBuilder row(tape, 1);
        row.add(weights.back(), 1.0);
        rows.push_back(tape.record_dot(row.list(), xs.list()));
      }
    }
    const Index chosen = larger(tape, y, rows[off], true);
    const Argument sum[] = {{chosen}, {rows[(off + 1) % 3]}, {rows[(off + 2) % 3]}};
    tape.backward(tape.record<op<"sum">()>(sum));
    CHECK(tape.link(y).adjoint == 1.0);
    for (std::size_t k = 0; k < 3; ++k)
      CHECK(tape.link(weights[k]).adjoint == (k == off ? 0.0 : -infinity));
    CHECK(tape.link(x).adjoint == 2.0);
  }
}
