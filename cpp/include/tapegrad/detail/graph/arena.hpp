// Reference counting of nodes. The arena destroys a node that loses its last owner, together with
// the operands of which that node was the last owner.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tapegrad/detail/graph/node.hpp"
#include "tapegrad/detail/graph/node_pool.hpp"
#include "tapegrad/detail/graph/operand_pool.hpp"

namespace tapegrad {

class PendingNodes;

// A pool of nodes with reference counts. The owners of a node are its handle, the nodes and operand
// lists that have it as an operand, snapshots of the embedding, and callers, such as a Value. The
// class is not thread-safe.
class Arena {
 public:
  explicit Arena(Index limit = max_nodes) : pool_(limit) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  Link& link(Index i) noexcept { return pool_.links()[i]; }
  Partials& partials(Index i) noexcept { return pool_.partials()[i]; }
  Cell& cell(Index i) noexcept { return pool_.cells()[i]; }
  const Link& link(Index i) const noexcept { return pool_.links()[i]; }
  const Partials& partials(Index i) const noexcept { return pool_.partials()[i]; }
  const Cell& cell(Index i) const noexcept { return pool_.cells()[i]; }
  NodePool& pool() noexcept { return pool_; }
  const NodePool& pool() const noexcept { return pool_; }

  // Returns a slot newer than that of every other node. The caller fills it in and is its first
  // owner.
  Index push() { return pool_.push(); }

  // Returns a new leaf. The caller is its first owner.
  Index leaf(double primal) {
    const Index i = pool_.push_leaf();
    link(i) = {0.0, {pending_bit | no_node, no_node}};
    cell(i) = {primal, 1, Op::leaf, 0};
    return i;
  }

  void own(Index i) noexcept { ++cell(i).owners; }
  bool has_handle(Index i) const noexcept { return cell(i).owners & handle_owner; }
  // Turns the caller's reference to the node into the handle's. take_from_handle() is the inverse.
  void give_to_handle(Index i) noexcept { cell(i).owners += handle_owner - 1; }
  void take_from_handle(Index i) noexcept { cell(i).owners -= handle_owner - 1; }
  // Subtracts `owner` (1, or handle_owner for a handle) from the count and destroys the node at 0.
  void release(Index i, std::uint32_t owner = 1) noexcept {
    Cell& c = cell(i);
    if ((c.owners -= owner) != 0) [[likely]]
      return;
    if (c.op != Op::leaf) destroy(i);
    else if (c.flags == 0 && !has_list(i)) pool_.reclaim_leaf(i);
    else destroy_rich_leaf(i);
  }

  // True if the operands of the node lie in operand lists and not in the node.
  bool has_list(Index i) const noexcept { return link(i).operand[1] == in_list; }

  // The operand lists of a node for which has_list() is true. An inner product may have the second,
  // which holds the factors by which the operands in the first are multiplied; else it is null.
  OperandList* list(Index i) const noexcept { return at(partials(i)[0]); }
  OperandList* factors(Index i) const noexcept { return at(partials(i)[1]); }

  // Calls visit(nodes, partials, count) for each range of operands of a node for which has_list()
  // is true. A single list is one range, with its own numbers as partials. For two lists, the
  // ranges are: the operands of the first list that have factors, whose partials are the numbers of
  // the second list; the operands of the second, whose partials are the numbers of the first; the
  // rest of the first, whose partials are their own numbers.
  template <class Visit>
  void each_span(Index i, Visit visit) const {
    const OperandList* const own = list(i);
    const OperandList* const factors = this->factors(i);
    if (factors == nullptr) {
      visit(own->nodes(), own->numbers(), own->size);
      return;
    }
    const std::size_t count = factors->size;
    visit(own->nodes(), factors->numbers(), count);
    visit(factors->nodes(), own->numbers(), count);
    if (own->size != count) visit(own->nodes() + count, own->numbers() + count, own->size - count);
  }

  // Calls visit(node, partial) for each operand that is a node.
  template <class Visit>
  void each_operand(Index i, Visit visit) const {
    if (has_list(i)) {
      return each_span(i, [&](const Index* nodes, const double* partials, std::size_t count) {
        for (std::size_t k = 0; k < count; ++k)
          if (nodes[k] != no_node) visit(nodes[k], partials[k]);
      });
    }
    const Link& l = link(i);
    const Index first = l.operand[0] & ~pending_bit;
    if (first != no_node) visit(first, partials(i)[0]);
    if (l.operand[1] != no_node) visit(l.operand[1], partials(i)[1]);
  }

