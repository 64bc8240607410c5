// The reverse sweep: one descending scan of the nodes from the root.
//
// A node with operands is pending from the sweep's visit to one of its users until its own visit.
// Operands are older than their users, so the newest pending node has received its whole adjoint.
// It passes that adjoint on to its operands, and the scan goes down to the next pending node. The
// scan skips blocks without pending nodes and ends when no node is pending.
#pragma once

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "tapegrad/detail/graph/arena.hpp"

namespace tapegrad {

// The worklist of a reverse sweep: the set of pending nodes, as marks on the nodes themselves.
// Sweeps can nest and alternate, because a backward function may begin another sweep or may let
// another thread of the embedding continue one. The marks on the nodes belong to one sweep at a
// time. A sweep that begins or resumes suspends the current one. The suspended sweep removes its
// marks and stores the nodes.
class PendingNodes {
 public:
  PendingNodes(Arena& arena, Index root)
      : arena_(arena),
        links_(arena.pool().links()),
        partials_(arena.pool().partials()),
        block_(root / NodePool::size) {
    if (arena.pending_nodes_ != nullptr) arena.pending_nodes_->suspend();
    arena.pending_nodes_ = this;
  }
  PendingNodes(const PendingNodes&) = delete;
  PendingNodes& operator=(const PendingNodes&) = delete;

  // Removes the marks that are left after an exception.
  ~PendingNodes() {
    const bool mine = arena_.pending_nodes_ == this;
    if (mine) {
      for (Index i = end_of_block(); (i = next(i)) != no_node;) {
      }
    }
    // The assignment is unconditional so that the compiler sees that no pointer to this object
    // remains.
    arena_.pending_nodes_ = mine ? nullptr : arena_.pending_nodes_;
  }

  // Makes this sweep the current one again. Call it after anything that may have begun or continued
  // another sweep.
  void resume() {
    if (arena_.pending_nodes_ == this) return;
    if (arena_.pending_nodes_ != nullptr) arena_.pending_nodes_->suspend();
    arena_.pending_nodes_ = this;
    for (const Index i : suspended_) mark(i);
    suspended_.clear();
  }

  // Marks the node as pending, if it is not.
  void mark(Index i) noexcept {
    if (!(links_[i].operand[0] & pending_bit)) mark_new(i);
  }
  [[gnu::noinline]] void mark_new(Index i) noexcept {
    links_[i].operand[0] |= pending_bit;
    if (i / NodePool::size == block_) ++here;
    else count_elsewhere(i);
  }
  void count_elsewhere(Index i) noexcept {
    ++arena_.pool().at(i / NodePool::size).pending;
    ++elsewhere_;
  }

  // Marks the operands of node `i`. With `all`, that includes operands with absent partials: they
  // may hold the adjoint of an earlier sweep, which they pass on again, as in micrograd.
  template <bool all = true>
  void mark_operands(Index i) {
    arena_.each_operand(i, [this](Index node, double partial) {
      if (all || !is_absent(partial)) mark(node);
    });
  }

  // Propagates the adjoint of a node at which run() stopped. The node has operand lists, or a
  // product was NaN, so that a contribution may be absent. Returns the oldest node whose adjoint it
  // has propagated.
  Index pass(Index i) noexcept {
    const double adjoint = links_[i].adjoint;
    if (links_[i].operand[1] == in_list) return pass_lists(i, adjoint);
    const std::array nodes{links_[i].operand[1], links_[i].operand[0]};
    const std::array partials{partials_[i][1], partials_[i][0]};
    give<true>(nodes.data(), partials.data(), nodes.size(), adjoint);
    return i;
  }

  // Propagates the adjoint of a node with operand lists. The rows of a layer are such nodes,
  // recorded one after the other and with common factors. The function handles successive rows
  // together: it sums the contributions to the factors and adds each sum once. Returns the oldest
  // of these rows, with the marks of all of them removed.
  Index pass_lists(Index i, double adjoint) noexcept {
    const OperandList* const factors = arena_.factors(i);
    if (factors == nullptr) {
      const OperandList& own = *arena_.list(i);
      if (own.size <= most_selected) give<true>(own.nodes(), own.numbers(), own.size, adjoint);
      else give(own.nodes(), own.numbers(), own.size, adjoint);
      return i;
    }
    if (factors->size > most_sums) {
      arena_.each_span(i, [&](const Index* nodes, const double* partials, std::size_t count) {
        give(nodes, partials, count, adjoint);
      });
      return i;
    }
    const std::size_t count = factors->size;
    double sums[most_sums];
    std::fill_n(sums, count, 0.0);
    for (;;) {
      const OperandList& own = *arena_.list(i);
      give(own.nodes(), factors->numbers(), count, adjoint);
      give(own.nodes() + count, own.numbers() + count, own.size - count, adjoint);
      for (std::size_t k = 0; k < count; ++k) sums[k] += adjoint * own.numbers()[k];
      if (i % NodePool::size == 0) break;
      Link& next = links_[i - 1];
      if (next.operand[0] != pending_bit || next.operand[1] != in_list ||
          arena_.factors(i - 1) != factors)
        break;
      if (next.adjoint == 0.0 && !arena_.has_finite_partials(i - 1)) break;
      next.operand[0] = 0;
      --here;
      adjoint = next.adjoint;
      --i;
    }
    give(factors->nodes(), sums, count, 1.0);
    return i;
  }

