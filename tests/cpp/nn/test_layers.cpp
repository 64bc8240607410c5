#include <tapegrad/detail/ir/derivative.hpp>
#include <tapegrad/detail/nn/symbol_rows.hpp>
#include <tapegrad/nn.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using namespace tapegrad;

namespace {

using Values = std::vector<Value>;

Values values(std::vector<double> xs) { return {xs.begin(), xs.end()}; }

std::vector<double> numbers(const Values& xs) {
  std::vector<double> all;
  for (const Value& x : xs) all.push_back(x.data());
  return all;
}

Values random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Values all;
  for (std::size_t k = 0; k < count; ++k) all.emplace_back(random() / 1073741824.0 - 2.0);
  return all;
}

// Weighted, so that every element has a derivative of its own.
Value weighted(const Values& ys) {
  Value total = 0.0;
  for (std::size_t k = 0; k < ys.size(); ++k) total += ys[k] * (1.0 + static_cast<double>(k));
  return total;
}

// Whether two ways to compute the same agree, in values and in the derivatives by `xs`.
void check_same(const Values& xs, const Values& one, const Values& other) {
  REQUIRE(one.size() == other.size());
  for (std::size_t k = 0; k < one.size(); ++k)
    CHECK(one[k].data() == doctest::Approx(other[k].data()).epsilon(1e-13));
  std::vector<double> slopes;
  Values all = xs;  // references to the same nodes
  for (Value& x : all) x.set_grad(0.0);
  weighted(one).backward();
  for (Value& x : all) {
    slopes.push_back(x.grad());
    x.set_grad(0.0);
  }
  const Value root = weighted(other);
  root.zero_grad();
  root.backward();
  for (std::size_t k = 0; k < xs.size(); ++k)
    CHECK(slopes[k] == doctest::Approx(xs[k].grad()).epsilon(1e-12));
}

Values softmax_by_hand(const Values& xs) {
  Value total = 0.0;
  Values all;
  for (const Value& x : xs) total += exp(x);
  for (const Value& x : xs) all.push_back(exp(x) / total);
  return all;
}

Values normalized_by_hand(const Values& xs, double eps) {
  const auto count = static_cast<double>(xs.size());
  Value squares = 0.0;
  for (const Value& x : xs) squares += x * x;
  Values all;
  for (const Value& x : xs) all.push_back(x / sqrt(squares / count + eps));
  return all;
}

Values times(const Values& xs, const Values& ys) {
  Values all;
  for (std::size_t k = 0; k < xs.size(); ++k) all.push_back(xs[k] * ys[k]);
  return all;
}

}  // namespace

TEST_CASE("linear is the rows of w times x plus b, to the last bit") {
  const std::vector<Values> w = {random_values(7, 1), random_values(7, 2), random_values(7, 3)};
  const Values x = random_values(7, 4), b = random_values(3, 5);
  Values by_hand, without;
  for (std::size_t i = 0; i < w.size(); ++i) {
    Value total = b[i], plain = w[i][0] * x[0];
    for (std::size_t k = 0; k < x.size(); ++k) total += w[i][k] * x[k];
    for (std::size_t k = 1; k < x.size(); ++k) plain += w[i][k] * x[k];
    by_hand.push_back(total);
    without.push_back(plain);
  }
  CHECK(numbers(linear(w, x, b)) == numbers(by_hand));
  CHECK(numbers(matvec(w, x)) == numbers(without));
  Values all = x;
  all.insert(all.end(), b.begin(), b.end());
  for (const Values& row : w) all.insert(all.end(), row.begin(), row.end());
  check_same(all, linear(w, x, b), by_hand);
}

TEST_CASE("softmax and its logarithm") {
  const Values xs = random_values(6, 7);
  check_same(xs, softmax(xs), softmax_by_hand(xs));
  Values logs;
  for (const Value& p : softmax_by_hand(xs)) logs.push_back(log(p));
  check_same(xs, log_softmax(xs), logs);
  Value total = 0.0;
  for (const Value& x : xs) total += exp(x);
  check_same(xs, {logsumexp(xs)}, {log(total)});
}

TEST_CASE("large logits do not overflow, and masked ones have no gradient") {
  CHECK(numbers(softmax(values({1000.0, 1000.0}))) == std::vector<double>{0.5, 0.5});
  const double infinity = std::numeric_limits<double>::infinity();
  const Values xs = values({1.0, -infinity, 1.0});
  const Values ps = softmax(xs);
  CHECK(ps[0].data() == doctest::Approx(0.5));
  CHECK(ps[1].data() == 0.0);
  ps[0].backward();
  CHECK(xs[0].grad() == doctest::Approx(0.25));
  CHECK(xs[1].grad() == 0.0);
  CHECK(logsumexp({}).data() == -infinity);
}