  // True if the partials of all operands that are nodes are finite.
  bool has_finite_partials(Index i) const {
    bool finite = true;
    if (has_list(i)) {
      each_span(i, [&](const Index*, const double* numbers, std::size_t count) {
        finite = finite && are_finite(numbers, count);
      });
      if (finite) return true;
      finite = true;  // the number that is not finite may be a constant, which has no partial
    }
    each_operand(i, [&](Index, double partial) { finite &= std::isfinite(partial); });
    return finite;
  }

  // Moves the operands of the node into an operand list of its own, unless has_list() is true
  // already.
  void need_list(Index i) {
    if (has_list(i)) return;
    std::vector<Operand> operands;
    append_operands(i, operands);
    if (cell(i).flags & flag::constant_left) std::swap(operands[0], operands[1]);
    OperandList* const made = make_list(operands);
    // Keeps the mark of a sweep under way. The bit of a leaf is permanent and is no such mark.
    const Index first = link(i).operand[0];
    refer(i, made, nullptr, first == (pending_bit | no_node) ? 0 : first & pending_bit);
  }

  // Returns an operand list that belongs to this node alone, so that the caller may write to it.
  // Its numbers are partials. If the node shares its list, or has two, the function copies the
  // operands into a new list. has_list() must be true.
  OperandList& own_list(Index i) {
    OperandList* const before = list(i);
    OperandList* const factors_before = factors(i);
    if (factors_before == nullptr && before->owners == 1) return *before;
    std::vector<Operand> operands;
    append_operands(i, operands);
    OperandList* const made = make_list(operands);
    for (const Operand& operand : operands)
      if (operand.node != no_node) own(operand.node);
    refer(i, made, nullptr, link(i).operand[0]);
    give_up(before);
    if (factors_before != nullptr) give_up(factors_before);
    return *made;
  }

  // Ensures that the node shares no operand list with another node: if it does, the function gives
  // the node one list of its own, which owns each operand once per use.
  void unshare(Index i) {
    if (!has_list(i)) return;
    const OperandList* const by = factors(i);
    if (list(i)->owners > 1 || (by != nullptr && by->owners > 1)) own_list(i);
  }

  // Drops one reference to the list. If it was the last, releases the list's nodes and frees the
  // list.
  void give_up(OperandList* list) noexcept {
    if (--list->owners != 0) return;
    for (std::size_t k = 0; k < list->size; ++k)
      if (list->nodes()[k] != no_node) release(list->nodes()[k]);
    lists_.give_back(list);
  }

  OperandPool& lists() noexcept { return lists_; }

  // The backward function of the node, or null.
  Backward* backward_of(Index i) const noexcept {
    if (!has_list(i) || (link(i).operand[0] & ~pending_bit) != has_function) return nullptr;
    return extras_.find(i)->second.backward.get();
  }
  // Replaces the backward function of the node; null removes it. The arena discards the old one.
  void set_backward(Index i, std::unique_ptr<Backward> backward) {
    need_list(i);
    NodeExtra& extra = need_extra(i);
    std::swap(extra.backward, backward);
    link(i).operand[0] = (link(i).operand[0] & pending_bit) | (extra.backward ? has_function : 0);
    discard(std::move(backward));
  }

  // The NodeExtra of the node. need_extra() makes one if there is none; find_extra() returns null.
  NodeExtra& need_extra(Index i) {
    NodeExtra& extra = extras_[i];
    cell(i).flags |= flag::extra;
    return extra;
  }
  NodeExtra* find_extra(Index i) noexcept {
    if (!(cell(i).flags & flag::extra)) return nullptr;
    return &extras_.find(i)->second;
  }

  // Destroys the object as soon as the arena is at rest: at once, or when the last Busy ends.
  void discard(std::unique_ptr<Owned> object) noexcept {
    if (!object) return;
    object->next = discarded_;
    discarded_ = object.release();
    if (!discarding_) destroy_discarded();
  }

  // A scope that defers the destruction of discarded objects until the outermost Busy ends.
  class Busy {
   public:
    explicit Busy(Arena& arena)
        : arena_(arena), outermost_(!std::exchange(arena.discarding_, true)) {}
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() {
      if (outermost_) arena_.destroy_discarded();
    }

   private:
    Arena& arena_;
    bool outermost_;
  };

  std::size_t bytes() const noexcept {
    return pool_.bytes() + lists_.bytes() +
           extras_.size() * (sizeof(NodeExtra) + 2 * sizeof(void*));
  }

  // Appends the operands of the node, constants included. The order is as stored: with
  // flag::constant_left and no list, the constant comes second although it is the first operand.
  void append_operands(Index i, std::vector<Operand>& operands) const {
    if (has_list(i)) return append_list(i, operands);
    const Link& l = link(i);
    if ((l.operand[0] & ~pending_bit) == no_node) return;
    operands.push_back({l.operand[0] & ~pending_bit, partials(i)[0]});
    if (l.operand[1] != no_node || cell(i).flags & (flag::constant_left | flag::constant_right))
      operands.push_back({l.operand[1], partials(i)[1]});
  }

