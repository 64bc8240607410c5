#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include <doctest/doctest.h>
#include <tapegrad/program.hpp>

using namespace tapegrad;

namespace {

struct Session {
  Session() { Recording::current = &recording; }
  ~Session() { Recording::current = nullptr; }
  Symbol input(double primal) {
    inputs.push_back(recording.input(primal));
    return Symbol::at(recording, inputs.back());
  }
  Program program(const std::vector<Symbol>& outputs, std::size_t window = schedule_window) {
    return simplified(recording, inputs, outputs, window);
  }
  void guard(Guard::Kind kind, const Symbol& x, const Symbol& y) {
    const ValueId a = x.in(recording), b = y.in(recording);
    recording.guard({kind, 0, {a, b}, observe(kind, x.primal(), y.primal())});
  }
  Recording recording;
  std::vector<ValueId> inputs;
};

std::vector<double> run(const Program& program, const std::vector<double>& inputs) {
  CachedProgram path(std::make_shared<const Program>(program), nullptr);
  REQUIRE(path.replay(inputs) == Program::all_hold);
  std::vector<double> results;
  for (const ValueId output : program.outputs) results.push_back(path.numbers[output]);
  return results;
}

}  // namespace

TEST_CASE("the example of the header works as it stands") {
  tapegrad::Recording recording;
  tapegrad::Recording::current = &recording;  // of this thread
  const std::vector inputs{recording.input(2.0)};
  const std::vector outputs{exp(tapegrad::Symbol::at(recording, inputs[0]))};
  const tapegrad::Program program = tapegrad::simplified(recording, inputs, outputs);
  tapegrad::Recording::current = nullptr;
  CHECK(run(program, {1.0})[0] == std::exp(1.0));
}

TEST_CASE("a program computes on other inputs what the operations would") {
  Session session;
  const Symbol x = session.input(2.0), y = session.input(3.0);
  const Program program = session.program({tanh(x * y) + clip(x, -1.0, y), Symbol(5.0), x});
  for (const double a : {-2.0, 0.0, 0.25, 4.0}) {
    const auto results = run(program, {a, 0.5});
    CHECK(results[0] == std::tanh(a * 0.5) + std::fmin(std::fmax(a, -1.0), 0.5));
    CHECK(results[1] == 5.0);
    CHECK(results[2] == a);
  }
}

TEST_CASE("equal operations are done once, unused ones not at all, constants beforehand") {
  Session session;
  const Symbol x = session.input(2.0), y = session.input(3.0);
  exp(x);
  const Symbol a = x * y, b = y * x;
  const Program program = session.program({a + b, Symbol(2.0) * 3.0});
  CHECK(program.size() == 2);  // mul, add
  CHECK(session.program({Symbol::apply<op<"copy">()>(x)}).size() == 0);
  CHECK(session.program({x + -y}).size() == 1);
  CHECK(session.program({-(-x)}).size() == 0);
}

TEST_CASE("simplified arithmetic gives the same bits, signed zeros, infinities and NaN included") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> edges = {0.0,     -0.0, 1.0,      -1.0,      2.5,         1e308,
                                     -1e-320, 1e17, infinity, -infinity, std::nan("")};
  const auto f = [](const auto& x, const auto& y) {
    return std::vector{x * 0.0,     x + 0.0,     x - y,       x + -y,          -x + y,
                       x - -y,      x * -1.0,    pow(x, 2.0), pow(x, 3.0),     pow(x, -1.0),
                       pow(x, 0.5), pow(x, 0.0), x / x,       maximum(x, y),   x * y + y * x,
                       pow(x, y),   y - y,       0.0 - x,     pow(x, -2.0),    x * 1.0,
                       0.0 / x,     x - 0.0,     x + -0.0,    minimum(x, 0.0), pow(x, -0.5)};
  };
  Session session;
  const Symbol a = session.input(1.5), b = session.input(2.5);
  const Program program = session.program(f(a, b));
  for (const double x : edges)
    for (const double y : edges) {
      CAPTURE(x);
      CAPTURE(y);
      Recording eager;
      Recording::current = &eager;
      const ValueId p = eager.input(x), q = eager.input(y);
      const auto wanted = f(Symbol::at(eager, p), Symbol::at(eager, q));
      Recording::current = &session.recording;
      const auto results = run(program, {x, y});
      for (std::size_t k = 0; k < results.size(); ++k) {
        CAPTURE(k);
        CHECK(same(results[k], wanted[k].primal()));
      }
    }
}

