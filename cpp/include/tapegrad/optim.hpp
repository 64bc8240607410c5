// Rules by which parameters move along their gradients, all of them in one call.
//
//   tapegrad::optim::Optimizer adam(parameters, tapegrad::optim::Adam{.lr = 0.01});
//   loss.backward();
//   adam.step();
//   adam.zero_grad();
//
// Names, defaults and formulas are PyTorch's.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tapegrad/value.hpp"

namespace tapegrad::optim {

// One number for each parameter, kept from step to step.
struct Buffer {
  std::vector<double> numbers;
  bool begun = false;  // whether a step has written to it
};

inline constexpr std::size_t most_buffers = 3;

// What a rule remembers of a group of parameters.
struct State {
  std::size_t count = 0;  // of parameters
  std::size_t steps = 0;
  std::array<Buffer, most_buffers> buffers = {};
};

// Some of the parameters side by side: few enough for the nearest cache, and for loops that the
// compiler can vectorise.
struct ParameterBlock {
  static constexpr std::size_t size = 64;
  std::size_t count;
  double primal[size];
  double grad[size];
  double* buffer[most_buffers];
};

namespace detail {

inline void add_scaled(double* to, double factor, const double* x, std::size_t count) {
  for (std::size_t k = 0; k < count; ++k) to[k] += factor * x[k];
}

// From a to b by the weight; exactly b where that is 1.
inline void lerp(double* a, const double* b, double weight, std::size_t count) {
  if (weight < 0.5)
    for (std::size_t k = 0; k < count; ++k) a[k] += weight * (b[k] - a[k]);
  else
    for (std::size_t k = 0; k < count; ++k) a[k] = b[k] - (b[k] - a[k]) * (1.0 - weight);
}

inline void average_squares(double* average, double decay, const double* x, std::size_t count) {
  const double weight = 1.0 - decay;
  for (std::size_t k = 0; k < count; ++k) average[k] = average[k] * decay + weight * x[k] * x[k];
}

// The gradient that a rule sees.
inline void orient(ParameterBlock& block, bool maximize, double weight_decay) {
  if (maximize)
    for (std::size_t k = 0; k < block.count; ++k) block.grad[k] = -block.grad[k];
  if (weight_decay != 0.0) add_scaled(block.grad, weight_decay, block.primal, block.count);
}

}  // namespace detail

// A rule has its options, the names of its buffers, which of them the options need and what they
// begin with, and at(): the update of one ParameterBlock in the step of this number.

struct SGD {
  double lr = 1e-3, momentum = 0.0, dampening = 0.0, weight_decay = 0.0;
  bool nesterov = false, maximize = false;

  static constexpr std::array<std::string_view, 1> buffers = {"momentum_buffer"};
  bool needs(std::size_t) const { return momentum != 0.0; }
  double initial(std::size_t) const { return 0.0; }

  auto at(const State& state) const {
    return [*this, begun = state.buffers[0].begun](ParameterBlock& block) {
      detail::orient(block, maximize, weight_decay);
      const double* direction = block.grad;
      if (momentum != 0.0) {
        double* buffer = block.buffer[0];
        if (begun)
          for (std::size_t k = 0; k < block.count; ++k)
            buffer[k] = buffer[k] * momentum + (1.0 - dampening) * block.grad[k];
        else std::copy_n(block.grad, block.count, buffer);
        if (nesterov) detail::add_scaled(block.grad, momentum, buffer, block.count);
        else direction = buffer;
      }
      detail::add_scaled(block.primal, -lr, direction, block.count);
    };
  }
};

// Kingma & Ba 2015; with `amsgrad` Reddi et al. 2018; with `decoupled_weight_decay` AdamW,
// Loshchilov & Hutter 2019.
struct Adam {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.0;
  bool amsgrad = false, maximize = false, decoupled_weight_decay = false;

  static constexpr std::array<std::string_view, 3> buffers = {"exp_avg", "exp_avg_sq",
                                                              "max_exp_avg_sq"};
  bool needs(std::size_t k) const { return k < 2 || amsgrad; }
  double initial(std::size_t) const { return 0.0; }

