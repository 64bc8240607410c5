// Layers and losses of neural networks over Values.
//
//   // w: std::vector<std::vector<Value>>, x and b: std::vector<Value>, target: std::size_t
//   std::vector<tapegrad::Value> logits = tapegrad::linear(w, x, b);
//   tapegrad::Value loss = tapegrad::cross_entropy(logits, target);
//   loss.backward();
//
// Functions record on this thread's tape. Results and derivatives agree with PyTorch's. Sums run
// from left to right. Functions throw std::invalid_argument for lengths that do not fit, and
// ArenaFull when the tape is full.
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

// Returns these nodes as a Row: a sequence of nodes and numbers that owns its nodes.
inline Row row_of(std::span<const Value> xs) {
  Row row(Value::tape());
  row.reserve(xs.size());
  for (const Value& x : xs) row.add(Value::argument(x));
  return row;
}

// Moves the nodes of a row into Values. A plain number becomes a leaf.
inline std::vector<Value> values_of(Row& row) {
  std::vector<Value> values;
  values.reserve(row.size());
  for (std::size_t k = 0; k < row.size(); ++k) {
    const Argument item = row.take(k);
    values.push_back(item.node != no_node ? Value::adopt(item.node) : Value(item.primal));
  }
  return values;
}

// Throws std::invalid_argument, with `what` in the message, unless `count` is `wanted`.
inline void check_lengths(const char* what, std::size_t count, std::size_t wanted) {
  if (count != wanted)
    throw std::invalid_argument(std::string(what) + ": " + std::to_string(count) +
                                " elements for " + std::to_string(wanted));
}

// Calls layer(xs, weight, bias, out) with rows of these Values, null for an empty weight or bias,
// and returns `out`.
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

// Returns the Value for the one result that loss(out) appends. Checks first that xs and targets
// have the same length.
template <class Loss>
Value reduced(const char* name, std::span<const Value> xs, std::span<const Value> targets,
              Loss loss) {
  check_lengths(name, targets.size(), xs.size());
  Row out(Value::tape());
  loss(out);
  return std::move(values_of(out)[0]);
}

}  // namespace detail

/// Returns w x + b, the output of a fully connected layer, one node for each row of w.
/// `w` has the rows of the weight matrix, each of the length of `x`. `b` has one number for each
/// row. An empty `b` means no bias. Throws std::invalid_argument if a length does not fit.
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
/// Returns the product w x of a matrix, given by its rows, and a vector. Throws
/// std::invalid_argument if a row has another length than `x`.
inline std::vector<Value> matvec(std::span<const std::vector<Value>> w, std::span<const Value> x) {
  return linear(w, x);
}

/// Returns the logarithm of the sum of the exponentials of `xs`, computed without overflow and
/// recorded as one node; -inf for no operands.
inline Value logsumexp(std::span<const Value> xs) {
  const Argument result = apply<op<"logsumexp">()>(Value::tape(), detail::row_of(xs));
  return result.node != no_node ? Value::adopt(result.node) : Value(result.primal);
}
/// Returns logsumexp(xs) - xs[0], which is -log(softmax(xs)[0]): the cross-entropy of logits whose
/// first is the target, recorded as one node. Throws std::invalid_argument for no operands.
inline Value surprisal(std::span<const Value> xs) {
  if (xs.empty()) throw std::invalid_argument("surprisal: no number");
  const Argument result = apply<op<"surprisal">()>(Value::tape(), detail::row_of(xs));
  return Value::adopt(result.node);
}
/// Returns exp(x) / sum(exp(xs)) for each x of `xs`, computed without overflow. The results are NaN
/// if a number is +inf or all are -inf, as in PyTorch.
inline std::vector<Value> softmax(std::span<const Value> xs) {
  Row out(Value::tape());
  layers::softmax(Value::tape(), detail::row_of(xs), out);
  return detail::values_of(out);
}
/// Returns x - logsumexp(xs) for each x of `xs`, more accurate than log(softmax(xs)). The results
/// are NaN if a number is +inf or all are -inf, as in PyTorch.
inline std::vector<Value> log_softmax(std::span<const Value> xs) {
  Row out(Value::tape());
  layers::log_softmax(Value::tape(), detail::row_of(xs), out);
  return detail::values_of(out);
}