 private:
  friend class PendingNodes;

  // True if all numbers are finite. It uses integer arithmetic, which compilers vectorise: the
  // exponent bits of an infinity or NaN are all ones, and adding one to the exponent field carries
  // into the sign bit.
  static bool are_finite(const double* x, std::size_t count) noexcept {
    constexpr std::uint64_t sign = std::uint64_t{1} << 63, exponent = std::uint64_t{1} << 52;
    std::uint64_t carried = 0;
    for (std::size_t k = 0; k < count; ++k)
      carried |= (std::bit_cast<std::uint64_t>(x[k]) & ~sign) + exponent;
    return carried < sign;
  }

  void append_list(Index i, std::vector<Operand>& operands) const {
    const OperandList& own = *list(i);
    const std::size_t count = factors(i) != nullptr ? factors(i)->size : 0;
    const auto append = [&](const OperandList& values, const OperandList& partials,
                            std::size_t from, std::size_t to) {
      for (std::size_t k = from; k < to; ++k) {
        const Index node = values.nodes()[k];
        operands.push_back({node, (node == no_node ? values : partials).numbers()[k]});
      }
    };
    if (count != 0) {
      append(own, *factors(i), 0, count);
      append(*factors(i), own, 0, count);
    }
    append(own, own, count, own.size);
  }

  OperandList* make_list(const std::vector<Operand>& operands) {
    OperandList* const made = lists_.take(operands.size());
    for (std::size_t k = 0; k < operands.size(); ++k) {
      made->numbers()[k] = operands[k].partial;
      made->nodes()[k] = operands[k].node;
    }
    return made;
  }

 protected:
  // A node with operand lists stores their addresses in place of its partials.
  static OperandList* at(double bits) noexcept {
    return reinterpret_cast<OperandList*>(
        static_cast<std::uintptr_t>(std::bit_cast<std::uint64_t>(bits)));
  }
  static double bits_of(const OperandList* list) noexcept {
    return std::bit_cast<double>(
        static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(list)));
  }
  void refer(Index i, const OperandList* own, const OperandList* factors, Index first) noexcept {
    partials(i) = {bits_of(own), bits_of(factors)};
    link(i).operand[0] = first;
    link(i).operand[1] = in_list;
  }

 private:
  // Destroys a node that has lost its last owner, and every operand that thereby loses its last
  // owner. A node that waits for its destruction is doomed. One descending scan destroys the doomed
  // nodes of a block, starting at the newest; operands that die during the scan join it. Blocks
  // with other doomed nodes form a chain. There is no recursion and no allocation, however deep the
  // graph is. Objects of the embedding are destroyed last, because their destructors may run any
  // code.
  [[gnu::noinline]] void destroy(Index i) noexcept {
    for (Index here = 0;;) {
      destroy_in_block(i, here);
      if (doomed_ == NodePool::none) break;
      const Index block = doomed_;
      NodePool::Block& with = pool_.at(block);
      doomed_ = with.next_doomed;
      here = std::exchange(with.doomed, 0) - 1u;
      i = block * NodePool::size + with.newest_doomed + 1u;
      do --i;
      while (cell(i).owners != 0);
    }
    if (discarded_ != nullptr && !discarding_) [[unlikely]]
      destroy_discarded();
  }

  // Destroys a leaf that has a NodeExtra or an operand list. The list is empty; it was made for a
  // backward function. So no other node is destroyed with the leaf.
  [[gnu::noinline]] void destroy_rich_leaf(Index i) noexcept {
    destroy_leaf(i);
    if (discarded_ != nullptr && !discarding_) destroy_discarded();
  }

