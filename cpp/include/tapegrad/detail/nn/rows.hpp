// Arguments and results of layers, owned while they are on the way.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tapegrad/detail/graph/tape.hpp"

namespace tapegrad {

// One argument that is owned while it is on the way.
class OwnedArgument {
 public:
  OwnedArgument(Tape& tape, const Argument& argument) noexcept : tape_(tape), argument_(argument) {}
  OwnedArgument(const OwnedArgument&) = delete;
  OwnedArgument& operator=(const OwnedArgument&) = delete;
  ~OwnedArgument() {
    if (argument_.node != no_node) tape_.release(argument_.node);
  }
  operator const Argument&() const noexcept { return argument_; }

 private:
  Tape& tape_;
  Argument argument_;
};

// Nodes and numbers in a row. It owns its nodes. The memory is the tape's: a loop of layers makes
// no call of the allocator.
class Row {
 public:
  // What layers are templates over: SymbolRow has the same for a recording.
  using Engine = Tape;
  using Item = Argument;
  using OwnedNumber = tapegrad::OwnedArgument;
  static Argument number(double x) noexcept { return {no_node, x}; }

  explicit Row(Tape& tape) : tape_(&tape), items_(tape.lend()) {}
  Row(Row&& other) noexcept : tape_(other.tape_), items_(std::move(other.items_)) {}
  Row& operator=(Row&&) = delete;
  ~Row() {
    for (const Argument& item : items_)
      if (item.node != no_node) tape_->release(item.node);
    tape_->reclaim(std::move(items_));
  }

  // The node gets an owner more.
  void add(const Argument& item) {
    items_.push_back(item);
    if (item.node != no_node) tape_->own(item.node);
  }
  // The row becomes the owner in the place of the caller, who must have called reserve().
  const Argument& adopt(const Argument& item) noexcept { return items_.emplace_back(item); }
  void reserve(std::size_t more) { items_.reserve(items_.size() + more); }

  // The caller becomes the owner in the place of the row.
  Argument take(std::size_t k) noexcept {
    return {std::exchange(items_[k].node, no_node), items_[k].primal};
  }

  bool any_node() const noexcept {
    for (const Argument& item : items_)
      if (item.node != no_node) return true;
    return false;
  }

  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }
  const Argument& operator[](std::size_t k) const noexcept { return items_[k]; }
  operator std::span<const Argument>() const noexcept { return items_; }
  auto begin() const noexcept { return items_.begin(); }
  auto end() const noexcept { return items_.end(); }

 private:
  Tape* tape_;
  std::vector<Argument> items_;
};

// An operation of the table on nodes and numbers: a node that the caller owns, or, of numbers
// alone, a number.
template <Op code>
Argument apply(Tape& tape, const Argument& x) {
  if (x.node == no_node) return {no_node, entry<code>.value(x.primal)};
  const Index i = tape.record<code>(x.node);
  return {i, tape.cell(i).primal};
}

template <Op code>
Argument apply(Tape& tape, const Argument& x, const Argument& y) {
  if (x.node == no_node && y.node == no_node)
    return {no_node, entry<code>.value(x.primal, y.primal)};
  const Index i = tape.record<code>(x, y);
  return {i, tape.cell(i).primal};
}

// A row that is written, and the sum of its products with x, which is complete: additions wait for
// each other, and writing goes on meanwhile.
class Products {
 public:
  Products(Tape& tape, OperandListBuilder& row, OperandListBuilder& x, const Argument* start)
      : tape_(tape), row_(row), x_(x), at_(x.list().numbers()), start_(start) {
    if (start != nullptr) total_ = start->primal;
    else if (x.size() == 0) total_ = 0.0;
  }

  void write(OperandListBuilder::Writer& pen, auto item) noexcept {
    total_ = total_ + pen.add(item) * *at_++;
  }

  // The sum, a node that the caller owns, or of numbers alone a number.
  Argument record() {
    if (start_ != nullptr) row_.add_start(*start_);
    if (!row_.any_node() && !x_.any_node()) return {no_node, total_};
    return {tape_.record_dot(row_.list(), x_.list(), total_), total_};
  }

 private:
  Tape& tape_;
  OperandListBuilder &row_, &x_;
  const double* at_;
  const Argument* start_;
  double total_ = ops::nothing;
};

// The sum of the products of two rows; where the first has one more, the sum starts with it.
inline Argument inner_product(Tape& tape, OperandListBuilder& xs, OperandListBuilder& ys) {
  if (!xs.any_node() && !ys.any_node()) return {no_node, tape.dot_of(xs.list(), ys.list())};
  const Index i = tape.record_dot(xs.list(), ys.list());
  return {i, tape.cell(i).primal};
}

