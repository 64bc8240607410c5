#include <tapegrad/compact_tape.hpp>
#include <tapegrad/value.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

using tapegrad::Active;
using tapegrad::ArenaFull;
using tapegrad::CompactTape;
using tapegrad::Op;
using tapegrad::Value;

namespace {

namespace ops = tapegrad::ops;
using doctest::Approx;

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T>
T model(const T& x, const T& y) {
  T z = exp(-x) * sin(y) + sqrt(x) / log(y) - pow(x, 1.5) + tanh(x * y) * 2.0;
  z += 3.0 - x;
  z /= y;
  z = maximum(z, clip(x, 0.25, y));
  return pow(2.0, z) + atan2(z, x) - hypot(3.0, z);
}

// Random programs over a few numbers, the same for every number type.
template <class T>
T random_program(unsigned seed, const std::vector<T>& inputs) {
  std::mt19937 random(seed);
  std::vector<T> made = inputs;
  const auto any = [&]() -> const T& { return made[random() % made.size()]; };
  for (int k = 0; k < 60; ++k) switch (random() % 8) {
      case 0:
        made.push_back(any() + any());
        break;
      case 1:
        made.push_back(any() - any());
        break;
      case 2:
        made.push_back(tanh(any() * any()));
        break;
      case 3:
        made.push_back(any() / (square(any()) + 1.0));
        break;
      case 4:
        made.push_back(-any());
        break;
      case 5:
        made.push_back(sigmoid(any()) * 0.5);
        break;
      case 6:
        made.push_back(2.0 - any());
        break;
      default:
        made.push_back(clip(any(), -1.0, any() + 2.0));
    }
  T total = made.back();
  for (std::size_t k = 0; k < 10; ++k) total += any();
  return total;
}

// Statements of three to nine numbers, some of which are recorded just before, some twice.
template <class T>
T statements(const std::vector<T>& x) {
  T sum = x[0] + x[1] * x[2];
  sum += x[3] * x[4];
  T other = x[5] * x[0] - sum;
  sum = sum - other * x[1];
  sum = x[2] * sum + x[3];
  const T many = (x[0] * x[1] + x[2] * x[3] - x[4] * x[5]) / (square(x[6]) + x[0] * x[6] + 3.0);
  sum = sum + many * x[6] + relu(x[1] - x[2]) * other;
  sum = sum * sum + sum;
  sum += clip(x[3] * x[4], x[5] - 1.0, x[5] + 1.0) - exp(-(x[6] * 0.5)) * leaky_relu(x[2], x[3]);
  return tanh(sum * 0.01) + many + sum * 1e-3;
}

// Not known when compiling: the compiler's own functions round otherwise than the library's.
double hidden(double x) {
  volatile double y = x;
  return y;
}

// The partials of operation K at the middle of its domain, by an Active and by a Value.
template <std::size_t K>
void same_as_values() {
  constexpr const auto& what = ops::descriptions[K];
  constexpr Op code = static_cast<Op>(K);
  if constexpr (what.arity == 1 && !what.constant_last) {
    const double at = hidden(0.3 * what.domain[0].low + 0.7 * what.domain[0].high);
    CompactTape trace;
    const Active x = trace.input(at);
    const Active y = Active::apply<code>(x);
    trace.backward(y);
    const Value a = at;
    const Value b = Value::apply<code>(a);
    b.backward();
    CAPTURE(what.name);
    CHECK(y.data() == b.data());
    CHECK(trace.adjoint(x) == a.grad());
  } else if constexpr (what.arity == 2) {
    const double at[] = {hidden(0.3 * what.domain[0].low + 0.7 * what.domain[0].high),
                         hidden(0.4 * what.domain[1].low + 0.6 * what.domain[1].high)};
    CompactTape trace;
    const Active x[] = {trace.input(at[0]), trace.input(at[1])};
    const Active all[] = {Active::apply<code>(x[0], x[1]), Active::apply<code>(x[0], at[1]),
                          Active::apply<code>(at[0], x[1])};
    const Value a[] = {at[0], at[1]};
    const Value same[] = {Value::apply<code>(a[0], a[1]), Value::apply<code>(a[0], at[1]),
                          Value::apply<code>(at[0], a[1])};
    CAPTURE(what.name);
    for (std::size_t k = 0; k < 3; ++k) {
      trace.backward(all[k]);
      same[k].backward();
      CHECK(all[k].data() == same[k].data());
      CHECK(trace.adjoint(x[0]) == a[0].grad());
      CHECK(trace.adjoint(x[1]) == a[1].grad());
    }
  }
}

}  // namespace