  // Destroys node `i` and the `here` further doomed nodes below it in its block.
  [[gnu::always_inline]] void destroy_in_block(Index i, Index here) noexcept {
    Cell* const cells = pool_.cells();
    const Link* const links = pool_.links();
    Cell* c = cells + i;
    const Link* l = links + i;
    const Index block = i / NodePool::size;
    const Link* const third = links + block * NodePool::size + 2;
    const auto drop = [&](Index operand) {
      if (--cells[operand].owners != 0) [[likely]]
        return;
      if (operand / NodePool::size == block) ++here;
      else doom(operand);
    };
    const auto last_use = [](const Cell& cell) {
      return cell.owners == 1 && !(cell.flags & flag::extra);
    };
    for (Index count = 1;; ++count) {
      // A chain of additions of products: the operands of an addition are the two nodes just
      // before, the sum so far and the newest product. If the sum is the only owner of both, the
      // scan destroys them directly, without counting them as doomed.
      const auto newest = static_cast<Index>(l - links);
      for (std::uint64_t before = both(newest - 2, newest - 1);
           both(*l) == before && l >= third && !(c->flags & flag::extra) && last_use(c[-1]) &&
           last_use(c[-2]);
           before -= both(2, 2)) {
        const Index left = l[-1].operand[0] & ~pending_bit;
        const Index right = l[-1].operand[1];
        if (right >= in_list) break;
        drop(left);
        drop(right);
        NodePool::mark_dead(c[0]);
        NodePool::mark_dead(c[-1]);
        l -= 2, c -= 2, count += 2;
      }
      const Index first = l->operand[0] & ~pending_bit;
      const Index second = l->operand[1];
      if (c->flags & flag::extra && !destroy_extra(static_cast<Index>(c - cells))) [[unlikely]] {
        --count;  // the attachment keeps the node alive
      } else {
        if (second == in_list) [[unlikely]] {
          const auto node = static_cast<Index>(c - cells);
          drop_list(list(node));
          if (OperandList* const by = factors(node)) drop_list(by);
        } else {
          if (first != no_node) drop(first);
          if (second != no_node) drop(second);
        }
        NodePool::mark_dead(*c);
      }
      if (here == 0) return pool_.reclaim(static_cast<Index>(c - cells), count);
      --here;
      do --l, --c;
      while (c->owners != 0);
    }
  }

  // Adds a node without owners to the doomed nodes of its block, and the block to the chain. The
  // node lies in another block than the one being scanned, or comes from an operand list. A leaf
  // has no operands, so the function destroys it at once.
  [[gnu::noinline]] void doom(Index i) noexcept {
    NodePool::Block& block = pool_.block_of(i);
    if (block.leaves) return destroy_leaf(i);
    const auto offset = static_cast<std::uint16_t>(i % NodePool::size);
    if (block.doomed++ == 0) {
      block.newest_doomed = offset;
      block.next_doomed = std::exchange(doomed_, i / NodePool::size);
    } else {
      block.newest_doomed = (std::max)(block.newest_doomed, offset);
    }
  }

  void destroy_leaf(Index i) noexcept {
    if (cell(i).flags & flag::extra && !destroy_extra(i)) return;
    if (has_list(i)) drop_list(list(i));
    pool_.reclaim_leaf(i);
  }

  // Drops one reference to the list, as give_up() does, but dooms the nodes that thereby die.
  [[gnu::noinline]] void drop_list(OperandList* list) noexcept {
    if (--list->owners != 0) return;
    Cell* const cells = pool_.cells();
    const Index* const nodes = list->nodes();
    for (std::size_t k = 0, count = list->size; k < count; ++k)
      if (nodes[k] != no_node && --cells[nodes[k]].owners == 0) [[unlikely]]
        doom(nodes[k]);
    lists_.give_back(list);
  }

  // Removes the NodeExtra of a dead node and discards its objects. Returns false if the attachment
  // has become an owner of the node, which then lives on.
  [[gnu::noinline]] bool destroy_extra(Index i) noexcept {
    const auto found = extras_.find(i);
    if (found->second.attachment && found->second.attachment->take_over(i)) {
      set_aside(std::move(found->second.attachment));
      return false;
    }
    set_aside(std::move(found->second.backward));
    set_aside(std::move(found->second.attachment));
    set_aside(std::move(found->second.held));
    set_aside(std::move(found->second.origin));
    extras_.erase(found);
    return true;
  }

  // Queues the object for destruction once the arena is at rest.
  void set_aside(std::unique_ptr<Owned> object) noexcept {
    if (!object) return;
    object->next = discarded_;
    discarded_ = object.release();
  }

  // A destructor may release further nodes. Their objects join the queue, so that the stack does
  // not grow.
  [[gnu::noinline]] void destroy_discarded() noexcept {
    discarding_ = true;
    while (discarded_ != nullptr) {
      const std::unique_ptr<Owned> object(discarded_);
      discarded_ = object->next;
    }
    discarding_ = false;
  }

  NodePool pool_;
  Index doomed_ = NodePool::none;  // head of the chain of blocks with doomed nodes
  // Objects to be destroyed once the arena is at rest.
  Owned* discarded_ = nullptr;
  bool discarding_ = false;
  OperandPool lists_;
  std::unordered_map<Index, NodeExtra> extras_;
  PendingNodes* pending_nodes_ = nullptr;  // of the innermost sweep under way
};

}  // namespace tapegrad