  auto at(const State& state) const {
    const auto step = static_cast<double>(state.steps + 1);
    const double step_size = lr / (1.0 - std::pow(beta1, step));
    const double root_correction = std::sqrt(1.0 - std::pow(beta2, step));
    return [*this, step_size, root_correction](ParameterBlock& block) {
      detail::orient(block, maximize, decoupled_weight_decay ? 0.0 : weight_decay);
      if (decoupled_weight_decay && weight_decay != 0.0)
        for (std::size_t k = 0; k < block.count; ++k) block.primal[k] *= 1.0 - lr * weight_decay;
      double* const mean = block.buffer[0];
      double* square = block.buffer[1];
      detail::lerp(mean, block.grad, 1.0 - beta1, block.count);
      detail::average_squares(square, beta2, block.grad, block.count);
      if (amsgrad) {
        double* const most = block.buffer[2];
        for (std::size_t k = 0; k < block.count; ++k)  // and NaN, once it is there, stays
          most[k] = most[k] >= square[k] || most[k] != most[k] ? most[k] : square[k];
        square = most;
      }
      for (std::size_t k = 0; k < block.count; ++k)
        block.primal[k] -= step_size * mean[k] / (std::sqrt(square[k]) / root_correction + eps);
    };
  }
};

// Tieleman & Hinton 2012; centered: Graves 2013, with the root taken before eps is added.
struct RMSprop {
  double lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0.0, momentum = 0.0;
  bool centered = false, maximize = false;

  static constexpr std::array<std::string_view, 3> buffers = {"square_avg", "grad_avg",
                                                              "momentum_buffer"};
  bool needs(std::size_t k) const {
    return k == 0 || (k == 1 && centered) || (k == 2 && momentum > 0.0);
  }
  double initial(std::size_t) const { return 0.0; }

  auto at(const State&) const {
    return [*this](ParameterBlock& block) {
      detail::orient(block, maximize, weight_decay);
      double* const square = block.buffer[0];
      detail::average_squares(square, alpha, block.grad, block.count);
      double scale[ParameterBlock::size];
      if (centered) {
        double* const mean = block.buffer[1];
        detail::lerp(mean, block.grad, 1.0 - alpha, block.count);
        for (std::size_t k = 0; k < block.count; ++k)
          scale[k] = std::sqrt(square[k] - mean[k] * mean[k]) + eps;
      } else {
        for (std::size_t k = 0; k < block.count; ++k) scale[k] = std::sqrt(square[k]) + eps;
      }
      if (momentum > 0.0) {
        double* const buffer = block.buffer[2];
        for (std::size_t k = 0; k < block.count; ++k)
          buffer[k] = buffer[k] * momentum + block.grad[k] / scale[k];
        detail::add_scaled(block.primal, -lr, buffer, block.count);
      } else {
        for (std::size_t k = 0; k < block.count; ++k)
          block.primal[k] -= lr * block.grad[k] / scale[k];
      }
    };
  }
};

// Duchi, Hazan & Singer 2011.
struct Adagrad {
  double lr = 1e-2, lr_decay = 0.0, weight_decay = 0.0, initial_accumulator_value = 0.0,
         eps = 1e-10;
  bool maximize = false;

  static constexpr std::array<std::string_view, 1> buffers = {"sum"};
  bool needs(std::size_t) const { return true; }
  double initial(std::size_t) const { return initial_accumulator_value; }

