// Optimizers: update rules that move parameters along their gradients, all parameters in one call.
//
//   // parameters: std::vector<tapegrad::Value>, loss: tapegrad::Value
//   tapegrad::optim::Optimizer adam(parameters, tapegrad::optim::Adam{.lr = 0.01});
//   loss.backward();
//   adam.step();
//   adam.zero_grad();
//
// Names, defaults and formulas are PyTorch's. Options are not checked.
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

/// A number for each parameter that an update rule keeps from step to step, such as a momentum.
struct Buffer {
  /// The numbers; none before prepare() allocates them.
  std::vector<double> numbers;
  /// Whether a step has written to the buffer.
  bool begun = false;
};

/// The largest number of buffers that an update rule can have.
inline constexpr std::size_t most_buffers = 3;

/// The state of an update rule for a group of parameters.
struct State {
  /// The number of parameters.
  std::size_t count = 0;
  /// The number of steps taken.
  std::size_t steps = 0;
  /// The rule's buffers, in the order of Rule::buffers.
  std::array<Buffer, most_buffers> buffers = {};
};

/// A contiguous copy of some parameters, on which an update rule works. A block fits into the
/// first-level cache, and the compiler vectorises the loops over it.
struct ParameterBlock {
  /// The largest number of parameters in a block.
  static constexpr std::size_t size = 64;
  /// The number of parameters in this block.
  std::size_t count;
  /// The numbers to update.
  double primal[size];
  /// The gradients. The update may overwrite them; the parameters keep theirs.
  double grad[size];
  /// For each buffer that the rule needs, its numbers for these parameters.
  double* buffer[most_buffers];
};

namespace detail {

// Adds `factor` times x to `to`.
inline void add_scaled(double* to, double factor, const double* x, std::size_t count) {
  for (std::size_t k = 0; k < count; ++k) to[k] += factor * x[k];
}

// Replaces a by a + weight * (b - a); exactly by b if the weight is 1.
inline void lerp(double* a, const double* b, double weight, std::size_t count) {
  if (weight < 0.5)
    for (std::size_t k = 0; k < count; ++k) a[k] += weight * (b[k] - a[k]);
  else
    for (std::size_t k = 0; k < count; ++k) a[k] = b[k] - (b[k] - a[k]) * (1.0 - weight);
}

// Updates an exponential moving average of the squares of x.
inline void average_squares(double* average, double decay, const double* x, std::size_t count) {
  const double weight = 1.0 - decay;
  for (std::size_t k = 0; k < count; ++k) average[k] = average[k] * decay + weight * x[k] * x[k];
}

// Replaces the gradients by those that the update uses: negated to maximise, then with weight decay
// as the gradient of an L2 penalty.
inline void orient(ParameterBlock& block, bool maximize, double weight_decay) {
  if (maximize)
    for (std::size_t k = 0; k < block.count; ++k) block.grad[k] = -block.grad[k];
  if (weight_decay != 0.0) add_scaled(block.grad, weight_decay, block.primal, block.count);
}

}  // namespace detail

// An update rule is a struct of options with these members:
//   buffers      the names of its buffers, those of PyTorch's state_dict()
//   needs(k)     whether the options need buffer k
//   initial(k)   the number that buffer k starts with
//   at(state)    the update of the next step: a function that updates one ParameterBlock
//
// In the formulas below, p is a parameter and g its gradient, negated if `maximize` is true, plus
// weight_decay * p.

/// Stochastic gradient descent with momentum and Nesterov's variant (Sutskever, Martens, Dahl &
/// Hinton 2013), in PyTorch's form.
///
/// A step computes p -= lr * g. With momentum it computes b = momentum * b + (1 - dampening) * g
/// and p -= lr * b, or with `nesterov` p -= lr * (g + momentum * b). The first step sets b = g.
///
///     const tapegrad::optim::SGD rule{.lr = 0.1, .momentum = 0.9};
///     tapegrad::optim::Optimizer sgd(parameters, rule);
struct SGD {
  /// The options; `lr` is the learning rate.
  double lr = 1e-3, momentum = 0.0, dampening = 0.0, weight_decay = 0.0;
  bool nesterov = false, maximize = false;

  /// The names of the buffers.
  static constexpr std::array<std::string_view, 1> buffers = {"momentum_buffer"};
  /// Returns whether the options need this buffer.
  bool needs(std::size_t) const { return momentum != 0.0; }
  /// Returns the number that this buffer starts with.
  double initial(std::size_t) const { return 0.0; }