TEST_CASE("rmsnorm and layernorm") {
  const Values xs = random_values(5, 8), weight = random_values(5, 9), bias = random_values(5, 10);
  Values all = xs;
  all.insert(all.end(), weight.begin(), weight.end());
  all.insert(all.end(), bias.begin(), bias.end());
  check_same(xs, rmsnorm(xs), normalized_by_hand(xs, 1e-5));
  check_same(all, rmsnorm(xs, weight, 0.1), times(normalized_by_hand(xs, 0.1), weight));
  Value mean = 0.0;
  for (const Value& x : xs) mean += x / 5.0;
  Values centred;
  for (const Value& x : xs) centred.push_back(x - mean);
  check_same(xs, layernorm(xs), normalized_by_hand(centred, 1e-5));
  Values shifted = times(normalized_by_hand(centred, 1e-5), weight);
  for (std::size_t k = 0; k < shifted.size(); ++k) shifted[k] += bias[k];
  check_same(all, layernorm(xs, weight, bias), shifted);
}

TEST_CASE("losses") {
  const Values xs = random_values(6, 11), targets = random_values(6, 12);
  Value squares = 0.0;
  for (std::size_t k = 0; k < 6; ++k) squares += pow(xs[k] - targets[k], 2) / 6.0;
  Values all = xs;
  all.insert(all.end(), targets.begin(), targets.end());
  check_same(all, {mse_loss(xs, targets)}, {squares});
  const Values signs = values({1, -1, -1, 1, 1, -1});
  Value hinge = 0.0, binary = 0.0, entropy = 0.0;
  for (std::size_t k = 0; k < 6; ++k) {
    hinge += relu(1.0 - signs[k] * xs[k]) / 6.0;
    const Value p = sigmoid(xs[k]);
    binary -= (targets[k] * log(p) + (1.0 - targets[k]) * log(1.0 - p)) / 6.0;
    entropy -= targets[k] * log(softmax_by_hand(xs)[k]);
  }
  check_same(xs, {hinge_loss(xs, signs)}, {hinge});
  check_same(all, {binary_cross_entropy_with_logits(xs, targets)}, {binary});
  check_same(all, {cross_entropy(xs, targets)}, {entropy});
  for (std::size_t k = 0; k < 6; ++k)
    check_same(xs, {cross_entropy(xs, k)}, {-log(softmax_by_hand(xs)[k])});
}

TEST_CASE("a hinge has no derivative at its kink") {
  const Values xs = values({1.0});
  hinge_loss(xs, values({1.0})).backward();
  CHECK(xs[0].grad() == 0.0);
}

TEST_CASE("a sure cross entropy keeps its digits") {
  const Values xs = values({50.0, 0.0});
  const Value loss = cross_entropy(xs, 0);
  CHECK(loss.data() == doctest::Approx(std::exp(-50.0)).epsilon(1e-14));
  loss.backward();
  CHECK(xs[0].grad() == doctest::Approx(-std::exp(-50.0)).epsilon(1e-14));
}

TEST_CASE("nothing gives nothing") {
  CHECK(linear({}, {}).empty());
  CHECK(softmax({}).empty());
  CHECK(rmsnorm({}).empty());
  CHECK(layernorm({}).empty());
  CHECK(std::isnan(mse_loss({}, {}).data()));
  CHECK(numbers(linear(std::vector<Values>(2), {})) == std::vector<double>{0.0, 0.0});
}

TEST_CASE("lengths that do not fit are refused") {
  const Values two = values({1, 2}), three = values({1, 2, 3});
  CHECK_THROWS_AS(linear(std::vector<Values>{two, three}, two), std::invalid_argument);
  CHECK_THROWS_AS(linear(std::vector<Values>{two}, two, two), std::invalid_argument);
  CHECK_THROWS_AS(rmsnorm(two, three), std::invalid_argument);
  CHECK_THROWS_AS(layernorm(two, {}, three), std::invalid_argument);
  CHECK_THROWS_AS(mse_loss(two, three), std::invalid_argument);
  CHECK_THROWS_AS(cross_entropy(two, three), std::invalid_argument);
  CHECK_THROWS_AS(cross_entropy(two, std::size_t{2}), std::invalid_argument);
}

TEST_CASE("layers leave nothing behind, nor do those that an arena has no room for") {
  const auto layer = [](Tape& tape, const Row& xs, Row& out) {
    layers::softmax(tape, xs, out);
    layers::layernorm(tape, xs, &xs, &xs, 1e-5, out);
    layers::mse_loss(tape, xs, Reduction::none, out);
    layers::hinge_loss(tape, xs, xs, Reduction::mean, out);
    layers::binary_cross_entropy(tape, xs, xs, Reduction::sum, out);
    layers::cross_entropy(tape, xs, 1, out);
    layers::cross_entropy(tape, xs, xs, out);
  };
  Tape tape(2 * NodePool::size);
  Row xs(tape);
  xs.reserve(4);
  for (int k = 0; k < 4; ++k) xs.adopt({tape.leaf(k), static_cast<double>(k)});
  {
    Row out(tape);
    layer(tape, xs, out);
  }
  CHECK(tape.pool().alive() == 4);
  // Room for one node more each time: each of them is the first to find none.
  const Index operand = xs[0].node;
  std::vector<Index> filling;
  for (Index k = 0; k < NodePool::size; ++k) filling.push_back(tape.record<op<"neg">()>(operand));
  for (bool fits = false; !fits; filling.pop_back()) {
    const std::size_t alive = tape.pool().alive();
    try {
      Row out(tape);
      layer(tape, xs, out);
      fits = true;
    } catch (const ArenaFull&) {
    }
    REQUIRE(tape.pool().alive() == alive);
    tape.release(filling.back());
  }
  CHECK(filling.size() < NodePool::size - 60);
  for (const Index i : filling) tape.release(i);
  CHECK(tape.pool().alive() == 4);
}