TEST_CASE("the order of a program respects its operands, whatever the window") {
  std::mt19937 random(11);
  for (const std::size_t window : {1u, 2u, 7u, 64u, 100000u}) {
    Session session;
    std::vector<Symbol> numbers = {session.input(0.5), session.input(-0.25), session.input(0.125)};
    for (int k = 0; k < 500; ++k) {
      const Symbol x = numbers[random() % numbers.size()], y = numbers[random() % numbers.size()];
      switch (random() % 4) {
        case 0:
          numbers.push_back(x + y);
          break;
        case 1:
          numbers.push_back(x * y);
          break;
        case 2:
          numbers.push_back(sin(x));
          break;
        default:
          numbers.push_back(where(x < y, x, -y));
      }
    }
    const auto results = run(session.program(numbers, window), {0.5, -0.25, 0.125});
    for (std::size_t k = 0; k < numbers.size(); ++k) CHECK(results[k] == numbers[k].primal());
  }
}

TEST_CASE("a recorded gradient is a program as any") {
  Session session;
  const Symbol x = session.input(2.0), y = session.input(3.0);
  const Symbol z = x * x * y + sin(y);
  const ActiveRange range(session.recording, session.inputs, session.recording.size());
  ReverseSweep<Symbol> sweep(range);
  sweep.seed(z.place(), Symbol(1.0));
  sweep.run();
  const Program program = session.program({z, sweep.adjoint(x.place()), sweep.adjoint(y.place())});
  const auto results = run(program, {5.0, 7.0});
  CHECK(results[0] == 175.0 + std::sin(7.0));
  CHECK(results[1] == 70.0);
  CHECK(results[2] == 25.0 + std::cos(7.0));
}

TEST_CASE("a broken guard stops the replay and says which it is") {
  Session session;
  const Symbol x = session.input(2.0);
  session.guard(Guard::less, Symbol(0.0), x);
  session.guard(Guard::less, x * x, Symbol(10.0));
  CachedProgram path(std::make_shared<const Program>(session.program({x * 3.0})), nullptr);
  CHECK(path.program->guards.size() == 2);
  CHECK(path.replay(std::vector<double>{3.0}) == Program::all_hold);
  CHECK(path.replay(std::vector<double>{-3.0}) == 0);
  CHECK(path.replay(std::vector<double>{4.0}) == 1);
}

TEST_CASE("guards of constants, and guards asked twice, are none") {
  Session session;
  const Symbol x = session.input(2.0);
  session.guard(Guard::less, Symbol(0.0),
                Symbol::at(session.recording, session.recording.input(1.0)));
  session.guard(Guard::less, Symbol(0.0), x);
  session.guard(Guard::less, Symbol(0.0), x);
  CHECK(session.program({x}).guards.size() == 1);
}

TEST_CASE("of several paths the one is taken whose guards hold, and it moves to the front") {
  ProgramCache paths;
  // A path for each number of halvings until x is below 1.
  const auto record = [&](double at) {
    Session session;
    Symbol x = session.input(at);
    int count = 0;
    for (;; ++count) {
      session.guard(Guard::less, x, Symbol(1.0));
      if (x.primal() < 1.0) break;
      x = x * 0.5;
    }
    paths.add(std::make_shared<const Program>(session.program({x, Symbol(count)})), nullptr, 0);
  };
  for (const double at : {0.5, 1.5, 3.0, 100.0}) record(at);
  const auto count_of = [&](double x) {
    CachedProgram* path = paths.replay(std::vector<double>{x});
    return path == nullptr ? -1.0 : path->numbers[path->program->outputs[1]];
  };
  CHECK(count_of(0.25) == 0.0);
  CHECK(count_of(1.25) == 1.0);
  CHECK(count_of(3.5) == 2.0);
  CHECK(count_of(120.0) == 7.0);
  CHECK(paths.all().front()->program->guards.size() == 8);
  CHECK(count_of(5.0) == -1.0);  // three halvings: nobody was told that
  record(5.0);
  CHECK(count_of(7.0) == 3.0);
  CHECK(count_of(std::nan("")) == -1.0);
}
