// The tape: records nodes in the order of creation, and sweeps them in the reverse order.
#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "tapegrad/detail/graph/operand_list_builder.hpp"
#include "tapegrad/detail/graph/reverse_sweep.hpp"
#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad {

// An arena that records operations and differentiates them in reverse mode.
class Tape : public Arena {
 public:
  using Arena::Arena;

  // The record() functions append one operation and return its node, which the caller owns. With
  // `quietly`, the caller promises that the pool has room and that no operand is heritable. The
  // node's one owner is then a handle; heritable is the embedding's flag (node.hpp).

  template <Op code>
  Index record(Index a) {
    constexpr auto& e = entry<code>;
    const double x = cell(a).primal;
    const double y = e.value(x);
    return add_node(code, y, 0, {stored(std::get<0>(e.partials)(x, y)), 0.0}, a);
  }

  // Records an operation on a node and a constant, or on two nodes. A constant makes no node: the
  // record stores its value in place of a partial.
  template <Op code, bool quietly = false, class A, class B>
  Index record(A a, B b) requires(std::same_as<A, Index> || std::same_as<B, Index>) {
    constexpr auto& e = entry<code>;
    const double x = primal(a);
    const double y = primal(b);
    const double z = e.value(x, y);
    if constexpr (std::same_as<B, double>)
      return add_node<quietly>(code, z, flag::constant_right,
                               {stored(std::get<0>(e.partials)(x, y, z)), y}, a);
    else if constexpr (std::same_as<A, double>)
      return add_node<quietly>(code, z, flag::constant_left,
                               {stored(std::get<1>(e.partials)(x, y, z)), x}, b);
    else
      return add_node<quietly>(
          code, z, 0,
          {stored(std::get<0>(e.partials)(x, y, z)), stored(std::get<1>(e.partials)(x, y, z))}, a,
          b);
  }

  // Records an operation on arguments of which at least one is a node. A power with a constant
  // exponent becomes pow_const, which has a partial by the base alone.
  template <Op code>
  Index record(const Argument& x, const Argument& y) {
    if constexpr (ops::descriptions[static_cast<std::size_t>(code)].constant_last) {
      return record<code>(x.node, y.primal);
    } else {
      if (x.node == no_node) return record<code>(x.primal, y.node);
      if (y.node != no_node) return record<code>(x.node, y.node);
      if constexpr (code == op<"pow">()) return record<op<"pow_const">()>(x.node, y.primal);
      else return record<code>(x.node, y.primal);
    }
  }

  // Records a ternary or variadic operation.
  template <Op code>
  Index record(std::span<const Argument> arguments) {
    constexpr auto& e = entry<code>;
    if constexpr (code == op<"dot">()) {
      const std::size_t count = arguments.size() / 2;
      OperandListBuilder xs(*this, arguments.size() - count), ys(*this, count);
      for (const Argument& x : arguments.first(count)) xs.add(x.node, x.primal);
      for (const Argument& y : arguments.subspan(count, count)) ys.add(y.node, y.primal);
      if (xs.filled() != xs.size()) xs.add_start(arguments.back());
      return record_dot(xs.list(), ys.list());
    } else {
      primals_.clear();
      for (const Argument& argument : arguments) primals_.push_back(argument.primal);
      const std::span<const double> x(primals_);
      OperandListBuilder operands(*this, x.size());
      const auto add = [&](std::size_t k, double partial) {
        const Index node = arguments[k].node;
        operands.add(node, node == no_node ? x[k] : partial);
      };
      if constexpr (ops::descriptions[static_cast<std::size_t>(code)].arity == 3) {
        const double y = e.value(x[0], x[1], x[2]);
        add(0, stored(std::get<0>(e.partials)(x[0], x[1], x[2], y)));
        add(1, stored(std::get<1>(e.partials)(x[0], x[1], x[2], y)));
        add(2, stored(std::get<2>(e.partials)(x[0], x[1], x[2], y)));
        return add_list_node(code, y, operands.list(), nullptr);
      } else {
        const double y = e.value(x);
        const auto partial = std::get<0>(e.partials)(x, y);
        for (std::size_t k = 0; k < x.size(); ++k) add(k, partial(k));
        return add_list_node(code, y, operands.list(), nullptr);
      }
    }
  }

