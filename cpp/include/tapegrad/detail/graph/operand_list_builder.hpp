// Writing an An operand list, one by one, before the node that will own it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tapegrad/detail/graph/arena.hpp"

namespace tapegrad {

// An OperandList while it is written. It owns the nodes that it has so far; a node recorded with it
// becomes an owner beside it.
class OperandListBuilder {
 public:
  OperandListBuilder(Arena& arena, std::size_t size)
      : arena_(arena), list_(arena.lists().take(size)) {}
  OperandListBuilder(const OperandListBuilder&) = delete;
  OperandListBuilder& operator=(const OperandListBuilder&) = delete;
  ~OperandListBuilder() {
    for (std::size_t k = filled_; k < list_->size; ++k) list_->nodes()[k] = no_node;
    arena_.give_up(list_);
  }

  // Writes one operand after the other with what it needs in registers.
  class Writer {
   public:
    explicit Writer(OperandListBuilder& draft)
        : draft_(draft),
          cells_(draft.arena_.pool().cells()),
          numbers_(draft.list_->numbers()),
          nodes_(draft.list_->nodes()),
          at_(draft.filled_) {}
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer() {
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

    OperandListBuilder& draft_;
    Cell* cells_;
    double* numbers_;
    Index* nodes_;
    std::size_t at_;
    std::uint16_t flags_ = 0;
    bool any_node_ = false;
  };

  void add(Index node, double number) noexcept { Writer(*this).add(node, number); }
  // What a sum of products starts with: beside the factors, and with a partial of its own.
  void add_start(const Argument& start) noexcept {
    add(start.node, start.node == no_node ? start.primal : 1.0);
  }

  std::size_t size() const noexcept { return list_->size; }
  std::size_t filled() const noexcept { return filled_; }
  bool any_node() const noexcept { return any_node_; }

  // What of its nodes has become heritable since it was added.
  void refresh_flags() noexcept {
    for (std::size_t k = 0; k < filled_; ++k)
      if (const Index node = list_->nodes()[k]; node != no_node) flags_ |= arena_.cell(node).flags;
  }

  // To be recorded with, once all is there.
  OperandList& list() noexcept {
    list_->flags = flags_ & flag::heritable;
    return *list_;
  }

 private:
  Arena& arena_;
  OperandList* list_;
  std::size_t filled_ = 0;
  std::uint16_t flags_ = 0;
  bool any_node_ = false;
};

}  // namespace tapegrad