  auto at(const State& state) const {
    const double rate = lr / (1.0 + static_cast<double>(state.steps) * lr_decay);
    return [*this, rate](ParameterBlock& block) {
      detail::orient(block, maximize, weight_decay);
      double* const sum = block.buffer[0];
      for (std::size_t k = 0; k < block.count; ++k) sum[k] += block.grad[k] * block.grad[k];
      for (std::size_t k = 0; k < block.count; ++k)
        block.primal[k] -= rate * block.grad[k] / (std::sqrt(sum[k]) + eps);
    };
  }
};

// Makes room for all that the rule needs: afterwards a step cannot fail.
template <class Rule>
void prepare(const Rule& rule, State& state) {
  for (std::size_t b = 0; b < Rule::buffers.size(); ++b)
    if (rule.needs(b) && state.buffers[b].numbers.empty())
      state.buffers[b].numbers.assign(state.count, rule.initial(b));
}

// One step of a prepared state; node_at(k) is the k-th parameter's node.
template <class Rule, class NodeAt>
void step(Tape& tape, const Rule& rule, State& state, NodeAt node_at) noexcept {
  const auto update = rule.at(state);
  ParameterBlock block;
  for (std::size_t begin = 0; begin < state.count; begin += ParameterBlock::size) {
    block.count = (std::min)(ParameterBlock::size, state.count - begin);
    for (std::size_t k = 0; k < block.count; ++k) {
      const Index node = node_at(begin + k);
      block.primal[k] = tape.cell(node).primal;
      block.grad[k] = tape.link(node).adjoint;
    }
    for (std::size_t b = 0; b < Rule::buffers.size(); ++b)
      block.buffer[b] = state.buffers[b].numbers.data() + (rule.needs(b) ? begin : 0);
    update(block);
    for (std::size_t k = 0; k < block.count; ++k)
      tape.cell(node_at(begin + k)).primal = block.primal[k];
  }
  for (std::size_t b = 0; b < Rule::buffers.size(); ++b)
    if (rule.needs(b)) state.buffers[b].begun = true;
  ++state.steps;
}

// The norm of the gradients of nodes, of any order p: infinite ones are the largest and the
// smallest magnitude, and 0 counts what is not zero.
template <class NodeAt>
double grad_norm(const Tape& tape, std::size_t count, NodeAt node_at, double order = 2.0) {
  const auto fold = [&](double start, auto combine) {
    for (std::size_t k = 0; k < count; ++k)
      start = combine(start, std::fabs(tape.link(node_at(k)).adjoint));
    return start;
  };
  // NaN, once there, stays.
  const auto choose = [](double a, double b, bool first) { return first || a != a ? a : b; };
  if (count == 0) return 0.0;
  if (order == 2.0) return std::sqrt(fold(0.0, [](double s, double g) { return s + g * g; }));
  if (order == 1.0) return fold(0.0, [](double s, double g) { return s + g; });
  if (order == 0.0) return fold(0.0, [](double s, double g) { return s + (g != 0.0); });
  if (std::isinf(order) && order > 0.0)
    return fold(0.0, [&](double s, double g) { return choose(s, g, s >= g); });
  if (std::isinf(order))
    return fold(order * order, [&](double s, double g) { return choose(s, g, s <= g); });
  return std::pow(fold(0.0, [&](double s, double g) { return s + std::pow(g, order); }),
                  1.0 / order);
}

// Scales the gradients so that their norm, given, is at most `max_norm`.
template <class NodeAt>
void clip_grad_norm(Tape& tape, std::size_t count, NodeAt node_at, double max_norm, double norm) {
  const double factor = max_norm / (norm + 1e-6);
  const double scale = factor > 1.0 ? 1.0 : factor;
  for (std::size_t k = 0; k < count; ++k) tape.link(node_at(k)).adjoint *= scale;
}

// Brings each gradient between -limit and limit.
template <class NodeAt>
void clip_grad_value(Tape& tape, std::size_t count, NodeAt node_at, double limit) {
  for (std::size_t k = 0; k < count; ++k) {
    double& grad = tape.link(node_at(k)).adjoint;
    if (grad < -limit) grad = -limit;
    if (grad > limit) grad = limit;
  }
}

// Parameters, which it keeps alive, and the rule that moves them: its options may change from step
// to step. A parameter is to be given once.
template <class Rule>
class Optimizer {
 public:
  Optimizer(std::vector<Value> parameters, Rule rule = {})
      : rule(rule), parameters_(std::move(parameters)), state_{.count = parameters_.size()} {}

  void step() {
    prepare(rule, state_);
    optim::step(Value::tape(), rule, state_, node_at());
  }
  void zero_grad() {
    for (Value& parameter : parameters_) parameter.set_grad(0.0);
  }
  // Give the norm of the gradients before they were clipped.
  double clip_grad_norm(double max_norm, double order = 2.0) {
    const double norm = grad_norm(Value::tape(), parameters_.size(), node_at(), order);
    optim::clip_grad_norm(Value::tape(), parameters_.size(), node_at(), max_norm, norm);
    return norm;
  }
  void clip_grad_value(double limit) {
    optim::clip_grad_value(Value::tape(), parameters_.size(), node_at(), limit);
  }

  std::span<const Value> parameters() const noexcept { return parameters_; }
  const State& state() const noexcept { return state_; }

  Rule rule;

 private:
  auto node_at() const {
    return [this](std::size_t k) { return parameters_[k].node(); };
  }

  std::vector<Value> parameters_;
  State state_;
};

}  // namespace tapegrad::optim