TEST_CASE("the program of the first page") {
  CompactTape trace;
  const Active a = trace.input(2.0), b = trace.input(-3.0);
  const Active y = tanh(a * b + 6.5);
  trace.backward(y);
  const double slope = 1.0 - std::tanh(0.5) * std::tanh(0.5);
  CHECK(y.data() == std::tanh(0.5));
  CHECK(trace.adjoint(a) == Approx(-3.0 * slope).epsilon(1e-14));
  CHECK(trace.adjoint(b) == Approx(2.0 * slope).epsilon(1e-14));
}

TEST_CASE("every operation has the value and the partials that Values have") {
  []<std::size_t... K>(std::index_sequence<K...>) { (same_as_values<K>(), ...); }
  (std::make_index_sequence<ops::count>());
}

TEST_CASE("a function of both kinds of numbers has one gradient") {
  CompactTape trace;
  const Active x = trace.input(0.7), y = trace.input(1.9);
  const Active z = model(x, y);
  trace.backward(z);
  const Value a = 0.7, b = 1.9;
  const Value c = model(a, b);
  c.backward();
  CHECK(z.data() == Approx(c.data()).epsilon(1e-14));
  CHECK(trace.adjoint(x) == Approx(a.grad()).epsilon(1e-13));
  CHECK(trace.adjoint(y) == Approx(b.grad()).epsilon(1e-13));
}

TEST_CASE("random programs have the gradients that Values have") {
  CompactTape trace;
  for (unsigned seed = 0; seed < 300; ++seed) {
    trace.clear();
    std::vector<Active> inputs;
    std::vector<Value> values;
    for (const double primal : {0.5, -1.25, 2.0}) {
      inputs.push_back(trace.input(primal));
      values.emplace_back(primal);
    }
    const Active y = random_program(seed, inputs);
    const Value z = random_program(seed, values);
    trace.backward(y);
    z.backward();
    REQUIRE(y.data() == Approx(z.data()).epsilon(1e-13));
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      CAPTURE(seed);
      CHECK(trace.adjoint(inputs[k]) == Approx(values[k].grad()).epsilon(1e-12));
    }
  }
}

TEST_CASE("nothing is recorded of plain numbers") {
  const Active two = 2;
  CHECK((two * 3.5f + 1 - tanh(two)).data() == 8.0 - std::tanh(2.0));
  CHECK(two.is_constant());
  CompactTape trace;
  const Active y = exp(two) * two;
  CHECK(trace.size() == 0);
  trace.backward(y);
  const Active x = trace.input(3.0);
  CHECK(Active(x * two).is_constant() == false);
  CHECK(trace.size() == 1);
  CHECK(trace.adjoint(x) == 0.0);
}

TEST_CASE("comparisons are those of the data") {
  CompactTape trace;
  const Active x = trace.input(1.0), y = trace.input(2.0);
  CHECK(x < y);
  CHECK(y >= 2.0);
  CHECK(0.5 < x);
  CHECK(std::max(x, y).data() == 2.0);
  CHECK(trace.size() == 0);
}

