// Layers and losses of neural networks over Values.
//
//   std::vector<tapegrad::Value> hidden = tapegrad::linear(w, x, b);
//   tapegrad::Value loss = tapegrad::cross_entropy(hidden, target);
//   loss.backward();
//
// Values and derivatives are PyTorch's. What is summed is summed from left to right.
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tapegrad/detail/nn/layers.hpp"
#include "tapegrad/value.hpp"

namespace tapegrad {

namespace detail {

inline Row row_of(std::span<const Value> xs) {
  Row row(Value::tape());
  row.reserve(xs.size());
  for (const Value& x : xs) row.add(Value::argument(x));
  return row;
}

inline std::vector<Value> values_of(Row& row) {
  std::vector<Value> values;
  values.reserve(row.size());
  for (std::size_t k = 0; k < row.size(); ++k) {
    const Argument item = row.take(k);
    values.push_back(item.node != no_node ? Value::adopt(item.node) : Value(item.primal));
  }
  return values;
}

inline void check_lengths(const char* what, std::size_t count, std::size_t wanted) {
  if (count != wanted)
    throw std::invalid_argument(std::string(what) + ": " + std::to_string(count) +
                                " elements for " + std::to_string(wanted));
}

// Calls layer(xs, weight, bias, out), null for what is empty.
template <class Layer>
std::vector<Value> normalized(const char* name, std::span<const Value> xs,
                              std::span<const Value> weight, std::span<const Value> bias,
                              Layer layer) {
  for (const auto& given : {weight, bias})
    if (!given.empty()) check_lengths(name, given.size(), xs.size());
  const Row row = row_of(xs), weights = row_of(weight), biases = row_of(bias);
  Row out(Value::tape());
  layer(row, weight.empty() ? nullptr : &weights, bias.empty() ? nullptr : &biases, out);
  return values_of(out);
}

// The reduced loss of two rows of one length.
template <class Loss>
Value reduced(const char* name, std::span<const Value> xs, std::span<const Value> targets,
              Loss loss) {
  check_lengths(name, targets.size(), xs.size());
  Row out(Value::tape());
  loss(out);
  return std::move(values_of(out)[0]);
}

}  // namespace detail

// Layers and losses of Values on this thread's tape; std::invalid_argument for lengths that do not
// fit.

// The rows of w times x, plus b, if any.
inline std::vector<Value> linear(std::span<const std::vector<Value>> w, std::span<const Value> x,
                                 std::span<const Value> b = {}) {
  Tape& tape = Value::tape();
  if (!b.empty()) detail::check_lengths("linear: b", b.size(), w.size());
  OperandListBuilder xs(tape, x.size());
  for (const Value& value : x) xs.add(value.node(), value.data());
  Row out(tape);
  out.reserve(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) {
    detail::check_lengths("linear: a row of w", w[i].size(), x.size());
    OperandListBuilder row(tape, x.size() + (b.empty() ? 0 : 1));
    for (const Value& value : w[i]) row.add(value.node(), value.data());
    if (!b.empty()) row.add_start(Value::argument(b[i]));
    out.adopt(inner_product(tape, row, xs));
  }
  return detail::values_of(out);
}
inline std::vector<Value> matvec(std::span<const std::vector<Value>> w, std::span<const Value> x) {
  return linear(w, x);
}

inline Value logsumexp(std::span<const Value> xs) {
  const Argument result = apply<op<"logsumexp">()>(Value::tape(), detail::row_of(xs));
  return result.node != no_node ? Value::adopt(result.node) : Value(result.primal);
}
// -log of the first one's softmax.
inline Value surprisal(std::span<const Value> xs) {
  if (xs.empty()) throw std::invalid_argument("surprisal: no number");
  const Argument result = apply<op<"surprisal">()>(Value::tape(), detail::row_of(xs));
  return Value::adopt(result.node);
}
inline std::vector<Value> softmax(std::span<const Value> xs) {
  Row out(Value::tape());
  layers::softmax(Value::tape(), detail::row_of(xs), out);
  return detail::values_of(out);
}
inline std::vector<Value> log_softmax(std::span<const Value> xs) {
  Row out(Value::tape());
  layers::log_softmax(Value::tape(), detail::row_of(xs), out);
  return detail::values_of(out);
}

inline std::vector<Value> rmsnorm(std::span<const Value> xs, std::span<const Value> weight = {},
                                  double eps = 1e-5) {
  return detail::normalized("rmsnorm", xs, weight, {},
                            [eps](const Row& row, const Row* weights, const Row*, Row& out) {
                              layers::rmsnorm(Value::tape(), row, weights, eps, out);
                            });
}
inline std::vector<Value> layernorm(std::span<const Value> xs, std::span<const Value> weight = {},
                                    std::span<const Value> bias = {}, double eps = 1e-5) {
  return detail::normalized("layernorm", xs, weight, bias,
                            [eps](const Row& row, const Row* weights, const Row* biases, Row& out) {
                              layers::layernorm(Value::tape(), row, weights, biases, eps, out);
                            });
}

inline Value mse_loss(std::span<const Value> predictions, std::span<const Value> targets) {
  return detail::reduced("mse_loss", predictions, targets, [&](Row& out) {
    Row both = detail::row_of(predictions);
    for (const Value& target : targets) both.add(Value::argument(target));
    layers::mse_loss(Value::tape(), both, Reduction::mean, out);
  });
}
inline Value hinge_loss(std::span<const Value> scores, std::span<const Value> targets) {
  return detail::reduced("hinge_loss", scores, targets, [&](Row& out) {
    layers::hinge_loss(Value::tape(), detail::row_of(scores), detail::row_of(targets),
                       Reduction::mean, out);
  });
}
inline Value binary_cross_entropy_with_logits(std::span<const Value> logits,
                                              std::span<const Value> targets) {
  return detail::reduced("binary_cross_entropy_with_logits", logits, targets, [&](Row& out) {
    layers::binary_cross_entropy(Value::tape(), detail::row_of(logits), detail::row_of(targets),
                                 Reduction::mean, out);
  });
}
inline Value cross_entropy(std::span<const Value> logits, std::size_t target) {
  if (target >= logits.size()) throw std::invalid_argument("cross_entropy: no such class");
  Row out(Value::tape());
  layers::cross_entropy(Value::tape(), detail::row_of(logits), target, out);
  return std::move(detail::values_of(out)[0]);
}
inline Value cross_entropy(std::span<const Value> logits, std::span<const Value> targets) {
  return detail::reduced("cross_entropy", logits, targets, [&](Row& out) {
    layers::cross_entropy(Value::tape(), detail::row_of(logits), detail::row_of(targets), out);
  });
}

}  // namespace tapegrad
