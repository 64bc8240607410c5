// The reverse sweep: one descending scan from the root.
//
// A node is due when a user of it has passed an adjoint on. Since operands are older than their
// users, the newest due node has nothing more to receive: it passes its own on, and the scan goes
// down to the next. Blocks with nothing due are passed over; when nothing is due, the sweep ends.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "tape.hpp"

namespace tapegrad {

// The nodes that are due, while a sweep is under way. A backward function may begin a sweep inside
// a sweep, and let another thread go on with its own: whichever sweep goes on has its marks on the
// nodes, and those of all others are lifted off.
class Frontier {
 public:
  Frontier(Tape& tape, Index root)
      : tape_(tape), links_(tape.blocks().links()), block_(root / Blocks::size) {
    if (tape.frontier_ != nullptr) tape.frontier_->lift();
    tape.frontier_ = this;
  }
  Frontier(const Frontier&) = delete;
  Frontier& operator=(const Frontier&) = delete;

  // After an exception, nodes may still be due.
  ~Frontier() {
    if (tape_.frontier_ != this) return;
    for (Index i = end_of_block(); (i = next(i)) != no_node;) {
    }
    tape_.frontier_ = nullptr;
  }

  // To be called after anything that may have begun or continued another sweep.
  void go_on() {
    if (tape_.frontier_ == this) return;
    if (tape_.frontier_ != nullptr) tape_.frontier_->lift();
    tape_.frontier_ = this;
    for (const Index i : lifted_) mark(i);
    lifted_.clear();
  }

  void mark(Index i) noexcept {
    if (!(links_[i].operand[0] & due)) mark_new(i);
  }
  [[gnu::noinline]] void mark_new(Index i) noexcept {
    links_[i].operand[0] |= due;
    if (i / Blocks::size == block_) ++here;
    else count_elsewhere(i);
  }
  void count_elsewhere(Index i) noexcept {
    ++tape_.blocks().at(i / Blocks::size).due;
    ++elsewhere_;
  }

  void mark_operands(Index i) {
    tape_.each_operand(i, [this](Index node, double) { mark(node); });
  }

  // Passes the adjoint of a node with Lists on. The rows of a layer, recorded one after the other
  // and with their factors in common, go together: what the factors get is summed apart and given
  // once. Returns the last of these nodes; they are due no longer.
  Index pass(Index i, double adjoint) noexcept {
    const List* const factors = tape_.factors(i);
    if (factors == nullptr || factors->size > most_sums) {
      Arena::each_span(links_[i],
                       [&](const Index* nodes, const double* partials, std::size_t count) {
                         give(nodes, partials, count, adjoint);
                       });
      return i;
    }
    const std::size_t count = factors->size;
    double sums[most_sums];
    std::fill_n(sums, count, 0.0);
    for (;;) {
      const List& own = *tape_.list(i);
      give(own.nodes(), factors->numbers(), count, adjoint);
      give(own.nodes() + count, own.numbers() + count, own.size - count, adjoint);
      for (std::size_t k = 0; k < count; ++k) sums[k] += adjoint * own.numbers()[k];
      if (i % Blocks::size == 0) break;
      Link& next = links_[i - 1];
      if (next.operand[0] != due || next.operand[1] != in_extra || tape_.factors(i - 1) != factors)
        break;
      next.operand[0] = 0;
      --here;
      adjoint = next.adjoint;
      --i;
    }
    give(factors->nodes(), sums, count, 1.0);
    return i;
  }

  // The newest due node below `i`, or no_node. It is due no longer.
  Index next(Index i) noexcept {
    if (here == 0) i = next_block();
    if (i == no_node) return no_node;
    do --i;
    while (!is_due(i));
    links_[i].operand[0] &= ~due;
    --here;
    return i;
  }

  // A leaf that never is due has its bit set for good; no leaf block is scanned for that reason
  // unless a leaf with a backward function is due in it.
  bool is_due(Index i) const noexcept {
    const Index first = links_[i].operand[0];
    return (first & due) != 0 && first != (due | no_node);
  }

