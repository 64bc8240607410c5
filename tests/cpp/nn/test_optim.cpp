#include <tapegrad/optim.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

using doctest::Approx;
using tapegrad::Value;
namespace optim = tapegrad::optim;

namespace {

// So many that there are full blocks and the beginning of one more.
constexpr std::size_t many = 2 * optim::ParameterBlock::size + 7;

std::vector<Value> parameters(std::size_t count) {
  std::vector<Value> made;
  for (std::size_t k = 0; k < count; ++k) made.emplace_back(0.1 * static_cast<double>(k) - 3.0);
  return made;
}

// Gradients that differ by parameter and step, some of them 0.
double gradient(std::size_t k, std::size_t step) {
  return static_cast<double>((7 * k + 3 * step) % 11) - 5.0;
}

// Takes steps with a rule, and by hand: `one(p, g, t, memory)` is the update of one parameter.
template <class Rule, class One>
void check_against(Rule rule, One one) {
  optim::Optimizer optimizer(parameters(many), rule);
  std::vector<double> expected;
  for (const Value& p : optimizer.parameters()) expected.push_back(p.data());
  std::vector<std::array<double, 3>> memory(many);
  for (std::size_t t = 1; t <= 5; ++t) {
    for (std::size_t k = 0; k < many; ++k) {
      Value p = optimizer.parameters()[k];
      p.set_grad(gradient(k, t));
      one(expected[k], gradient(k, t), static_cast<double>(t), memory[k]);
    }
    optimizer.step();
    for (std::size_t k = 0; k < many; ++k)
      CHECK(optimizer.parameters()[k].data() == Approx(expected[k]).epsilon(1e-12));
  }
  CHECK(optimizer.state().steps == 5);
}

}  // namespace

TEST_CASE("plain descent") {
  check_against(optim::SGD{.lr = 0.1}, [](double& p, double g, double, auto&) { p -= 0.1 * g; });
}

TEST_CASE("descent with momentum begins with the gradient itself") {
  const optim::SGD rule{.lr = 0.1, .momentum = 0.9, .dampening = 0.5, .weight_decay = 0.2};
  check_against(rule, [](double& p, double g, double t, auto& memory) {
    g += 0.2 * p;
    memory[0] = t == 1.0 ? g : 0.9 * memory[0] + 0.5 * g;
    p -= 0.1 * memory[0];
  });
}

TEST_CASE("Nesterov's momentum looks ahead") {
  const optim::SGD rule{.lr = 0.1, .momentum = 0.9, .nesterov = true, .maximize = true};
  check_against(rule, [](double& p, double g, double t, auto& memory) {
    memory[0] = t == 1.0 ? -g : 0.9 * memory[0] - g;
    p -= 0.1 * (-g + 0.9 * memory[0]);
  });
}

TEST_CASE("Adam corrects the bias of its averages") {
  const optim::Adam rule{.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .amsgrad = true};
  check_against(rule, [](double& p, double g, double t, auto& memory) {
    memory[0] = 0.8 * memory[0] + 0.2 * g;
    memory[1] = 0.9 * memory[1] + 0.1 * g * g;
    memory[2] = std::fmax(memory[1], memory[2]);
    const double mean = memory[0] / (1.0 - std::pow(0.8, t));
    const double square = memory[2] / (1.0 - std::pow(0.9, t));
    p -= 0.1 * mean / (std::sqrt(square) + 1e-3);
  });
}

TEST_CASE("decoupled weight decay stays out of Adam's averages") {
  optim::Optimizer optimizer(
      std::vector<Value>{4.0},
      optim::Adam{.lr = 0.1, .weight_decay = 0.5, .decoupled_weight_decay = true});
  optimizer.step();
  CHECK(optimizer.parameters()[0].data() == Approx(4.0 * 0.95));
  CHECK(optimizer.state().buffers[0].numbers[0] == 0.0);
}

