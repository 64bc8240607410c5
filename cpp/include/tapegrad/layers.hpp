// Layers and losses of neural networks, recorded whole: compositions of the table's operations,
// each result a node like any other.
//
// Values and derivatives are PyTorch's. What is summed is summed from left to right.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "rows.hpp"
#include "value.hpp"

namespace tapegrad {

enum class Reduction { mean, sum, none };

// On a tape: arguments may be plain numbers, and results of numbers alone are numbers.
namespace layers {

namespace detail {

// One argument that is owned while it is on the way.
class Held {
 public:
  Held(Tape& tape, const Argument& argument) noexcept : tape_(tape), argument_(argument) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (argument_.node != no_node) tape_.release(argument_.node);
  }
  operator const Argument&() const noexcept { return argument_; }

 private:
  Tape& tape_;
  Argument argument_;
};

inline Argument number(double x) noexcept { return {no_node, x}; }

inline void add_mean(Tape& tape, const Argument& total, std::size_t count, Row& out) {
  out.adopt(apply<op<"div">()>(tape, total, number(static_cast<double>(count))));
}

// x / sqrt(mean of squares + eps) of each.
inline void normalize(Tape& tape, std::span<const Argument> xs, double eps, Row& out) {
  const auto count = static_cast<double>(xs.size());
  Draft same(tape, xs.size());
  for (const Argument& x : xs) same.add(x.node, x.primal);
  const Held squares(tape, inner_product(tape, same, same));
  const Held mean(tape, apply<op<"div">()>(tape, squares, number(count)));
  const Held shifted(tape, apply<op<"add">()>(tape, mean, number(eps)));
  const Held scale(tape, apply<op<"pow_const">()>(tape, shifted, number(-0.5)));
  out.reserve(xs.size());
  for (const Argument& x : xs) out.adopt(apply<op<"mul">()>(tape, x, scale));
}

// Each element by the operation with its partner in `by`; as it is where `by` is null.
template <Op code>
void elementwise(Tape& tape, const Row& xs, const Row* by, Row& out) {
  out.reserve(xs.size());
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (by == nullptr) out.add(xs[k]);
    else out.adopt(apply<code>(tape, xs[k], (*by)[k]));
  }
}

}  // namespace detail

inline void log_softmax(Tape& tape, std::span<const Argument> xs, Row& out) {
  if (xs.empty()) return;
  const detail::Held total(tape, apply<op<"logsumexp">()>(tape, xs));
  out.reserve(xs.size());
  for (const Argument& x : xs) out.adopt(apply<op<"sub">()>(tape, x, total));
}

inline void softmax(Tape& tape, std::span<const Argument> xs, Row& out) {
  Row logs(tape);
  log_softmax(tape, xs, logs);
  out.reserve(xs.size());
  for (const Argument& x : logs) out.adopt(apply<op<"exp">()>(tape, x));
}

// `weight` and `bias` are of the length of `xs`, or null.
inline void rmsnorm(Tape& tape, std::span<const Argument> xs, const Row* weight, double eps,
                    Row& out) {
  if (xs.empty()) return;
  if (weight == nullptr) return detail::normalize(tape, xs, eps, out);
  Row scaled(tape);
  detail::normalize(tape, xs, eps, scaled);
  detail::elementwise<op<"mul">()>(tape, scaled, weight, out);
}

inline void layernorm(Tape& tape, std::span<const Argument> xs, const Row* weight, const Row* bias,
                      double eps, Row& out) {
  if (xs.empty()) return;
  const detail::Held total(tape, apply<op<"sum">()>(tape, xs));
  const detail::Held mean(
      tape, apply<op<"div">()>(tape, total, detail::number(static_cast<double>(xs.size()))));
  Row centred(tape), scaled(tape);
  centred.reserve(xs.size());
  for (const Argument& x : xs) centred.adopt(apply<op<"sub">()>(tape, x, mean));
  rmsnorm(tape, centred, weight, eps, bias == nullptr ? out : scaled);
  if (bias != nullptr) detail::elementwise<op<"add">()>(tape, scaled, bias, out);
}