  // Propagates adjoints from node `i` down through its block. Stops at a node with operand lists,
  // or with a NaN product (or NaN sum of two products) other than that of a single absent partial.
  // Returns that node, with its mark removed, or no_node after the last pending node of the block.
  // It calls only inlined functions, so that the compiler keeps the state in registers.
  [[gnu::noinline]] Index run(Index i) noexcept {
    Link* const links = links_;
    const Index bottom = i / NodePool::size * NodePool::size;
    Index here = this->here;
    Index first = links[i].operand[0];
    double adjoint = links[i].adjoint;
    // An operand recorded just before is the next node. Its adjoint stays in a register.
    const auto is_next = [&](Index operand) { return operand == i - 1 && i != bottom; };
    const auto go_to_next = [&](double sum) {
      adjoint = links[--i].adjoint = sum;
      first = unmark(links[i], here);
    };
    for (;;) {
      const Link& l = links[i];
      const Index second = l.operand[1];
      if (second == in_list) [[unlikely]] {
        this->here = here;
        return i;
      }
      const double by_first = adjoint * partials_[i][0];
      if (second != no_node) {
        const double by_second = adjoint * partials_[i][1];
        if (is_nan(by_first + by_second)) [[unlikely]] {
          this->here = here;
          return i;
        }
        if (is_next(second)) {
          if (first == i - 2 && add_products(i, bottom, adjoint, here)) {
            first = links[i].operand[0];
            continue;
          }
          double sum = links[second].adjoint + by_second;
          if (first == second) sum += by_first;
          else give(i, first, by_first, here);
          go_to_next(sum);
          continue;
        }
        give(i, second, by_second, here);
      }
      if (second == no_node && is_nan(by_first)) [[unlikely]] {
        if (!is_absent(partials_[i][0])) {
          this->here = here;
          return i;
        }
        mark(i, first, here);
      } else {
        if (is_next(first)) {
          go_to_next(links[first].adjoint + by_first);
          continue;
        }
        give(i, first, by_first, here);
      }
      if (here == 0) {
        this->here = 0;
        return no_node;
      }
      do first = unmarked(--i);
      while (first >= no_node);
      links[i].operand[0] = first;
      adjoint = links[i].adjoint;
      --here;
    }
  }

  // Returns the newest pending node below `i` and removes its mark; no_node if none is pending.
  Index next(Index i) noexcept {
    if (here == 0) i = next_block();
    if (i == no_node) return no_node;
    Index first;
    do first = unmarked(--i);
    while (first >= no_node);
    links_[i].operand[0] = first;
    --here;
    return i;
  }

  // operand[0] with the pending bit flipped: below no_node if the node is pending, no_node for a
  // leaf, larger otherwise.
  Index unmarked(Index i) const noexcept { return links_[i].operand[0] ^ pending_bit; }

  // Moves to the next block with pending nodes. Returns the index past its end, or no_node.
  [[gnu::noinline]] Index next_block() noexcept {
    if (elsewhere_ == 0) return no_node;
    NodePool& blocks = arena_.pool();
    do block_ = blocks.before(block_);
    while (blocks.at(block_).pending == 0);
    here = std::exchange(blocks.at(block_).pending, 0);
    elsewhere_ -= here;
    return end_of_block();
  }

  Index here = 0;  // number of pending nodes in the block being scanned

 private:
  static constexpr std::size_t most_sums = 256;
  static constexpr std::size_t most_selected = 3;  // most operands of an operation with branches

  static bool is_nan(double x) noexcept { return x != x; }

  // Adds `amount` to the adjoint of an operand of node `i` and marks the operand. `here` counts new
  // marks in the block of `i`.
  [[gnu::always_inline]] void give(Index i, Index operand, double amount, Index& here) noexcept {
    links_[operand].adjoint += amount;
    mark(i, operand, here);
  }
  [[gnu::always_inline]] void mark(Index i, Index operand, Index& here) noexcept {
    Link& below = links_[operand];
    if (below.operand[0] & pending_bit) [[likely]]
      return;
    below.operand[0] |= pending_bit;
    if ((operand ^ i) < NodePool::size) ++here;
    else count_elsewhere(operand);
  }

