// Who owns a node, and what goes when the last owner does.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "blocks.hpp"
#include "lists.hpp"
#include "node.hpp"

namespace tapegrad {

// A node counts its owners: handles, and the nodes that have it as an operand. Not for use from
// several threads at once.
class Arena {
 public:
  explicit Arena(Index limit = max_nodes) : blocks_(limit) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  Link& link(Index i) noexcept { return blocks_.links()[i]; }
  Cell& cell(Index i) noexcept { return blocks_.cells()[i]; }
  const Link& link(Index i) const noexcept { return blocks_.links()[i]; }
  const Cell& cell(Index i) const noexcept { return blocks_.cells()[i]; }
  Blocks& blocks() noexcept { return blocks_; }
  const Blocks& blocks() const noexcept { return blocks_; }

  // A slot newer than every other node's; the caller fills it in and is its first owner.
  Index push() { return blocks_.push(); }

  Index leaf(double primal) {
    const Index i = blocks_.push_leaf();
    link(i) = {0.0, {0.0, 0.0}, {due | no_node, no_node}};
    cell(i) = {primal, nullptr, 1, Op::leaf, 0};
    return i;
  }

  void own(Index i) noexcept { ++cell(i).owners; }
  void release(Index i) noexcept {
    Cell& c = cell(i);
    if (--c.owners != 0) return;
    if (c.op == Op::leaf && c.flags == 0 && link(i).operand[1] == no_node)
      return blocks_.take_back_leaf(i);
    destroy(i);
  }

  bool has_extra(Index i) const noexcept { return link(i).operand[1] == in_extra; }

  // The Lists of a node that has any: the second is null, or what the first is multiplied by.
  List* list(Index i) const noexcept { return at(link(i).partial[0]); }
  List* factors(Index i) const noexcept { return at(link(i).partial[1]); }

  // Calls visit(nodes, partials, count) for each stretch of the operands of a node with Lists. With
  // two, the partials of either are the other's numbers; what the first has beyond the second's
  // length comes last, with partials of its own.
  template <class Visit>
  static void each_span(const Link& l, Visit visit) {
    List* const own = at(l.partial[0]);
    List* const factors = at(l.partial[1]);
    if (factors == nullptr) {
      visit(own->nodes(), own->numbers(), own->size);
      return;
    }
    const std::size_t count = factors->size;
    visit(own->nodes(), factors->numbers(), count);
    visit(factors->nodes(), own->numbers(), count);
    if (own->size != count) visit(own->nodes() + count, own->numbers() + count, own->size - count);
  }

  // Moves the node's operands into one List of its own, if they do not lie in Lists already.
  void need_extra(Index i) {
    if (has_extra(i)) return;
    std::vector<Operand> operands;
    append_operands(i, operands);
    if (cell(i).flags & flag::constant_left) std::swap(operands[0], operands[1]);
    List* const made = make_list(operands);
    // A sweep may be under way; only a leaf's bit is no mark.
    const Index first = link(i).operand[0];
    refer(i, made, nullptr, first == (due | no_node) ? 0 : first & due);
  }

  // Gives a node with Lists one that is its own alone, with its partials: it may be written to.
  List& own_list(Index i) {
    List* const before = list(i);
    List* const factors_before = factors(i);
    if (factors_before == nullptr && before->owners == 1) return *before;
    std::vector<Operand> operands;
    append_operands(i, operands);
    List* const made = make_list(operands);
    for (const Operand& operand : operands)
      if (operand.node != no_node) own(operand.node);
    refer(i, made, nullptr, link(i).operand[0]);
    give_up(before);
    if (factors_before != nullptr) give_up(factors_before);
    return *made;
  }

  // Afterwards each operand of the node counts it as an owner, and none that it shares with others.
  void unshare(Index i) {
    if (!has_extra(i)) return;
    const List* const by = factors(i);
    if (list(i)->owners > 1 || (by != nullptr && by->owners > 1)) own_list(i);
  }

  // Takes one owner from the List; without any left, its nodes have one less each.
  void give_up(List* list) noexcept {
    if (--list->owners != 0) return;
    for (std::size_t k = 0; k < list->size; ++k)
      if (list->nodes()[k] != no_node) release(list->nodes()[k]);
    lists_.give_back(list);
  }

  Lists& lists() noexcept { return lists_; }