TEST_CASE("adjoints of inputs add up until they are cleared, those of results do not stay") {
  CompactTape trace;
  const Active x = trace.input(3.0);
  const Active square = x * x;
  const Active cube = square * x;
  trace.backward(square);
  CHECK(trace.adjoint(x) == 6.0);
  trace.backward(cube, 2.0);
  CHECK(trace.adjoint(x) == 6.0 + 54.0);
  CHECK(trace.adjoint(square) == 0.0);
  trace.zero_adjoints();
  trace.backward(square);
  CHECK(trace.adjoint(x) == 6.0);
  trace.backward(x);
  CHECK(trace.adjoint(x) == 7.0);
}

TEST_CASE("what a root was not computed from gives it nothing, infinite slopes neither") {
  CompactTape trace;
  const Active x = trace.input(0.0);
  const Active before = log(x);
  const Active y = x * 3.0;
  const Active after = sqrt(x) * before;
  trace.backward(y);
  CHECK(trace.adjoint(x) == 3.0);
  CHECK(after.data() != after.data());
  trace.zero_adjoints();
  trace.backward(before);
  CHECK(trace.adjoint(x) == infinity);
}

TEST_CASE("adjoints that cancel leave nothing behind") {
  CompactTape trace;
  const Active x = trace.input(2.0);
  const Active y = x * 5.0;
  const Active zero = y - y;
  trace.backward(zero);
  CHECK(trace.adjoint(x) == 0.0);
  const Active carried = (y * 1.0) - y * 1.0;
  trace.backward(carried);
  trace.zero_adjoints();
  trace.backward(y);
  CHECK(trace.adjoint(x) == 5.0);
}

TEST_CASE("a statement is one step where it has two numbers, or a third that is only added") {
  CompactTape trace;
  const Active x = trace.input(2.0), y = trace.input(3.0), z = trace.input(5.0);
  const auto steps = [&](const auto& expression) {
    const std::size_t before = trace.size();
    const Active recorded = expression;
    CHECK(recorded.data() == expression.data());
    return trace.size() - before;
  };
  CHECK(steps(x * y) == 1);
  CHECK(steps(x * y + z) == 1);
  CHECK(steps(tanh(0.5 * exp(-x) + 1.0)) == 1);
  CHECK(steps((x - y) / 2.0) == 1);
  CHECK(steps(clip(x, y, z)) == 2);
  CHECK(steps(x * y - z * x) == 2);
  CHECK(steps(x * y + y * z + z * x + x) == 4);
}

TEST_CASE("nothing is recorded where a number differs by a constant or has no influence") {
  CompactTape trace;
  const Active x = trace.input(2.0), zero = 0.0;
  const Active y = relu(1.5 + x - 1.0 + zero);
  const Active off = relu(-x);
  CHECK(y.data() == 2.5);
  CHECK(off.data() == 0.0);
  CHECK(off.is_constant());
  CHECK(trace.size() == 0);
  trace.backward(y, 3.0);
  trace.backward(off);
  CHECK(trace.adjoint(x) == 3.0);
  CHECK(trace.adjoint(y) == 3.0);
}

TEST_CASE("an expression kept with auto holds its numbers") {
  CompactTape trace;
  const Active a = trace.input(2.0), b = trace.input(3.0);
  const auto product = [&] {
    const Active local = a * b;
    return local * local;
  }();
  CHECK(product.data() == 36.0);
  const auto twice = product + product;
  Active x = a;
  const auto before = x * b;
  x = x * 10.0;
  const Active y = twice + before;
  CHECK(y.data() == 78.0);
  trace.backward(y);
  CHECK(trace.adjoint(a) == 2 * 2 * 6.0 * 3.0 + 3.0);
  CHECK(trace.adjoint(b) == 2 * 2 * 6.0 * 2.0 + 2.0);
}

TEST_CASE("a number is assigned to from itself") {
  CompactTape trace;
  const Active start = trace.input(3.0);
  Active x = start;
  x = x * x + x;
  x += x * x;
  x -= x / 2.0;
  CHECK(x.data() == 78.0);
  trace.backward(x);
  CHECK(trace.adjoint(start) == 0.5 * (1.0 + 2.0 * 12.0) * (2.0 * 3.0 + 1.0));
}