/// Returns x / sqrt(mean(xs^2) + eps) for each x of `xs`, times its weight: root mean square layer
/// normalisation (Zhang & Sennrich 2019). The result is accurate also for numbers whose squares
/// overflow or underflow.
///
/// `weight` has one factor for each number. An empty `weight` means no factors. Throws
/// std::invalid_argument if its length does not fit.
inline std::vector<Value> rmsnorm(std::span<const Value> xs, std::span<const Value> weight = {},
                                  double eps = 1e-5) {
  return detail::normalized("rmsnorm", xs, weight, {},
                            [eps](const Row& row, const Row* weights, const Row*, Row& out) {
                              layers::rmsnorm(Value::tape(), row, weights, eps, out);
                            });
}
/// Returns (x - mean(xs)) / sqrt(var(xs) + eps) for each x of `xs`, times its weight, plus its
/// bias: layer normalisation (Ba, Kiros & Hinton 2016). var() is the mean of the squared
/// differences from the mean. The result is accurate also for numbers whose squares overflow or
/// underflow.
///
/// `weight` has one factor and `bias` one summand for each number. An empty `weight` means no
/// factors, and an empty `bias` no summands. Throws std::invalid_argument if a length does not fit.
inline std::vector<Value> layernorm(std::span<const Value> xs, std::span<const Value> weight = {},
                                    std::span<const Value> bias = {}, double eps = 1e-5) {
  return detail::normalized("layernorm", xs, weight, bias,
                            [eps](const Row& row, const Row* weights, const Row* biases, Row& out) {
                              layers::layernorm(Value::tape(), row, weights, biases, eps, out);
                            });
}

/// Returns the mean of the squared differences of predictions and targets; NaN for empty sequences.
/// Throws std::invalid_argument for sequences of different lengths.
inline Value mse_loss(std::span<const Value> predictions, std::span<const Value> targets) {
  return detail::reduced("mse_loss", predictions, targets, [&](Row& out) {
    Row both = detail::row_of(predictions);
    for (const Value& target : targets) both.add(Value::argument(target));
    layers::mse_loss(Value::tape(), both, Reduction::mean, out);
  });
}
/// Returns the mean of max(0, 1 - target * score), with targets of 1 or -1; NaN for empty
/// sequences. Throws std::invalid_argument for sequences of different lengths.
inline Value hinge_loss(std::span<const Value> scores, std::span<const Value> targets) {
  return detail::reduced("hinge_loss", scores, targets, [&](Row& out) {
    layers::hinge_loss(Value::tape(), detail::row_of(scores), detail::row_of(targets),
                       Reduction::mean, out);
  });
}
/// Returns the mean of -(t log(p) + (1 - t) log(1 - p)) over logits and targets t, where p is the
/// sigmoid of the logit and t a probability in [0, 1]; NaN for empty sequences. Throws
/// std::invalid_argument for sequences of different lengths.
inline Value binary_cross_entropy_with_logits(std::span<const Value> logits,
                                              std::span<const Value> targets) {
  return detail::reduced("binary_cross_entropy_with_logits", logits, targets, [&](Row& out) {
    layers::binary_cross_entropy(Value::tape(), detail::row_of(logits), detail::row_of(targets),
                                 Reduction::mean, out);
  });
}
/// Returns -log(softmax(logits)[target]), the cross-entropy of a target class, recorded as one
/// node. `target` is the index of the class. Throws std::invalid_argument if it is not below the
/// number of logits.
inline Value cross_entropy(std::span<const Value> logits, std::size_t target) {
  if (target >= logits.size()) throw std::invalid_argument("cross_entropy: no such class");
  Row out(Value::tape());
  layers::cross_entropy(Value::tape(), detail::row_of(logits), target, out);
  return std::move(detail::values_of(out)[0]);
}
/// Returns -sum(targets * log_softmax(logits)), the cross-entropy of target probabilities. A class
/// with the logit -inf and the target 0 contributes 0. Throws std::invalid_argument for sequences
/// of different lengths.
inline Value cross_entropy(std::span<const Value> logits, std::span<const Value> targets) {
  return detail::reduced("cross_entropy", logits, targets, [&](Row& out) {
    layers::cross_entropy(Value::tape(), detail::row_of(logits), detail::row_of(targets), out);
  });
}

}  // namespace tapegrad