  /// Returns the update of the next step, a function of a ParameterBlock&.
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

/// Adam (Kingma & Ba 2015); with `amsgrad` AMSGrad (Reddi, Kale & Kumar 2018); with
/// `decoupled_weight_decay` AdamW (Loshchilov & Hutter 2019), whose weight decay is 0.01 by default
/// in PyTorch and 0 here.
///
/// Step t, counted from 1, computes m = beta1 * m + (1 - beta1) * g and
/// v = beta2 * v + (1 - beta2) * g^2, and then
/// p -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps). AMSGrad uses the largest v so
/// far. With decoupled weight decay, g has no decay term. The step then first subtracts
/// lr * weight_decay * p from p.
///
///     tapegrad::optim::Optimizer adam(parameters, tapegrad::optim::Adam{.lr = 0.01});
struct Adam {
  /// The options; `lr` is the learning rate.
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.0;
  bool amsgrad = false, maximize = false, decoupled_weight_decay = false;

  /// The names of the buffers.
  static constexpr std::array<std::string_view, 3> buffers = {"exp_avg", "exp_avg_sq",
                                                              "max_exp_avg_sq"};
  /// Returns whether the options need this buffer.
  bool needs(std::size_t k) const { return k < 2 || amsgrad; }
  /// Returns the number that this buffer starts with.
  double initial(std::size_t) const { return 0.0; }

  /// Returns the update of the next step, a function of a ParameterBlock&.
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
        for (std::size_t k = 0; k < block.count; ++k)  // a NaN stays
          most[k] = most[k] >= square[k] || most[k] != most[k] ? most[k] : square[k];
        square = most;
      }
      for (std::size_t k = 0; k < block.count; ++k)
        block.primal[k] -= step_size * mean[k] / (std::sqrt(square[k]) / root_correction + eps);
    };
  }
};

/// RMSprop (Tieleman & Hinton 2012); with `centered` the variant of Graves 2013, in which, as in
/// PyTorch, eps is added to the root and not under it.
///
/// A step computes v = alpha * v + (1 - alpha) * g^2 and p -= lr * g / (sqrt(v) + eps). With
/// momentum it computes b = momentum * b + g / (sqrt(v) + eps) and p -= lr * b. The centred variant
/// replaces v under the root by v - m^2, where m = alpha * m + (1 - alpha) * g.
///
///     tapegrad::optim::Optimizer rmsprop(parameters, tapegrad::optim::RMSprop{.lr = 0.01});
struct RMSprop {
  /// The options; `lr` is the learning rate.
  double lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0.0, momentum = 0.0;
  bool centered = false, maximize = false;

  /// The names of the buffers.
  static constexpr std::array<std::string_view, 3> buffers = {"square_avg", "grad_avg",
                                                              "momentum_buffer"};
  /// Returns whether the options need this buffer.
  bool needs(std::size_t k) const {
    return k == 0 || (k == 1 && centered) || (k == 2 && momentum > 0.0);
  }
  /// Returns the number that this buffer starts with.
  double initial(std::size_t) const { return 0.0; }

  /// Returns the update of the next step, a function of a ParameterBlock&.
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

/// Adagrad (Duchi, Hazan & Singer 2011).
///
/// Step t, counted from 1, computes s = s + g^2, where s starts as initial_accumulator_value, and
/// p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps).
///
///     tapegrad::optim::Optimizer adagrad(parameters, tapegrad::optim::Adagrad{.lr = 0.1});
struct Adagrad {
  /// The options; `lr` is the learning rate.
  double lr = 1e-2, lr_decay = 0.0, weight_decay = 0.0, initial_accumulator_value = 0.0,
         eps = 1e-10;
  bool maximize = false;

  /// The names of the buffers.
  static constexpr std::array<std::string_view, 1> buffers = {"sum"};
  /// Returns whether the options need this buffer.
  bool needs(std::size_t) const { return true; }
  /// Returns the number that this buffer starts with.
  double initial(std::size_t) const { return initial_accumulator_value; }