TEST_CASE("statements have the gradients that Values have, whichever numbers are constants") {
  CompactTape trace;
  constexpr std::size_t count = 7;
  const std::array<double, count> primals = {0.5, 1.25, -2.0, 1.5, 0.0, -0.25, 3.0};
  for (unsigned constants = 0; constants < 1u << count; ++constants) {
    trace.clear();
    std::vector<Active> numbers;
    std::vector<Value> values;
    for (std::size_t k = 0; k < count; ++k) {
      const bool constant = constants >> k & 1;
      numbers.push_back(constant ? Active(primals[k]) : trace.input(primals[k]));
      values.emplace_back(primals[k]);
    }
    const Active y = statements(numbers);
    const Value z = statements(values);
    REQUIRE(y.data() == Approx(z.data()).epsilon(1e-14));
    trace.backward(y);
    z.backward();
    for (std::size_t k = 0; k < count; ++k) {
      CAPTURE(constants);
      CAPTURE(k);
      const double expected = numbers[k].is_constant() ? 0.0 : values[k].grad();
      CHECK(trace.adjoint(numbers[k]) == Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("inside a statement, too, an adjoint of 0 is not passed on") {
  CompactTape trace;
  const Active x = trace.input(0.0), y = trace.input(2.0);
  const double none = 0.0;
  const Active z = sqrt(x) * none + log(x * x) * (y - y.data()) + y;
  trace.backward(z);
  CHECK(trace.adjoint(x) == 0.0);
  const Active off = relu(sqrt(x) - 1.0);
  trace.backward(off);
  CHECK(trace.adjoint(x) == 0.0);
}

TEST_CASE("going back forgets what was recorded since") {
  CompactTape trace;
  const Active x = trace.input(2.0);
  const Active y = x * x;
  const CompactTape::Position position = trace.position();
  for (int k = 0; k < 100; ++k) {
    const Active local = trace.input(1.0 + k);
    const Active z = exp(y) * local - clip(local, x, 3.0);
    trace.backward(z);
    trace.rewind(position);
    CHECK(trace.size() == 1);
  }
  trace.zero_adjoints();
  trace.backward(y);
  CHECK(trace.adjoint(x) == 4.0);
  const Active fresh = trace.input(7.0);
  CHECK(trace.adjoint(fresh) == 0.0);
}

TEST_CASE("sums and differences take 16 bytes, products 32") {
  CompactTape trace;
  const Active x = trace.input(2.0), y = trace.input(3.0);
  const std::size_t empty = trace.bytes();
  const Active sum = x + y;
  CHECK(trace.bytes() - empty == 16);
  const Active difference = sum - y;
  CHECK(trace.bytes() - empty == 32);
  const Active product = difference * y;
  CHECK(trace.bytes() - empty == 64);
  CHECK(product.data() == 6.0);
}

TEST_CASE("a full trace says so and can be used on") {
  CompactTape trace(100);
  const Active x = trace.input(1.0);
  const auto fill = [&] {
    Active y = x;
    for (;;) y = y * 1.5;
  };
  CHECK_THROWS_WITH_AS(
      fill(), "the compact tape is full: it has room for 100 operations and as many inputs",
      ArenaFull);
  CHECK(trace.size() == 100);
  trace.clear();
  const Active z = trace.input(3.0);
  trace.backward(z * z);
  CHECK(trace.adjoint(z) == 6.0);
  const auto inputs = [&] {
    for (;;) trace.input(0.0);
  };
  CHECK_THROWS_AS(inputs(), ArenaFull);
}

TEST_CASE("an input has no adjoint before a sweep, wherever another has been") {
  for (const std::size_t limit : {std::size_t{1'000}, CompactTape::most}) {
    CompactTape trace(limit);
    CHECK(trace.adjoint(trace.input(1.0)) == 0.0);
    trace.clear();
    const Active root = trace.input(1.0);
    trace.backward(root, 3.0);  // a root that is an input, and swept before anything else
    CHECK(trace.adjoint(root) == 3.0);
    const CompactTape::Position one = trace.position();
    const Active x = trace.input(2.0), y = trace.input(5.0);
    CHECK(trace.adjoint(y) == 0.0);
    trace.backward(x * y);
    CHECK(trace.adjoint(x) == 5.0);
    trace.rewind(one);
    CHECK(trace.adjoint(trace.input(2.0)) == 0.0);
    CHECK(trace.adjoint(trace.input(5.0)) == 0.0);
    CHECK(trace.adjoint(trace.input(7.0)) == 0.0);
    CHECK(trace.adjoint(root) == 3.0);
    trace.clear();
    CHECK(trace.adjoint(trace.input(1.0)) == 0.0);
  }
}

TEST_CASE("a statement that does not fit leaves nothing behind") {
  CompactTape trace(10);
  const Active x = trace.input(3.0), y = trace.input(2.0);
  Active z = x * y;
  while (trace.size() < 9) z = z * 1.5;
  const double before = z.data();
  const CompactTape::Position position = trace.position();
  CHECK_THROWS_AS(z += x * y + y * z, ArenaFull);
  CHECK(z.data() == before);
  CHECK(trace.size() == 9);
  CHECK(trace.position().partials == position.partials);
  z += x * y;
  CHECK(trace.size() == 10);
  trace.backward(z);
  CHECK(trace.adjoint(x) == Approx(2.0 * (std::pow(1.5, 8) + 1.0)).epsilon(1e-14));
}

TEST_CASE("a trace has room for many inputs, and for them again") {
  CompactTape trace;
  for (int round = 0; round < 2; ++round) {
    std::vector<Active> inputs;
    for (int k = 0; k < 100'000; ++k) inputs.push_back(trace.input(k));
    Active sum = 0.0;
    for (const Active& x : inputs) sum += x * x;
    trace.backward(sum);
    for (const std::size_t k : {0, 1, 511, 512, 99'999})
      CHECK(trace.adjoint(inputs[k]) == 2.0 * static_cast<double>(k));
    trace.clear();
  }
}

TEST_CASE("each thread has one trace at a time") {
  {
    CompactTape trace;
    CHECK_THROWS_WITH_AS(CompactTape{}, "this thread has a CompactTape already", std::logic_error);
    CHECK(CompactTape::current() == &trace);
    std::thread([] {
      CompactTape other;
      const Active x = other.input(4.0);
      other.backward(x * x);
      CHECK(other.adjoint(x) == 8.0);
    }).join();
    CHECK(trace.size() == 0);
  }
  CHECK(CompactTape::current() == nullptr);
  CompactTape again;
  CHECK(again.size() == 0);
}

TEST_CASE("a chain of millions of operations is swept without recursion") {
  CompactTape trace;
  const Active x = trace.input(1.0), a = trace.input(1.0 - 1e-9);
  Active y = x;
  for (int k = 0; k < 3'000'000; ++k) y = y * a;
  trace.backward(y);
  CHECK(trace.adjoint(x) == Approx(std::pow(1.0 - 1e-9, 3e6)).epsilon(1e-9));
  CHECK(trace.adjoint(a) == Approx(3e6 * std::pow(1.0 - 1e-9, 3e6 - 1)).epsilon(1e-9));
}

TEST_CASE("sum adds from left to right") {
  CompactTape trace;
  const std::array<Active, 3> xs = {trace.input(1e16), trace.input(1.0), trace.input(-1e16)};
  const Active total = tapegrad::sum(std::span<const Active>(xs));
  CHECK(total.data() == 1e16 + 1.0 - 1e16);
  trace.backward(total);
  for (const Active& x : xs) CHECK(trace.adjoint(x) == 1.0);
  CHECK(tapegrad::sum(std::span<const Active>()).data() == 0.0);
}