TEST_CASE("RMSprop, centered and with momentum") {
  const optim::RMSprop rule{
      .lr = 0.1, .alpha = 0.9, .eps = 1e-2, .momentum = 0.5, .centered = true};
  check_against(rule, [](double& p, double g, double, auto& memory) {
    memory[0] = 0.9 * memory[0] + 0.1 * g * g;
    memory[1] = 0.9 * memory[1] + 0.1 * g;
    const double scale = std::sqrt(memory[0] - memory[1] * memory[1]) + 1e-2;
    memory[2] = 0.5 * memory[2] + g / scale;
    p -= 0.1 * memory[2];
  });
}

TEST_CASE("Adagrad divides by all of the gradients so far") {
  const optim::Adagrad rule{.lr = 0.5, .lr_decay = 0.1, .initial_accumulator_value = 2.0};
  check_against(rule, [](double& p, double g, double t, auto& memory) {
    memory[0] += g * g + (t == 1.0 ? 2.0 : 0.0);
    p -= 0.5 / (1.0 + (t - 1.0) * 0.1) * g / (std::sqrt(memory[0]) + 1e-10);
  });
}

TEST_CASE("training finds the least of a function") {
  Value x = 4.0, y = -2.0;
  optim::Optimizer optimizer(std::vector{x, y}, optim::Adam{.lr = 0.1});
  for (int step = 0; step < 500; ++step) {
    optimizer.zero_grad();
    const Value loss = square(x - 1.0) + square(y - 3.0) * 10.0;
    loss.backward();
    optimizer.step();
  }
  CHECK(x.data() == Approx(1.0));
  CHECK(y.data() == Approx(3.0));
}

TEST_CASE("options may change from step to step, and buffers begin when they are needed") {
  optim::Optimizer optimizer(parameters(1), optim::SGD{.lr = 1.0});
  Value p = optimizer.parameters()[0];
  p.set_data(10.0);
  p.set_grad(1.0);
  optimizer.step();
  CHECK(p.data() == 9.0);
  CHECK_FALSE(optimizer.state().buffers[0].begun);
  optimizer.rule.momentum = 0.5;
  optimizer.step();
  CHECK(p.data() == 8.0);
  optimizer.rule.lr = 2.0;
  optimizer.step();
  CHECK(p.data() == 5.0);
}

TEST_CASE("an optimizer keeps its parameters alive") {
  const std::size_t before = Value::tape().pool().alive();
  {
    optim::Optimizer optimizer(parameters(3), optim::SGD{});
    CHECK(Value::tape().pool().alive() == before + 3);
    optimizer.step();
  }
  CHECK(Value::tape().pool().alive() == before);
}

TEST_CASE("no parameters are none to move") {
  optim::Optimizer optimizer({}, optim::RMSprop{});
  optimizer.step();
  CHECK(optimizer.clip_grad_norm(1.0) == 0.0);
}

TEST_CASE("gradients are clipped by their norm") {
  Value x = 1.0, y = 2.0;
  optim::Optimizer optimizer(std::vector{x, y}, optim::SGD{});
  const auto set = [&] { x.set_grad(3.0), y.set_grad(-4.0); };
  set();
  CHECK(optimizer.clip_grad_norm(10.0) == 5.0);
  CHECK(y.grad() == -4.0);
  CHECK(optimizer.clip_grad_norm(1.0) == 5.0);
  CHECK(x.grad() == Approx(0.6));
  set();
  CHECK(optimizer.clip_grad_norm(1.0, std::numeric_limits<double>::infinity()) == 4.0);
  set();
  CHECK(optimizer.clip_grad_norm(1.0, 1.0) == 7.0);
  set();
  optimizer.clip_grad_value(3.5);
  CHECK(x.grad() == 3.0);
  CHECK(y.grad() == -3.5);
  optimizer.zero_grad();
  CHECK(x.grad() == 0.0);
}