  /// Returns the update of the next step, a function of a ParameterBlock&.
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

/// Allocates the buffers that the rule needs, so that a step cannot fail. Call it again if the
/// options have changed. Throws std::bad_alloc.
template <class Rule>
void prepare(const Rule& rule, State& state) {
  for (std::size_t b = 0; b < Rule::buffers.size(); ++b)
    if (rule.needs(b) && state.buffers[b].numbers.empty())
      state.buffers[b].numbers.assign(state.count, rule.initial(b));
}

/// Updates the parameters of a group by one step of the rule. Reads the adjoints of the nodes and
/// replaces their primals.
///
/// `node_at` is a function: node_at(k) is the index of the k-th parameter's node on `tape`. No two
/// parameters may have the same node. prepare() must have been called for the rule and the state.
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

/// Returns the norm of the gradients of `count` nodes, of which node_at(k) is the k-th; 0 for none.
/// `order` is the p of the p-norm. Infinity gives the largest magnitude, -infinity the smallest,
/// and 0 the number of gradients that are not 0. If a gradient is NaN, the norm is NaN, except that
/// of order 0.
template <class NodeAt>
double grad_norm(const Tape& tape, std::size_t count, NodeAt node_at, double order = 2.0) {
  const auto fold = [&](double start, auto combine) {
    for (std::size_t k = 0; k < count; ++k)
      start = combine(start, std::fabs(tape.link(node_at(k)).adjoint));
    return start;
  };
  // A NaN stays.
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

/// Multiplies the gradients of nodes by max_norm / (norm + 1e-6), if that is less than 1. `norm` is
/// the result of grad_norm() for the same nodes. If it is NaN, all gradients become NaN.
template <class NodeAt>
void clip_grad_norm(Tape& tape, std::size_t count, NodeAt node_at, double max_norm, double norm) {
  const double factor = max_norm / (norm + 1e-6);
  const double scale = factor > 1.0 ? 1.0 : factor;
  for (std::size_t k = 0; k < count; ++k) tape.link(node_at(k)).adjoint *= scale;
}

/// Limits each gradient to the interval from -limit to limit. NaN stays NaN.
template <class NodeAt>
void clip_grad_value(Tape& tape, std::size_t count, NodeAt node_at, double limit) {
  for (std::size_t k = 0; k < count; ++k) {
    double& grad = tape.link(node_at(k)).adjoint;
    if (grad < -limit) grad = -limit;
    if (grad > limit) grad = limit;
  }
}

/// An update rule together with the parameters that it moves. The optimizer keeps the parameters
/// alive. It belongs to the thread that created them.
///
///     tapegrad::Value x = 0.0;
///     tapegrad::optim::Optimizer sgd(std::vector{x}, tapegrad::optim::SGD{.lr = 0.25});
///     for (int k = 0; k < 20; ++k) {
///       sgd.zero_grad();
///       pow(x - 3.0, 2.0).backward();
///       sgd.step();
///     }
///     // x.data() is near 3
template <class Rule>
class Optimizer {
 public:
  /// Creates an optimizer of these parameters. Each node may be given once.
  Optimizer(std::vector<Value> parameters, Rule rule = {})
      : rule(rule), parameters_(std::move(parameters)), state_{.count = parameters_.size()} {}

  /// Updates the data of all parameters by one step of the rule. Throws std::bad_alloc if the rule
  /// needs a buffer that does not exist yet and memory runs out; no parameter has then changed.
  void step() {
    prepare(rule, state_);
    optim::step(Value::tape(), rule, state_, node_at());
  }
  /// Sets the gradients of all parameters to 0.
  void zero_grad() {
    for (Value& parameter : parameters_) parameter.set_grad(0.0);
  }
  /// Scales the gradients so that their norm is at most `max_norm`, and returns the norm before.
  /// For `order` see grad_norm().
  double clip_grad_norm(double max_norm, double order = 2.0) {
    const double norm = grad_norm(Value::tape(), parameters_.size(), node_at(), order);
    optim::clip_grad_norm(Value::tape(), parameters_.size(), node_at(), max_norm, norm);
    return norm;
  }
  /// Limits each gradient to the interval from -limit to limit.
  void clip_grad_value(double limit) {
    optim::clip_grad_value(Value::tape(), parameters_.size(), node_at(), limit);
  }

  /// Returns the parameters. The span is valid while the optimizer lives and is not assigned to.
  std::span<const Value> parameters() const noexcept { return parameters_; }
  /// Returns the number of steps taken and the buffers.
  const State& state() const noexcept { return state_; }

  /// The rule. Its options may change between steps.
  Rule rule;

 private:
  auto node_at() const {
    return [this](std::size_t k) { return parameters_[k].node(); };
  }

  std::vector<Value> parameters_;
  State state_;
};

}  // namespace tapegrad::optim
