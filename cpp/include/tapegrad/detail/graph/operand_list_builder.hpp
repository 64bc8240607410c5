// A builder of an operand list. A caller fills the list before it records the node that owns it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tapegrad/detail/graph/arena.hpp"

namespace tapegrad {

// An operand list under construction. The builder owns the list, and the list owns the nodes added
// so far. A node recorded with the list becomes a second owner of it. If the builder is destroyed
// earlier, the list and its references go with it.
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

  // Adds operands in a loop with its state in registers. The destructor writes the state back.
  class Writer {
   public:
    explicit Writer(OperandListBuilder& builder)
        : builder_(builder),
          cells_(builder.arena_.pool().cells()),
          numbers_(builder.list_->numbers()),
          nodes_(builder.list_->nodes()),
          at_(builder.filled_) {}
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer() {
      builder_.filled_ = at_;
      builder_.flags_ |= flags_;
      builder_.any_node_ |= any_node_;
    }

    // Appends a constant, or a node with its primal, and returns the number. The last overload
    // appends a node with its partial, or a constant as no_node with its value.
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

    OperandListBuilder& builder_;
    Cell* cells_;
    double* numbers_;
    Index* nodes_;
    std::size_t at_;
    std::uint16_t flags_ = 0;
    bool any_node_ = false;
  };

  void add(Index node, double number) noexcept { Writer(*this).add(node, number); }
  // Appends the start of a sum of products. It stands after the operands that have factors, and has
  // a partial of its own.
  void add_start(const Argument& start) noexcept {
    add(start.node, start.node == no_node ? start.primal : 1.0);
  }

  std::size_t size() const noexcept { return list_->size; }
  std::size_t filled() const noexcept { return filled_; }
  bool any_node() const noexcept { return any_node_; }

  // Collects the flags of the nodes again. A node may have become heritable since it was added.
  void refresh_flags() noexcept {
    for (std::size_t k = 0; k < filled_; ++k)
      if (const Index node = list_->nodes()[k]; node != no_node) flags_ |= arena_.cell(node).flags;
  }

  // The list, to be recorded once it is complete.
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