// The losses append one number, or one for each term where nothing is reduced. The mean of no term
// is NaN, as PyTorch's.

// Appends the terms as they are, their sum, or their mean.
inline void reduce(Tape& tape, const Row& terms, Reduction reduction, Row& out) {
  out.reserve(terms.size() + 1);
  if (reduction == Reduction::none) {
    for (const Argument& term : terms) out.add(term);
    return;
  }
  const detail::Held total(tape, apply<op<"sum">()>(tape, terms));
  if (reduction == Reduction::sum) out.add(total);
  else detail::add_mean(tape, total, terms.size(), out);
}

// `both` has the predictions, then as many targets.
inline void mse_loss(Tape& tape, std::span<const Argument> both, Reduction reduction, Row& out) {
  const std::size_t count = both.size() / 2;
  if (reduction == Reduction::none) {
    out.reserve(count);
    for (std::size_t k = 0; k < count; ++k) {
      const detail::Held difference(tape, apply<op<"sub">()>(tape, both[k], both[count + k]));
      out.adopt(apply<op<"square">()>(tape, difference));
    }
    return;
  }
  out.reserve(1);
  const detail::Held total(tape, apply<op<"squared_distance">()>(tape, both));
  if (reduction == Reduction::sum) out.add(total);
  else detail::add_mean(tape, total, count, out);
}

// max(0, 1 - target * score), the targets 1 or -1.
inline void hinge_loss(Tape& tape, std::span<const Argument> scores,
                       std::span<const Argument> targets, Reduction reduction, Row& out) {
  Row terms(tape);
  terms.reserve(scores.size());
  for (std::size_t k = 0; k < scores.size(); ++k) {
    const detail::Held product(tape, apply<op<"mul">()>(tape, scores[k], targets[k]));
    const detail::Held margin(tape, apply<op<"sub">()>(tape, detail::number(1.0), product));
    terms.adopt(apply<op<"relu">()>(tape, margin));
  }
  reduce(tape, terms, reduction, out);
}

// -(target * log(p) + (1 - target) * log(1 - p)) of p = sigmoid(logit), as softplus(logit) - target
// * logit, which cannot overflow.
inline void binary_cross_entropy(Tape& tape, std::span<const Argument> logits,
                                 std::span<const Argument> targets, Reduction reduction, Row& out) {
  Row terms(tape);
  terms.reserve(logits.size());
  for (std::size_t k = 0; k < logits.size(); ++k) {
    const detail::Held normalizer(tape, apply<op<"softplus">()>(tape, logits[k]));
    const detail::Held product(tape, apply<op<"mul">()>(tape, logits[k], targets[k]));
    terms.adopt(apply<op<"sub">()>(tape, normalizer, product));
  }
  reduce(tape, terms, reduction, out);
}

// Appends -log(softmax(logits)[target]), one node.
inline void cross_entropy(Tape& tape, std::span<const Argument> logits, std::size_t target,
                          Row& out) {
  Row ordered(tape);
  ordered.reserve(logits.size());
  ordered.add(logits[target]);
  for (std::size_t k = 0; k < logits.size(); ++k)
    if (k != target) ordered.add(logits[k]);
  out.reserve(1);
  out.adopt(apply<op<"surprisal">()>(tape, ordered));
}

// The same of probabilities: -sum(target * log_softmax(logits)).
inline void cross_entropy(Tape& tape, std::span<const Argument> logits,
                          std::span<const Argument> targets, Row& out) {
  Row both(tape);
  log_softmax(tape, logits, both);
  for (const Argument& target : targets) both.add(target);
  const detail::Held total(tape, apply<op<"dot">()>(tape, both));
  out.reserve(1);
  out.adopt(apply<op<"neg">()>(tape, total));
}

}  // namespace layers
}  // namespace tapegrad