  Backward* backward_of(Index i) const noexcept {
    if (!has_extra(i) || (link(i).operand[0] & ~due) != has_function) return nullptr;
    return notes_.find(i)->second.backward.get();
  }
  void set_backward(Index i, std::unique_ptr<Backward> backward) {
    need_extra(i);
    Note& note = need_note(i);
    std::swap(note.backward, backward);
    link(i).operand[0] = (link(i).operand[0] & due) | (note.backward ? has_function : 0);
    discard(std::move(backward));
  }

  Note& need_note(Index i) {
    Note& note = notes_[i];
    cell(i).flags |= flag::noted;
    return note;
  }
  Note* find_note(Index i) noexcept {
    if (!(cell(i).flags & flag::noted)) return nullptr;
    return &notes_.find(i)->second;
  }

  // Destroys the object as soon as the arena is at rest.
  void discard(std::unique_ptr<Owned> object) noexcept {
    if (!object) return;
    object->next = discarded_;
    discarded_ = object.release();
    if (!discarding_) destroy_discarded();
  }

  // While it lives, nothing is destroyed that was discarded.
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
    return blocks_.bytes() + lists_.bytes() + notes_.size() * (sizeof(Note) + 2 * sizeof(void*));
  }

  // The operands as the Link holds them, constants included.
  void append_operands(Index i, std::vector<Operand>& operands) const {
    if (has_extra(i)) return append_list(i, operands);
    const Link& l = link(i);
    if ((l.operand[0] & ~due) == no_node) return;
    operands.push_back({l.operand[0] & ~due, l.partial[0]});
    if (l.operand[1] != no_node || cell(i).flags & (flag::constant_left | flag::constant_right))
      operands.push_back({l.operand[1], l.partial[1]});
  }

 private:
  void append_list(Index i, std::vector<Operand>& operands) const {
    const List& own = *list(i);
    const std::size_t count = factors(i) != nullptr ? factors(i)->size : 0;
    const auto append = [&](const List& values, const List& partials, std::size_t from,
                            std::size_t to) {
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

  List* make_list(const std::vector<Operand>& operands) {
    List* const made = lists_.take(operands.size());
    for (std::size_t k = 0; k < operands.size(); ++k) {
      made->numbers()[k] = operands[k].partial;
      made->nodes()[k] = operands[k].node;
    }
    return made;
  }

 protected:
  // Lists lie in the place of a Link's partials.
  static List* at(double bits) noexcept {
    return reinterpret_cast<List*>(static_cast<std::uintptr_t>(std::bit_cast<std::uint64_t>(bits)));
  }
  static double bits_of(const List* list) noexcept {
    return std::bit_cast<double>(
        static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(list)));
  }
  void refer(Index i, const List* own, const List* factors, Index first) noexcept {
    Link& l = link(i);
    l.partial[0] = bits_of(own);
    l.partial[1] = bits_of(factors);
    l.operand[0] = first;
    l.operand[1] = in_extra;
  }

 private:
  // The chain of nodes that wait to be destroyed runs through their handle fields: no recursion,
  // no allocation, however deep the graph. No code of the embedding runs before it is done.
  [[gnu::noinline]] void destroy(Index i) noexcept {
    const Link* const links = blocks_.links();
    Cell* const cells = blocks_.cells();
    for (Index chain = no_node;;) {
      const Index first = links[i].operand[0] & ~due;
      const Index second = links[i].operand[1];
      if (cells[i].flags & flag::noted) [[unlikely]]
        destroy_note(i);
      if (second < in_extra) {
        // The second operand is mostly the newer: destroyed next, it is at the tail.
        chain = drop(cells, first, chain);
        chain = drop(cells, second, chain);
      } else if (second == in_extra) [[unlikely]] {
        chain = drop_list(at(links[i].partial[0]), chain);
        if (List* const factors = at(links[i].partial[1])) chain = drop_list(factors, chain);
      } else if (first != no_node) {
        chain = drop(cells, first, chain);
      }
      blocks_.take_back(i);
      if (chain == no_node) break;
      i = chain;
      chain = static_cast<Index>(reinterpret_cast<std::uintptr_t>(cells[i].handle));
    }
    if (discarded_ != nullptr && !discarding_) [[unlikely]]
      destroy_discarded();
  }

  // Takes one owner from the operand; without any left, it becomes the head of the chain.
  static Index drop(Cell* cells, Index operand, Index chain) noexcept {
    return --cells[operand].owners != 0 ? chain : put(cells, operand, chain);
  }
  static Index put(Cell* cells, Index node, Index chain) noexcept {
    cells[node].handle = reinterpret_cast<void*>(static_cast<std::uintptr_t>(chain));
    return node;
  }

  [[gnu::noinline]] Index drop_list(List* list, Index chain) noexcept {
    if (--list->owners != 0) return chain;
    Cell* const cells = blocks_.cells();
    const Index* const nodes = list->nodes();
    for (std::size_t k = 0, count = list->size; k < count; ++k)
      if (nodes[k] != no_node && --cells[nodes[k]].owners == 0) [[unlikely]]
        chain = put(cells, nodes[k], chain);
    lists_.give_back(list);
    return chain;
  }

  [[gnu::noinline]] void destroy_note(Index i) noexcept {
    const auto found = notes_.find(i);
    set_aside(std::move(found->second.backward));
    set_aside(std::move(found->second.attachment));
    set_aside(std::move(found->second.held));
    notes_.erase(found);
  }

  void set_aside(std::unique_ptr<Owned> object) noexcept {
    if (!object) return;
    object->next = discarded_;
    discarded_ = object.release();
  }

  // A destructor may release further nodes: they join the list and not the stack.
  [[gnu::noinline]] void destroy_discarded() noexcept {
    discarding_ = true;
    while (discarded_ != nullptr) {
      const std::unique_ptr<Owned> object(discarded_);
      discarded_ = object->next;
    }
    discarding_ = false;
  }

  Blocks blocks_;
  Owned* discarded_ = nullptr;
  bool discarding_ = false;
  Lists lists_;
  std::unordered_map<Index, Note> notes_;
};

// A List while it is written. It owns the nodes that it has so far; a node recorded with it becomes
// an owner beside it.
class Draft {
 public:
  Draft(Arena& arena, std::size_t size) : arena_(arena), list_(arena.lists().take(size)) {}
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  ~Draft() {
    for (std::size_t k = filled_; k < list_->size; ++k) list_->nodes()[k] = no_node;
    arena_.give_up(list_);
  }