TEST_CASE("of symbols they are what they are of values, to the second derivative") {
  // All of them, of numbers in a row, in rows of either kind.
  const auto all = [](auto& engine, const auto& xs, auto& out) {
    layers::softmax(engine, xs, out);
    layers::log_softmax(engine, xs, out);
    layers::rmsnorm(engine, xs, &xs, 1e-5, out);
    layers::layernorm(engine, xs, &xs, &xs, 1e-5, out);
    layers::mse_loss(engine, xs, Reduction::none, out);
    layers::mse_loss(engine, xs, Reduction::mean, out);
    layers::hinge_loss(engine, xs, xs, Reduction::mean, out);
    layers::binary_cross_entropy(engine, xs, xs, Reduction::sum, out);
    layers::cross_entropy(engine, xs, 1, out);
    layers::cross_entropy(engine, xs, xs, out);
  };
  struct Result {
    std::vector<double> primals, slopes, bends;
  };
  const auto of_symbols = [&](const std::vector<double>& at, const std::vector<double>& along) {
    Recording recording;
    Recording::current = &recording;
    SymbolRow xs(recording), out(recording);
    std::vector<ValueId> inputs;
    for (const double x : at) {
      inputs.push_back(recording.input(x));
      xs.add(Symbol::at(recording, inputs.back()));
    }
    all(recording, xs, out);
    Result result;
    Symbol total = 0.0;
    for (std::size_t k = 0; k < out.size(); ++k) {
      result.primals.push_back(out[k].primal());
      total = total + out[k] * (1.0 + static_cast<double>(k));
    }
    const ActiveRange range(recording, inputs, recording.size());
    ReverseSweep<Symbol> sweep(range);
    sweep.seed(total.place(), Symbol(1.0));
    sweep.run();
    std::vector<Symbol> slopes;
    for (const ValueId input : inputs) {
      slopes.push_back(sweep.adjoint(input));
      result.slopes.push_back(slopes.back().primal());
    }
    const ActiveRange whole(recording, inputs, recording.size());
    ForwardSweep<double> forward(whole, 1);
    for (std::size_t k = 0; k < inputs.size(); ++k) forward.seed(inputs[k], 0, along[k]);
    forward.run();
    for (const Symbol& slope : slopes) result.bends.push_back(forward.tangent(slope.place(), 0));
    Recording::current = nullptr;
    return result;
  };
  const auto of_values = [&](const std::vector<double>& at) {
    const Values xs = values(at);
    Row row(Value::tape()), out(Value::tape());
    for (const Value& x : xs) row.add(Value::argument(x));
    all(Value::tape(), row, out);
    const Values ys = tapegrad::detail::values_of(out);
    weighted(ys).backward();
    Result result{numbers(ys), {}, {}};
    for (const Value& x : xs) result.slopes.push_back(x.grad());
    return result;
  };
  const std::vector<double> at = {0.3, -1.2, 2.5, 0.9}, along = {0.7, -0.4, 1.1, 0.2};
  const Result symbols = of_symbols(at, along), wanted = of_values(at);
  REQUIRE(symbols.primals.size() == wanted.primals.size());
  for (std::size_t k = 0; k < wanted.primals.size(); ++k)
    CHECK(symbols.primals[k] == doctest::Approx(wanted.primals[k]).epsilon(1e-13));
  const double step = 1e-5;
  std::vector<double> above = at, below = at;
  for (std::size_t k = 0; k < at.size(); ++k) {
    above[k] += step * along[k];
    below[k] -= step * along[k];
  }
  const Result more = of_values(above), less = of_values(below);
  for (std::size_t k = 0; k < at.size(); ++k) {
    CHECK(symbols.slopes[k] == doctest::Approx(wanted.slopes[k]).epsilon(1e-13));
    CHECK(symbols.bends[k] ==
          doctest::Approx((more.slopes[k] - less.slopes[k]) / (2.0 * step)).epsilon(1e-7));
  }
}

TEST_CASE("the largest of symbols is found anew by the program, and gives a plain 0") {
  Recording recording;
  Recording::current = &recording;
  SymbolRow xs(recording), shifted(recording);
  for (const double x : {1.0, 3.0, 2.0}) xs.add(Symbol::at(recording, recording.input(x)));
  subtract_largest(recording, xs, shifted);
  CHECK(shifted[1].primal() == 0.0);
  CHECK(shifted[0].primal() == -2.0);
  for (const Symbol& x : shifted) CHECK(recording[x.place()].op == op<"where">());
  Recording::current = nullptr;
}