  // Records the inner product of two operand lists, whose numbers are primals. It copies neither
  // list, and other nodes may share them. If the first list has one operand more, that is the start
  // of the sum (OperandListBuilder::add_start).
  Index record_dot(OperandList& xs, OperandList& ys) { return record_dot(xs, ys, dot_of(xs, ys)); }
  Index record_dot(OperandList& xs, OperandList& ys, double sum) {
    return add_list_node(op<"dot">(), sum, xs, &ys);
  }
  double dot_of(const OperandList& xs, const OperandList& ys) const {
    const std::span<const double> x(xs.numbers(), ys.size), y(ys.numbers(), ys.size);
    double start = ys.size == 0 ? 0.0 : ops::nothing;
    if (xs.size != ys.size) {
      const Index node = xs.nodes()[ys.size];
      start = node == no_node ? xs.numbers()[ys.size] : cell(node).primal;
    }
    return ops::inner_product(x, y, start);
  }

  // Records a node with the caller's partials; set_backward() may then replace them by a function.
  // Without operands it is a leaf. A NaN among the partials never counts as an absent partial.
  Index open(double primal, std::span<const Operand> operands) {
    if (operands.empty()) return leaf(primal);
    if (operands.size() > 2) return place_list<never_absent>(Op::custom, primal, operands);
    const Operand first = operands[0];
    const Operand second = operands.size() == 2 ? operands[1] : Operand{no_node, 0.0};
    return place(Op::custom, primal, 0, {never_absent(first.partial), never_absent(second.partial)},
                 first.node, second.node);
  }

  // Returns a new node with the same operands, primal and adjoint. It has no NodeExtra, so no label
  // and no backward function.
  Index copy(Index i) {
    const auto [op, primal] = std::pair(cell(i).op, cell(i).primal);
    const auto flags = static_cast<std::uint16_t>(cell(i).flags & ~(flag::extra | flag::fresh));
    const auto [first, second] = link(i).operand;  // the first may carry a sweep's mark
    const Index made = op == Op::leaf ? leaf(primal)
                       : has_list(i)
                           ? add_list_node(op, primal, *list(i), factors(i), flags)
                           : place(op, primal, flags, partials(i), first & ~pending_bit, second);
    link(made).adjoint = link(i).adjoint;
    return made;
  }

  // Recreates a node from its stored parts, with at least one operand. A constant operand has
  // no_node.
  Index restore(Op code, double primal, std::vector<Operand> operands) {
    const bool constant = operands[0].node == no_node || operands.back().node == no_node;
    const bool no_operand = operands[0].node == no_node && operands.back().node == no_node;
    if (operands.size() > 2 || no_operand) return place_list(code, primal, operands);
    const std::uint16_t flags = !constant                     ? 0
                                : operands[0].node == no_node ? flag::constant_left
                                                              : flag::constant_right;
    if (flags == flag::constant_left) std::swap(operands[0], operands[1]);
    const Operand second = operands.size() == 2 ? operands[1] : Operand{no_node, 0.0};
    return place(code, primal, flags, {operands[0].partial, second.partial}, operands[0].node,
                 second.node);
  }

  // The reverse sweep. It sets the adjoint of the root to `seed`. Every node that the root reaches
  // then passes its adjoint on to its operands, users before operands. No other node changes,
  // unless a backward function changes it. With a seed of 0 the sweep only sets the root's adjoint.
  // An absent partial contributes nothing, but the sweep reaches its operand, which passes on an
  // adjoint that an earlier sweep left in it.
  //
  // Unless it interrupts another sweep, the sweep needs memory only for the question of Reach: does
  // the root reach a node through absent partials alone? The question arises if a node with an
  // adjoint of 0 has a backward function or a partial that is not finite.
  void backward(Index root, double seed = 1.0);

  // Propagates the adjoint of one node to its operands: by the backward function, if there is one,
  // and else by the recorded partials.
  void push_adjoint(Index i) {
    if (Backward* const backward = backward_of(i)) {
      const Busy busy(*this);  // the function may be replaced while it runs
      return (*backward)(i);
    }
    push_recorded(i);
  }
  // Propagates the adjoint of one node by its recorded partials.
  void push_recorded(Index i) {
    const double adjoint = link(i).adjoint;
    const auto give = [&](Index node, double partial) {
      if (!is_absent(partial)) link(node).adjoint += adjoint * partial;
    };
    if (has_list(i)) return each_operand(i, give);
    // The second operand comes first, as in the sweep, so that sums agree to the last bit.
    const Link& l = link(i);
    const Index first = l.operand[0] & ~pending_bit;
    if (l.operand[1] != no_node) give(l.operand[1], partials(i)[1]);
    if (first != no_node) give(first, partials(i)[0]);
  }

