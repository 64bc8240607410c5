// Arguments and results of eager layers, with ownership of their nodes.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tapegrad/detail/graph/tape.hpp"

namespace tapegrad {

// Owns the node of one argument.
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

// A sequence of nodes and numbers that owns its nodes. It borrows its memory from the tape, so that
// a loop of layers does not call the allocator.
class Row {
 public:
  // The types over which layers are templates. SymbolRow has the same for a recording.
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

  // Appends an item. The row becomes another owner of its node.
  void add(const Argument& item) {
    items_.push_back(item);
    if (item.node != no_node) tape_->own(item.node);
  }
  // Appends an item whose reference passes from the caller to the row. The caller must have called
  // reserve().
  const Argument& adopt(const Argument& item) noexcept { return items_.emplace_back(item); }
  void reserve(std::size_t more) { items_.reserve(items_.size() + more); }

  // Returns item `k` with its reference, which passes from the row to the caller.
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

// Applies an operation of the table. The result is a node that the caller owns or, if all arguments
// are plain numbers, a plain number.
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

// Writes a row and computes its inner product with x, which is complete. Each addition waits for
// the one before; writing the row fills that time.
class Products {
 public:
  Products(Tape& tape, OperandListBuilder& row, OperandListBuilder& x, const Argument* start)
      : tape_(tape), row_(row), x_(x), at_(x.list().numbers()), start_(start) {
    if (start != nullptr) total_ = start->primal;
    else if (x.size() == 0) total_ = 0.0;
  }

  // Appends an item to the row and adds its product with the next element of x.
  void write(OperandListBuilder::Writer& writer, auto item) noexcept {
    total_ = total_ + writer.add(item) * *at_++;
  }

  // Records the sum. The result is a node that the caller owns or, if all arguments are plain
  // numbers, a plain number.
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

// The sum of the products of two rows. If the first row has one element more, that is the start of
// the sum.
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

// Applies an operation of any number of operands, as above.
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

// The position of the first of the largest numbers; 0 if the first number is NaN.
inline std::size_t place_of_largest(std::span<const Argument> xs) noexcept {
  std::size_t at = 0;
  for (std::size_t k = 1; k < xs.size(); ++k)
    if (xs[k].primal > xs[at].primal) at = k;
  return at;
}

// Appends x minus the largest, for each x. The difference of the largest itself is a plain 0.
// Results that use it have only the derivatives by the others, and none that would have to cancel.
inline void subtract_largest(Tape& tape, std::span<const Argument> xs, Row& out) {
  const std::size_t at = place_of_largest(xs);
  const Argument top = xs[at];
  out.reserve(xs.size());
  // The difference from an infinite number is NaN. A single number makes a node like any other.
  const bool defined = std::isfinite(top.primal) && xs.size() > 1;
  const Argument& less = defined ? top : Argument{no_node, top.primal};
  for (std::size_t k = 0; k < xs.size(); ++k) {
    if (k == at && defined) out.adopt({no_node, 0.0});
    else out.adopt(apply<op<"sub">()>(tape, xs[k], less));
  }
}

// The logarithm of the sum of the exponentials of the results of subtract_largest().
inline Argument log_total(Tape& tape, const Row& shifted) {
  return apply<op<"logsumexp">()>(tape, shifted);
}

// Appends x divided by the larger of `least` and the largest |x|, for each x, and returns `least`
// divided by the same. The quotient of the largest itself is a plain 1 or -1.
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

// True if all numbers are known to be 0.
inline bool all_zero(std::span<const Argument> xs) noexcept {
  for (const Argument& x : xs)
    if (x.primal != 0.0) return false;
  return true;
}

// True if x is less than a plain number.
inline bool is_less(Tape&, const Argument& x, double bound) noexcept { return x.primal < bound; }

// True if x is this plain number and no node.
inline bool is_plain(const Argument& x, double number) noexcept {
  return x.node == no_node && x.primal == number;
}

// Returns `yes` if x is less than 0, and else `no`. The caller does not own the result.
inline Argument below_zero(Tape&, const Argument& x, const Argument& yes, const Argument& no) {
  return x.primal < 0.0 ? yes : no;
}

// True if x may be infinite; a number of a recording always may.
inline bool may_be_infinite(const Argument& x) noexcept { return std::isinf(x.primal); }

// weight * x, but 0 if the weight is 0 and x is infinite. The derivative by the weight is x then
// too.
inline Argument weighted(Tape& tape, const Argument& weight, const Argument& x) {
  if (weight.primal != 0.0 || !std::isinf(x.primal)) return apply<op<"mul">()>(tape, weight, x);
  if (weight.node == no_node) return {no_node, 0.0};
  const Argument product = apply<op<"mul">()>(tape, weight, x);
  tape.cell(product.node).primal = 0.0;
  return {product.node, 0.0};
}

}  // namespace tapegrad
