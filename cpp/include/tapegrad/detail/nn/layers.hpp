// Layers and losses of neural networks, as compositions of the table's operations. Each result is a
// node like any other.
//
// Values and derivatives are PyTorch's. Sums run from left to right.
#pragma once

#include <cmath>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tapegrad/detail/nn/rows.hpp"

namespace tapegrad {

// The reduction of the terms of a loss, as in PyTorch.
enum class Reduction { mean, sum, none };

// Layers and losses. Each appends its results to `out`. Arguments may be plain numbers; results of
// plain numbers alone are plain numbers.
namespace layers {

// Each function is a template over the type of its rows: Row or, for a recording, SymbolRow.
template <class Row>
using Engine = typename Row::Engine;
template <class Row>
using Items = std::span<const typename Row::Item>;
template <class Row>
using OwnedNumber = typename Row::OwnedNumber;

namespace detail {

// Appends total / count.
template <class Row>
void add_mean(Engine<Row>& engine, const typename Row::Item& total, std::size_t count, Row& out) {
  out.adopt(apply<op<"div">()>(engine, total, Row::number(static_cast<double>(count))));
}

// The bounds between which the mean of squares + eps is ordinary: its powers have no derivative, up
// to the third, that overflows or underflows.
inline constexpr double most_ordinary = 0x1p256, least_ordinary = 0x1p-256;
enum class Size { ordinary, huge, tiny };

// Appends x / sqrt(mean of squares + eps) for each x if that mean + eps is ordinary. Otherwise it
// appends nothing and returns the other size.
template <class Row>
Size normalize_ordinary(Engine<Row>& engine, Items<Row> xs, double eps, Row& out) {
  const auto count = static_cast<double>(xs.size());
  const OwnedNumber<Row> squares(engine, sum_of_squares(engine, xs));
  const OwnedNumber<Row> mean(engine, apply<op<"div">()>(engine, squares, Row::number(count)));
  const OwnedNumber<Row> shifted(engine, apply<op<"add">()>(engine, mean, Row::number(eps)));
  if (eps >= 0.0 && std::isfinite(eps)) {
    if (!is_less(engine, shifted, most_ordinary)) return Size::huge;
    if (eps < least_ordinary && is_less(engine, shifted, least_ordinary) && !all_zero(xs))
      return Size::tiny;
  }
  const OwnedNumber<Row> scale(engine,
                               apply<op<"pow_const">()>(engine, shifted, Row::number(-0.5)));
  out.reserve(xs.size());
  for (const auto& x : xs) out.adopt(apply<op<"mul">()>(engine, x, scale));
  return Size::ordinary;
}

// normalize_ordinary() for numbers of any size: it first divides all of them by the largest.
template <class Row>
void normalize_any(Engine<Row>& engine, Items<Row> xs, double eps, Row& out) {
  const auto count = static_cast<double>(xs.size());
  Row ratios(engine);
  const OwnedNumber<Row> root(engine, divide_by_largest(engine, xs, std::sqrt(eps), ratios));
  const OwnedNumber<Row> squares(engine, sum_of_squares(engine, ratios));
  const OwnedNumber<Row> mean(engine, apply<op<"div">()>(engine, squares, Row::number(count)));
  const OwnedNumber<Row> square(engine, apply<op<"square">()>(engine, root));
  const OwnedNumber<Row> shifted(engine, apply<op<"add">()>(engine, mean, square));
  const OwnedNumber<Row> scale(engine,
                               apply<op<"pow_const">()>(engine, shifted, Row::number(-0.5)));
  out.reserve(xs.size());
  for (const auto& ratio : ratios) out.adopt(apply<op<"mul">()>(engine, ratio, scale));
}

// Appends x minus the mean of all, for each x.
template <class Row>
void centre(Engine<Row>& engine, Items<Row> xs, Row& out) {
  const OwnedNumber<Row> total(engine, apply<op<"sum">()>(engine, xs));
  const OwnedNumber<Row> mean(
      engine, apply<op<"div">()>(engine, total, Row::number(static_cast<double>(xs.size()))));
  out.reserve(xs.size());
  for (const auto& x : xs) out.adopt(apply<op<"sub">()>(engine, x, mean));
}

// Appends, for each element, the result of the operation with its partner in `by`. If `by` is null,
// it appends the elements themselves.
template <Op code, class Row>
void elementwise(Engine<Row>& engine, const Row& xs, const Row* by, Row& out) {
  out.reserve(xs.size());
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (by == nullptr) out.add(xs[k]);
    else out.adopt(apply<code>(engine, xs[k], (*by)[k]));
  }
}

}  // namespace detail

// Appends the logarithms of softmax. As in PyTorch, they are NaN if a logit is +inf or all are
// -inf.
template <class Row>
void log_softmax(Engine<Row>& engine, Items<Row> xs, Row& out) {
  if (xs.empty()) return;
  Row shifted(engine);
  subtract_largest(engine, xs, shifted);
  const OwnedNumber<Row> total(engine, log_total(engine, shifted));
  out.reserve(xs.size());
  for (const auto& x : shifted) out.adopt(apply<op<"sub">()>(engine, x, total));
}

// Appends exp(x) divided by the sum of all exp(x), for each x. NaN arises as in log_softmax().
template <class Row>
void softmax(Engine<Row>& engine, Items<Row> xs, Row& out) {
  if (xs.empty()) return;
  Row shifted(engine), powers(engine);
  subtract_largest(engine, xs, shifted);
  powers.reserve(xs.size());
  for (const auto& x : shifted) powers.adopt(apply<op<"exp">()>(engine, x));
  const OwnedNumber<Row> total(engine, apply<op<"sum">()>(engine, powers));
  out.reserve(xs.size());
  for (const auto& power : powers) out.adopt(apply<op<"div">()>(engine, power, total));
}

// Root-mean-square and layer normalisation. `weight` and `bias` are as long as `xs`, or null.
template <class Row>
void rmsnorm(Engine<Row>& engine, Items<Row> xs, const Row* weight, double eps, Row& out) {
  if (xs.empty()) return;
  Row scaled(engine);
  Row& result = weight == nullptr ? out : scaled;
  if (detail::normalize_ordinary(engine, xs, eps, result) != detail::Size::ordinary)
    detail::normalize_any(engine, xs, eps, result);
  if (weight != nullptr) detail::elementwise<op<"mul">()>(engine, scaled, weight, out);
}

template <class Row>
void layernorm(Engine<Row>& engine, Items<Row> xs, const Row* weight, const Row* bias, double eps,
               Row& out) {
  if (xs.empty()) return;
  Row centred(engine), normal(engine), scaled(engine);
  detail::centre(engine, xs, centred);
  switch (detail::normalize_ordinary<Row>(engine, centred, eps, normal)) {
    case detail::Size::ordinary:
      break;
    case detail::Size::tiny:
      detail::normalize_any<Row>(engine, centred, eps, normal);
      break;
    case detail::Size::huge: {
      // Normalises smaller numbers, whose sum and differences do not overflow.
      Row smaller(engine), differences(engine);
      smaller.reserve(xs.size());
      for (const auto& x : xs) smaller.adopt(apply<op<"mul">()>(engine, x, Row::number(0x1p-64)));
      detail::centre<Row>(engine, smaller, differences);
      detail::normalize_any<Row>(engine, differences, eps * 0x1p-128, normal);
    }
  }
  detail::elementwise<op<"mul">()>(engine, normal, weight, scaled);
  detail::elementwise<op<"add">()>(engine, scaled, bias, out);
}

// The losses append one number or, with Reduction::none, one for each term. As in PyTorch, the mean
// of no terms is NaN.

// Appends the terms, their sum or their mean.
template <class Row>
void reduce(Engine<Row>& engine, const Row& terms, Reduction reduction, Row& out) {
  out.reserve(terms.size() + 1);
  if (reduction == Reduction::none) {
    for (const auto& term : terms) out.add(term);
    return;
  }
  const OwnedNumber<Row> total(engine, apply<op<"sum">()>(engine, terms));
  if (reduction == Reduction::sum) out.add(total);
  else detail::add_mean(engine, total, terms.size(), out);
}

// The squared error. `both` has the predictions, then as many targets.
template <class Row>
void mse_loss(Engine<Row>& engine, Items<Row> both, Reduction reduction, Row& out) {
  const std::size_t count = both.size() / 2;
  if (reduction == Reduction::none) {
    out.reserve(count);
    for (std::size_t k = 0; k < count; ++k) {
      const OwnedNumber<Row> difference(engine,
                                        apply<op<"sub">()>(engine, both[k], both[count + k]));
      out.adopt(apply<op<"square">()>(engine, difference));
    }
    return;
  }
  out.reserve(1);
  const OwnedNumber<Row> total(engine, apply<op<"squared_distance">()>(engine, both));
  if (reduction == Reduction::sum) out.add(total);
  else detail::add_mean(engine, total, count, out);
}

// The hinge loss max(0, 1 - target * score), for targets of 1 or -1.
template <class Row>
void hinge_loss(Engine<Row>& engine, Items<Row> scores, Items<Row> targets, Reduction reduction,
                Row& out) {
  Row terms(engine);
  terms.reserve(scores.size());
  for (std::size_t k = 0; k < scores.size(); ++k) {
    const OwnedNumber<Row> product(engine, apply<op<"mul">()>(engine, scores[k], targets[k]));
    const OwnedNumber<Row> margin(engine, apply<op<"sub">()>(engine, Row::number(1.0), product));
    terms.adopt(apply<op<"relu">()>(engine, margin));
  }
  reduce(engine, terms, reduction, out);
}

namespace detail {

// softplus(x), or softplus(-x).
template <class Row>
typename Row::Item softplus_of(Engine<Row>& engine, const typename Row::Item& x, bool negated) {
  if (!negated) return apply<op<"softplus">()>(engine, x);
  const OwnedNumber<Row> minus(engine, apply<op<"neg">()>(engine, x));
  return apply<op<"softplus">()>(engine, minus);
}

// -(target * log(p) + (1 - target) * log(1 - p)) for p = sigmoid(x). For x < 0 that is softplus(x)
// - target * x, otherwise softplus(-x) + (1 - target) * x. In this form nothing cancels, in the
// value or in derivatives, for targets between 0 and 1.
template <class Row>
typename Row::Item binary_surprisal(Engine<Row>& engine, const typename Row::Item& x,
                                    const typename Row::Item& target) {
  if (is_plain(target, 1.0)) return softplus_of<Row>(engine, x, true);
  if (is_plain(target, 0.0)) return softplus_of<Row>(engine, x, false);
  const OwnedNumber<Row> minus(engine, apply<op<"neg">()>(engine, x));
  const OwnedNumber<Row> other(engine, apply<op<"sub">()>(engine, Row::number(1.0), target));
  const OwnedNumber<Row> minus_target(engine, apply<op<"neg">()>(engine, target));
  const OwnedNumber<Row> small(engine,
                               apply<op<"softplus">()>(engine, below_zero(engine, x, x, minus)));
  const auto weight = below_zero(engine, x, minus_target, other);
  const OwnedNumber<Row> large(engine, weighted(engine, weight, x));
  return apply<op<"add">()>(engine, small, large);
}

}  // namespace detail

// The binary cross entropy of logits.
template <class Row>
void binary_cross_entropy(Engine<Row>& engine, Items<Row> logits, Items<Row> targets,
                          Reduction reduction, Row& out) {
  Row terms(engine);
  terms.reserve(logits.size());
  for (std::size_t k = 0; k < logits.size(); ++k)
    terms.adopt(detail::binary_surprisal<Row>(engine, logits[k], targets[k]));
  reduce(engine, terms, reduction, out);
}

// Appends -log(softmax(logits)[target]) as one node.
template <class Row>
void cross_entropy(Engine<Row>& engine, Items<Row> logits, std::size_t target, Row& out) {
  Row ordered(engine);
  ordered.reserve(logits.size());
  ordered.add(logits[target]);
  for (std::size_t k = 0; k < logits.size(); ++k)
    if (k != target) ordered.add(logits[k]);
  out.reserve(1);
  out.adopt(apply<op<"surprisal">()>(engine, ordered));
}

// Appends -sum(target * log_softmax(logits)) for targets that are probabilities. A logarithm of
// -inf whose target is 0 contributes 0.
template <class Row>
void cross_entropy(Engine<Row>& engine, Items<Row> logits, Items<Row> targets, Row& out) {
  Row logs(engine), both(engine), shares(engine);
  log_softmax(engine, logits, logs);
  both.reserve(2 * logits.size());
  shares.reserve(logits.size());
  for (std::size_t k = 0; k < logits.size(); ++k) {
    if (may_be_infinite(logs[k])) {
      both.adopt(weighted(engine, targets[k], logs[k]));
      shares.add(Row::number(1.0));
    } else {
      both.add(logs[k]);
      shares.add(targets[k]);
    }
  }
  for (const auto& share : shares) both.add(share);
  const OwnedNumber<Row> total(engine, apply<op<"dot">()>(engine, both));
  out.reserve(1);
  out.adopt(apply<op<"neg">()>(engine, total));
}

}  // namespace layers

}  // namespace tapegrad