  // Clears the adjoints of the root and of every node that it reaches.
  void zero_adjoints(Index root);

  // Replaces the constant operands of the node by leaves, so that a program can inspect them. Each
  // leaf gets the adjoint that follows from the node's own.
  void show_constants(Index i);

  // Lends a vector for a row of arguments; reclaim() takes it back. Several can be lent at once:
  // converting an operand may run another layer.
  std::vector<Argument> lend() noexcept {
    if (spare_.empty()) return {};
    std::vector<Argument> memory = std::move(spare_.back());
    spare_.pop_back();
    return memory;
  }
  void reclaim(std::vector<Argument> memory) noexcept {
    if (memory.capacity() == 0 || memory.capacity() > longest_spare) return;
    if (spare_.size() == spare_.capacity()) return;
    memory.clear();
    spare_.push_back(std::move(memory));
  }

 private:
  double primal(Index node) const noexcept { return cell(node).primal; }
  static double primal(double number) noexcept { return number; }

  Index place(Op code, double primal, std::uint16_t flags, const Partials& by, Index a, Index b) {
    return b == no_node ? add_node(code, primal, flags, by, a)
                        : add_node(code, primal, flags, by, a, b);
  }
  static Link link_to(Index a, Index b = no_node) noexcept { return {0.0, {a, b}}; }
  // Inlined, so that the path of an operator has no call.
  template <bool quietly = false, std::same_as<Index>... Operands>
  [[gnu::always_inline]] Index add_node(Op code, double primal, unsigned flags, const Partials& by,
                                        Operands... operands) {
    const Index i = quietly ? pool().push_within() : push();
    link(i) = link_to(operands...);
    partials(i) = by;
    if constexpr (!quietly) flags |= (cell(operands).flags | ...) & flag::heritable;
    cell(i) = {primal, quietly ? handle_owner : 1, code, static_cast<std::uint16_t>(flags)};
    (++cell(operands).owners, ...);
    return i;
  }

  static double as_given(double partial) noexcept { return partial; }
  static double never_absent(double partial) noexcept {
    return is_absent(partial) ? std::numeric_limits<double>::quiet_NaN() : partial;
  }

  template <double (*number)(double) noexcept = as_given>
  Index place_list(Op code, double primal, std::span<const Operand> operands) {
    OperandListBuilder builder(*this, operands.size());
    for (const Operand& operand : operands) builder.add(operand.node, number(operand.partial));
    return add_list_node(code, primal, builder.list(), nullptr);
  }

  // Records a node that becomes an owner of both lists.
  Index add_list_node(Op code, double primal, OperandList& own, OperandList* factors,
                      std::uint16_t flags = 0) {
    const Index i = push();
    flags |= own.flags;
    ++own.owners;
    if (factors != nullptr) {
      flags |= factors->flags;
      ++factors->owners;
    }
    link(i).adjoint = 0.0;
    refer(i, &own, factors, 0);
    cell(i) = {primal, 1, code, flags};
    return i;
  }

  std::vector<double> primals_;
  static constexpr std::size_t longest_spare = 1 << 16;  // in arguments
  std::vector<std::vector<Argument>> spare_ = std::vector<std::vector<Argument>>(16);
};

inline void Tape::backward(Index root, double seed) {
  link(root).adjoint = seed;
  if (seed == 0.0) return;
  PendingNodes pending_nodes(*this, root);
  if (cell(root).op == Op::leaf) return push_adjoint(root);
  Reach reach(*this, root);
  for (Index i = root; i != no_node; i = pending_nodes.next(i)) {
    i = pending_nodes.run(i);
    if (i == no_node) continue;
    const bool passes = reach.passes(i);
    if (passes && (link(i).operand[0] != has_function || link(i).operand[1] != in_list)) {
      pending_nodes.resume();
      i = pending_nodes.pass(i);
      continue;
    }
    if (passes) push_adjoint(i);
    pending_nodes.resume();
    pending_nodes.mark_operands(i);
  }
}

inline void Tape::zero_adjoints(Index root) {
  link(root).adjoint = 0.0;
  walk(*this, root, [this](Index i) {
    each_operand(i, [this](Index node, double) { link(node).adjoint = 0.0; });
  });
}

}  // namespace tapegrad
