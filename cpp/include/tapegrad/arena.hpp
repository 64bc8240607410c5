// Who owns a node, and what goes when the last owner does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

#include "blocks.hpp"
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
  Extra& extra(Index i) noexcept { return extras_[link(i).operand[0] & ~due]; }
  const Extra& extra(Index i) const noexcept { return extras_[link(i).operand[0] & ~due]; }

  // Moves the node's operands into an Extra of its own, if they are not in one already.
  Extra& need_extra(Index i) {
    if (has_extra(i)) return extra(i);
    Extra moved;
    append_operands(i, moved.operands);
    if (cell(i).flags & flag::constant_left) std::swap(moved.operands[0], moved.operands[1]);
    return place_extra(i, std::move(moved));
  }
  Extra& place_extra(Index i, Extra extra) {
    if (free_extras_.empty()) {
      extras_.emplace_back();
      // So that giving one back cannot fail.
      if (free_extras_.capacity() < extras_.size()) free_extras_.reserve(2 * extras_.size());
      free_extras_.push_back(static_cast<Index>(extras_.size() - 1));
    }
    const Index number = free_extras_.back();
    free_extras_.pop_back();
    extras_[number] = std::move(extra);
    // A sweep may be under way; only a leaf's bit is no mark.
    const Index first = link(i).operand[0];
    link(i).operand[0] = number | (first == (due | no_node) ? 0 : first & due);
    link(i).operand[1] = in_extra;
    return extras_[number];
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
    return blocks_.bytes() + extras_.size() * sizeof(Extra) +
           notes_.size() * (sizeof(Note) + 2 * sizeof(void*));
  }

  // The operands as the Link holds them, constants included.
  void append_operands(Index i, std::vector<Operand>& operands) const {
    if (has_extra(i)) {
      operands = extra(i).operands;
      return;
    }
    const Link& l = link(i);
    if ((l.operand[0] & ~due) == no_node) return;
    operands.push_back({l.operand[0] & ~due, l.partial[0]});
    if (l.operand[1] != no_node || cell(i).flags & (flag::constant_left | flag::constant_right))
      operands.push_back({l.operand[1], l.partial[1]});
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
        chain = destroy_extra(first, chain);
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
    Cell& cell = cells[operand];
    if (--cell.owners != 0) return chain;
    cell.handle = reinterpret_cast<void*>(static_cast<std::uintptr_t>(chain));
    return operand;
  }

  [[gnu::noinline]] Index destroy_extra(Index number, Index chain) noexcept {
    Extra& extra = extras_[number];
    for (const Operand& operand : extra.operands)
      if (operand.node != no_node) chain = drop(blocks_.cells(), operand.node, chain);
    set_aside(std::move(extra.backward));
    extra = {};
    free_extras_.push_back(number);
    return chain;
  }

  [[gnu::noinline]] void destroy_note(Index i) noexcept {
    const auto found = notes_.find(i);
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
  std::deque<Extra> extras_;
  std::vector<Index> free_extras_;
  std::unordered_map<Index, Note> notes_;
};

}  // namespace tapegrad