  // Adds the contribution of `adjoint` to each node of a range and marks it.
  template <bool may_be_absent = false>
  void give(const Index* nodes, const double* partials, std::size_t count,
            double adjoint) noexcept {
    Link* const links = links_;
    for (std::size_t k = 0; k < count; ++k) {
      const Index i = nodes[k];
      if (i == no_node) continue;
      if (!may_be_absent || !is_absent(partials[k])) links[i].adjoint += adjoint * partials[k];
      if (!(links[i].operand[0] & pending_bit)) [[unlikely]]
        mark_new(i);
    }
  }

  // Removes the mark, if there is one, and returns the first operand.
  [[gnu::always_inline]] static Index unmark(Link& link, Index& here) noexcept {
    Index first = link.operand[0];
    if (first & pending_bit) [[unlikely]] {
      --here;
      link.operand[0] = first &= ~pending_bit;
    }
    return first;
  }

  // Handles additions whose operands are the nodes i - 2 (the sum so far) and i - 1 (a product).
  // Moves `i` to the oldest sum reached, and marks neither the sums nor the products on the way.
  // Returns false if it handles no addition. A pending bit on a sum ends the loop.
  [[gnu::always_inline]] bool add_products(Index& i, Index bottom, double& adjoint,
                                           Index& here) noexcept {
    Link* sum = links_ + i;
    const Partials* by = partials_ + i;
    Link* const begin = sum;
    const Link* const third = links_ + bottom + 2;
    for (std::uint64_t before = both(i - 2, i - 1); sum >= third && both(*sum) == before;
         before -= both(2, 2)) {
      Link& product = sum[-1];
      Link& rest = sum[-2];
      const auto [left, right] = product.operand;
      // A product that another user has marked is already counted as pending.
      if (right >= in_list || left & pending_bit) [[unlikely]]
        break;
      const double by_sum = product.adjoint + adjoint * by[0][1];
      const double so_far = rest.adjoint + adjoint * by[0][0];
      const double by_y = by_sum * by[-1][1], by_x = by_sum * by[-1][0];
      if (is_nan(so_far + by_x + by_y)) [[unlikely]]
        break;
      product.adjoint = by_sum;
      rest.adjoint = so_far;
      Link& x = links_[left];
      Link& y = links_[right];
      y.adjoint += by_y;
      x.adjoint += by_x;
      if (!(x.operand[0] & y.operand[0] & pending_bit)) [[unlikely]] {
        const auto node = static_cast<Index>(sum - links_);
        mark(node, right, here);
        mark(node, left, here);
      }
      adjoint = &x == &rest || &y == &rest ? rest.adjoint : so_far;
      sum -= 2, by -= 2;
    }
    if (sum == begin) return false;
    i = static_cast<Index>(sum - links_);
    unmark(*sum, here);
    return true;
  }

  Index end_of_block() const noexcept { return (block_ + 1) * NodePool::size; }

  // Removes the marks of this sweep and stores the nodes for resume().
  void suspend() {
    suspended_.reserve(here + elsewhere_);  // the only step that can fail comes first
    const Index block = block_;
    for (Index i = end_of_block(); (i = next(i)) != no_node;) suspended_.push_back(i);
    block_ = block;  // resume() marks nodes in this block or below
    arena_.pending_nodes_ = nullptr;
  }

  Arena& arena_;
  Link* links_;
  const Partials* partials_;
  Index block_;
  std::size_t elsewhere_ = 0;
  std::vector<Index> suspended_;
};

// Calls visit(node) for the root and for every other node with operands that the root reaches,
// users first. With `all`, the walk also follows absent partials.
template <bool all = true, class Visit>
void walk(Arena& arena, Index root, Visit visit) {
  PendingNodes pending_nodes(arena, root);
  for (Index i = root; i != no_node; i = pending_nodes.next(i)) {
    visit(i);
    pending_nodes.resume();
    pending_nodes.mark_operands<all>(i);
  }
}

// The answer to a rare question of a sweep: does a node pass on an adjoint of exactly 0? If the
// root reaches the node through branches that were taken, the node passes 0 on, and its products
// may be NaN. Behind a branch not taken, the node passes nothing on. A separate walk on first
// demand finds the nodes that the root reaches.
class Reach {
 public:
  Reach(Arena& arena, Index root) : arena_(arena), root_(root) {}

  // True if node `i` passes its adjoint on to its operands. The caller must then resume() its
  // sweep.
  bool passes(Index i) {
    if (arena_.link(i).adjoint != 0.0) return true;
    if (arena_.backward_of(i) == nullptr && arena_.has_finite_partials(i)) return true;
    if (reached_.empty()) {
      reached_.resize(arena_.pool().capacity());
      walk<false>(arena_, root_, [this](Index node) { reached_[node] = true; });
    }
    return i < reached_.size() && reached_[i];
  }

 private:
  Arena& arena_;
  Index root_;
  std::vector<bool> reached_;  // a flag for each node; empty before the first demand
};

}  // namespace tapegrad