inline Argument sum_of_squares(Tape& tape, std::span<const Argument> xs) {
  OperandListBuilder same(tape, xs.size());
  for (const Argument& x : xs) same.add(x.node, x.primal);
  return inner_product(tape, same, same);
}

// An operation of any number of nodes and numbers, as above.
template <Op code>
Argument apply(Tape& tape, std::span<const Argument> xs) {
  bool any_node = false;
  for (const Argument& x : xs) any_node |= x.node != no_node;
  if (any_node) {
    const Index i = tape.record<code>(xs);
    return {i, tape.cell(i).primal};
  }
  if (xs.empty()) return {no_node, ops::descriptions[static_cast<std::size_t>(code)].empty.value()};
  std::vector<double> primals;
  primals.reserve(xs.size());
  for (const Argument& x : xs) primals.push_back(x.primal);
  return {no_node, entry<code>.value(std::span<const double>(primals))};
}

// The place of the largest number, the first of equal ones; 0 where that is a NaN.
inline std::size_t place_of_largest(std::span<const Argument> xs) noexcept {
  std::size_t at = 0;
  for (std::size_t k = 1; k < xs.size(); ++k)
    if (xs[k].primal > xs[at].primal) at = k;
  return at;
}

// Appends x minus the largest of each x. The largest itself gives a plain 0, so that what is
// computed of it has the derivatives by the others alone, and none that have to cancel.
inline void subtract_largest(Tape& tape, std::span<const Argument> xs, Row& out) {
  const std::size_t at = place_of_largest(xs);
  const Argument top = xs[at];
  out.reserve(xs.size());
  // The difference from an infinite one is NaN. A single one makes a node like any other.
  const bool defined = std::isfinite(top.primal) && xs.size() > 1;
  const Argument& less = defined ? top : Argument{no_node, top.primal};
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (k == at && defined) out.adopt({no_node, 0.0});
    else out.adopt(apply<op<"sub">()>(tape, xs[k], less));
  }
}

// The logarithm of the sum of the exponentials of what subtract_largest() gave.
inline Argument log_total(Tape& tape, const Row& shifted) {
  return apply<op<"logsumexp">()>(tape, shifted);
}

// Appends each x divided by the largest |x| of all, or by `least` where that is larger, and returns
// `least` divided by the same. The largest itself gives a plain 1 or -1.
inline Argument divide_by_largest(Tape& tape, std::span<const Argument> xs, double least,
                                  Row& out) {
  std::size_t at = 0;
  for (std::size_t k = 1; k < xs.size(); ++k)
    if (std::fabs(xs[k].primal) > std::fabs(xs[at].primal)) at = k;
  const double size = std::fabs(xs[at].primal);
  const bool small = size < least;
  const bool defined = !small && size > 0.0 && !std::isinf(size);
  const OwnedArgument top(tape,
                          small ? Argument{no_node, least} : apply<op<"abs">()>(tape, xs[at]));
  out.reserve(xs.size());
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (k == at && defined) out.adopt({no_node, std::copysign(1.0, xs[k].primal)});
    else out.adopt(apply<op<"div">()>(tape, xs[k], top));
  }
  return apply<op<"div">()>(tape, Argument{no_node, least}, top);
}

// Whether all are known to be 0.
inline bool all_zero(std::span<const Argument> xs) noexcept {
  for (const Argument& x : xs)
    if (x.primal != 0.0) return false;
  return true;
}

// Whether x is less than a plain number.
inline bool is_less(Tape&, const Argument& x, double bound) noexcept { return x.primal < bound; }

// Whether it is this number, and nothing to differentiate by.
inline bool is_plain(const Argument& x, double number) noexcept {
  return x.node == no_node && x.primal == number;
}

// x where it is less than 0, else y.
inline Argument below_zero(Tape&, const Argument& x, const Argument& yes, const Argument& no) {
  return x.primal < 0.0 ? yes : no;
}

inline bool may_be_infinite(const Argument& x) noexcept { return std::isinf(x.primal); }

// weight * x, and 0 where the weight is 0 and x infinite: its derivative by the weight is x there,
// too.
inline Argument weighted(Tape& tape, const Argument& weight, const Argument& x) {
  if (weight.primal != 0.0 || !std::isinf(x.primal)) return apply<op<"mul">()>(tape, weight, x);
  if (weight.node == no_node) return {no_node, 0.0};
  const Argument product = apply<op<"mul">()>(tape, weight, x);
  tape.cell(product.node).primal = 0.0;
  return {product.node, 0.0};
}

}  // namespace tapegrad