  // Goes to the next block with something due; returns the index past its end, or no_node.
  [[gnu::noinline]] Index next_block() noexcept {
    if (elsewhere_ == 0) return no_node;
    Blocks& blocks = tape_.blocks();
    do block_ = blocks.before(block_);
    while (blocks.at(block_).due == 0);
    here = std::exchange(blocks.at(block_).due, 0);
    elsewhere_ -= here;
    return end_of_block();
  }

  Index here = 0;  // nodes due in the block that the sweep is in

 private:
  static constexpr std::size_t most_sums = 256;

  void give(const Index* nodes, const double* partials, std::size_t count,
            double adjoint) noexcept {
    Link* const links = links_;
    for (std::size_t k = 0; k < count; ++k) {
      const Index i = nodes[k];
      if (i == no_node) continue;
      links[i].adjoint += adjoint * partials[k];
      if (!(links[i].operand[0] & due)) [[unlikely]]
        mark_new(i);
    }
  }

  Index end_of_block() const noexcept { return (block_ + 1) * Blocks::size; }

  void lift() {
    lifted_.reserve(here + elsewhere_);  // what can fail comes first
    const Index block = block_;
    for (Index i = end_of_block(); (i = next(i)) != no_node;) lifted_.push_back(i);
    block_ = block;  // what is marked again lies here or below
    tape_.frontier_ = nullptr;
  }

  Tape& tape_;
  Link* links_;
  Index block_;
  std::size_t elsewhere_ = 0;
  std::vector<Index> lifted_;
};

inline void Tape::backward(Index root, double seed) {
  Link* const links = blocks().links();
  Frontier frontier(*this, root);
  links[root].adjoint = seed;
  if (cell(root).op == Op::leaf) return push_adjoint(root);
  Index here = 0;  // frontier.here, in a register
  double adjoint = seed;
  for (Index i = root;;) {
    Link& l = links[i];
    // An operand recorded just before gets its adjoint in a register, summed as in memory.
    const Index previous = i % Blocks::size != 0 ? i - 1 : no_node;
    double carry = 0.0;
    bool adjacent = false;
    const auto give = [&](Index operand, double amount) {
      if (operand == previous) {
        carry = (adjacent ? carry : links[operand].adjoint) + amount;
        adjacent = true;
        return;
      }
      Link& below = links[operand];
      below.adjoint += amount;
      if (below.operand[0] & due) return;
      below.operand[0] |= due;
      if (operand / Blocks::size == i / Blocks::size) ++here;
      else frontier.count_elsewhere(operand);
    };
    const Index second = l.operand[1];
    if (second < in_extra) {
      give(second, adjoint * l.partial[1]);
      give(l.operand[0], adjoint * l.partial[0]);
    } else if (second == no_node) {
      give(l.operand[0], adjoint * l.partial[0]);
    } else {
      frontier.here = here;
      if ((l.operand[0] & ~due) == has_function) {
        push_adjoint(i);
        frontier.go_on();
        frontier.mark_operands(i);
      } else {
        i = frontier.pass(i, adjoint);
      }
      here = frontier.here;
    }
    if (adjacent) {
      adjoint = links[--i].adjoint = carry;
      Index& first = links[i].operand[0];
      here -= first / due;
      first &= ~due;
    } else {
      if (here == 0) {
        frontier.here = 0;
        i = frontier.next_block();
        if (i == no_node) return;
        here = frontier.here;
      }
      do --i;
      while (!frontier.is_due(i));
      links[i].operand[0] &= ~due;
      --here;
      adjoint = links[i].adjoint;
    }
  }
}

template <class Visit>
void Tape::walk(Index root, Visit visit) {
  Frontier frontier(*this, root);
  for (Index i = root; i != no_node; i = frontier.next(i)) {
    visit(i);
    frontier.go_on();
    frontier.mark_operands(i);
  }
}

inline void Tape::zero_adjoints(Index root) {
  link(root).adjoint = 0.0;
  walk(root, [this](Index i) {
    each_operand(i, [this](Index node, double) { link(node).adjoint = 0.0; });
  });
}

}  // namespace tapegrad
