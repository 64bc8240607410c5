#include <algorithm>
#include <random>
#include <vector>

#include <doctest/doctest.h>
#include <tapegrad/detail/ir/passes/simplify.hpp>

using namespace tapegrad;

namespace {

using Carry = Program::Carry;

struct Laid {
  Op op;
  Carry carry;
};

std::vector<Program::Run> laid(const std::vector<Laid>& instructions) {
  detail::Runs runs;
  for (const Laid& instruction : instructions) runs.add(instruction.op, instruction.carry);
  return {runs.all().begin(), runs.all().end()};
}

constexpr Op add = op<"add">(), mul = op<"mul">();
constexpr Laid add_none{add, Carry::none}, add_first{add, Carry::first};
constexpr Laid add_second{add, Carry::second}, mul_first{mul, Carry::first};

}  // namespace

TEST_CASE("an instruction between other operations carries its operand") {
  CHECK(laid({mul_first, add_first, mul_first}) ==
        std::vector<Program::Run>{
            {mul, Carry::first, 1}, {add, Carry::first, 1}, {mul, Carry::first, 1}});
}

TEST_CASE("instructions of one operation are one run, though one happens to follow its operand") {
  CHECK(laid({add_first, add_none, add_none}) == std::vector<Program::Run>{{add, Carry::none, 3}});
  CHECK(laid({add_none, add_first, add_none}) == std::vector<Program::Run>{{add, Carry::none, 3}});
  CHECK(laid({add_first, add_second, add_second}) ==
        std::vector<Program::Run>{{add, Carry::none, 3}});
}

TEST_CASE("a row that carries is a run of its own") {
  const std::vector<Laid> row(4, add_first);
  std::vector<Laid> given = {add_none, add_none};
  given.insert(given.end(), row.begin(), row.end());
  CHECK(laid(given) == std::vector<Program::Run>{{add, Carry::none, 2}, {add, Carry::first, 4}});
  given.push_back(add_none);
  given.push_back(add_second);
  CHECK(laid(given) == std::vector<Program::Run>{
                           {add, Carry::none, 2}, {add, Carry::first, 4}, {add, Carry::none, 2}});
  CHECK(laid(std::vector<Laid>(7, add_second)) ==
        std::vector<Program::Run>{{add, Carry::second, 7}});
}

TEST_CASE("the instructions of all runs are those that were given, in order") {
  std::mt19937 random(5);
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<Laid> given;
    for (int k = 0; k < 60; ++k) {
      const auto carry = static_cast<Carry>(random() % 8 < 5 ? trial % 4 : random() % 4);
      given.push_back({random() % 6 != 0 ? add : mul, carry});
    }
    std::size_t at = 0;
    for (const Program::Run& run : laid(given))
      for (std::uint32_t k = 0; k < run.count; ++k, ++at) {
        REQUIRE(at < given.size());
        CHECK(run.op == given[at].op);
        CHECK((run.carry == Carry::none || run.carry == given[at].carry));
      }
    CHECK(at == given.size());
  }
}

TEST_CASE("what is carried is the number that is stored") {
  // Chains through the first operand, the second, both; and across the guard between two parts.
  Recording recording;
  Recording::current = &recording;
  const std::vector<ValueId> inputs = {recording.input(0.5), recording.input(0.25)};
  Symbol x = Symbol::at(recording, inputs[0]);
  const Symbol y = Symbol::at(recording, inputs[1]);
  const auto chain = [](auto x, auto y) {
    for (int k = 0; k < 10; ++k) x = 1.0 - (y - x) * x;
    for (int k = 0; k < 10; ++k) x = x + y;
    for (int k = 0; k < 5; ++k) x = y - x;
    x = x * x + y;
    x = x * x;
    return tanh(x);
  };
  const Symbol middle = chain(x, y);
  recording.guard({Guard::less,
                   0,
                   {middle.place(), y.place()},
                   observe(Guard::less, middle.primal(), y.primal())});
  const Symbol end[] = {chain(middle, y)};
  const Program program = simplified(recording, inputs, end);
  Recording::current = nullptr;
  CHECK(std::any_of(program.runs.begin(), program.runs.end(),
                    [](const auto& run) { return run.carry == Carry::both; }));
  std::vector<double> numbers(program.values());
  std::copy(program.constants.begin(), program.constants.end(), numbers.begin());
  for (const double a : {0.5, 0.55}) {
    numbers[program.constants.size()] = a;
    numbers[program.constants.size() + 1] = 0.25;
    REQUIRE(program.replay(numbers.data()) == Program::all_hold);
    using std::tanh;
    CHECK(numbers[program.outputs[0]] == chain(chain(a, 0.25), 0.25));
  }
}
