// The records of a node, and the rarely needed data that some nodes have beside them.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <string>

#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad {

using Index = std::uint32_t;

// Bit 31 of operand[0] marks a node as pending in the sweep under way. It is always set on a leaf:
// a leaf has no operands, so a sweep never visits it.
inline constexpr Index pending_bit = 0x80000000u;
inline constexpr Index no_node = 0x7fffffffu;
inline constexpr Index in_list =
    0x7ffffffeu;  // in operand[1]: operands lie in operand lists, whose addresses are in Partials
// In operand[0] beside in_list: there is a backward function.
inline constexpr Index has_function = 1;
inline constexpr Index max_nodes = 0x7ffffe00u;

// The first of the three records of a node, all of one size: the adjoint and the operands. A sweep
// reads and writes it.
struct Link {
  double adjoint;
  Index operand[2];
};

// The second record: a partial for each operand. A constant operand has the index no_node, and its
// value takes the place of the partial. For a leaf the record is not written.
using Partials = std::array<double, 2>;

// Both operands as one integer, so that one comparison covers the two.
constexpr std::uint64_t both(Index first, Index second) noexcept {
  return std::bit_cast<std::uint64_t>(std::array<Index, 2>{first, second});
}
constexpr std::uint64_t both(const Link& link) noexcept {
  return std::bit_cast<std::uint64_t>(link.operand);
}

// The third record: everything that a sweep does not need.
struct Cell {
  double primal;
  std::uint32_t owners;
  Op op;
  std::uint16_t flags;
};

static_assert(sizeof(Link) == 16 && sizeof(Partials) == 16 && sizeof(Cell) == 16);
inline constexpr std::size_t bytes_per_node = sizeof(Link) + sizeof(Partials) + sizeof(Cell);

// The share of a handle in a node's reference count. The handle is the embedding's one object for
// the node. The share exceeds the sum of all other owners, so that the count shows if there is a
// handle.
inline constexpr std::uint32_t handle_owner = 0x80000000u;

namespace flag {
inline constexpr std::uint16_t constant_right = 1;  // the second operand is a constant
inline constexpr std::uint16_t constant_left = 2;   // the first operand is; Link holds the second
inline constexpr std::uint16_t extra = 4;           // the node has a NodeExtra
inline constexpr std::uint16_t dead = 8;  // the slot is dead; the pool frees it with its block
inline constexpr std::uint16_t heritable = 16;  // the embedding's; passes from operand to user
inline constexpr std::uint16_t fresh = 32;      // the embedding's: made, but not yet initialised
}  // namespace flag

// An object of the embedding that a node owns. The arena destroys it only while the arena is at
// rest, because the destructor may run code that records and releases nodes.
struct Owned {
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  virtual ~Owned() = default;
  // The arena calls this on an attachment when its node has lost the last owner. Returns true if
  // the attachment has become an owner of the node, which then lives until the attachment is
  // destroyed.
  virtual bool take_over(Index) noexcept { return false; }
  Owned* next = nullptr;
};

// A backward function, which replaces the recorded partials of a node.
struct Backward : Owned {
  virtual void operator()(Index node) = 0;
};

// An operand as a caller passes it: a node, or a constant if `node` is no_node.
struct Argument {
  Index node = no_node;
  double primal = 0.0;
};

// An operand as a node stores it.
struct Operand {
  Index node;      // no_node for a constant
  double partial;  // the value, for a constant
};

// The data that few nodes need. The arena keeps them in a map.
struct NodeExtra {
  std::string label;
  std::unique_ptr<std::string> symbol;  // null: the symbol of the operation table
  std::unique_ptr<Backward> backward;
  std::unique_ptr<Owned> attachment;
  std::unique_ptr<Owned> held;    // objects of the embedding that live as long as the node
  std::unique_ptr<Owned> origin;  // where the embedding made the node
  Index held_by = 0;              // number of `held` objects that keep this node's handle
  bool unannounced = false;       // earlier users lack this node's heritable flag
};

}  // namespace tapegrad