  // Writes one operand after the other with what it needs in registers.
  class Pen {
   public:
    explicit Pen(Draft& draft)
        : draft_(draft),
          cells_(draft.arena_.blocks().cells()),
          numbers_(draft.list_->numbers()),
          nodes_(draft.list_->nodes()),
          at_(draft.filled_) {}
    Pen(const Pen&) = delete;
    Pen& operator=(const Pen&) = delete;
    ~Pen() {
      draft_.filled_ = at_;
      draft_.flags_ |= flags_;
      draft_.any_node_ |= any_node_;
    }

    double add(double number) noexcept { return put(no_node, number); }
    double add(Index node) noexcept { return put(node, adopted(node).primal); }
    void add(Index node, double number) noexcept {
      put(node, number);
      if (node != no_node) adopted(node);
    }

   private:
    double put(Index node, double number) noexcept {
      nodes_[at_] = node;
      return numbers_[at_++] = number;
    }
    Cell& adopted(Index node) noexcept {
      Cell& cell = cells_[node];
      ++cell.owners;
      flags_ |= cell.flags;
      any_node_ = true;
      return cell;
    }

    Draft& draft_;
    Cell* cells_;
    double* numbers_;
    Index* nodes_;
    std::size_t at_;
    std::uint16_t flags_ = 0;
    bool any_node_ = false;
  };

  void add(Index node, double number) noexcept { Pen(*this).add(node, number); }
  // What a sum of products starts with: beside the factors, and with a partial of its own.
  void add_start(const Argument& start) noexcept {
    add(start.node, start.node == no_node ? start.primal : 1.0);
  }

  std::size_t size() const noexcept { return list_->size; }
  std::size_t filled() const noexcept { return filled_; }
  bool any_node() const noexcept { return any_node_; }

  // What of its nodes has become heritable since it was added.
  void look_again() noexcept {
    for (std::size_t k = 0; k < filled_; ++k)
      if (const Index node = list_->nodes()[k]; node != no_node) flags_ |= arena_.cell(node).flags;
  }

  // To be recorded with, once all is there.
  List& list() noexcept {
    list_->flags = flags_ & flag::heritable;
    return *list_;
  }

 private:
  Arena& arena_;
  List* list_;
  std::size_t filled_ = 0;
  std::uint16_t flags_ = 0;
  bool any_node_ = false;
};

}  // namespace tapegrad
