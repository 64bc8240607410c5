// What a node is made of, and what the rare node has beside it.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <string>

#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad {

using Index = std::uint32_t;

// The first operand's top bit says during a sweep that the node is pending. A leaf has it set for
// good: nothing is below a leaf, so no sweep ever needs to visit one.
inline constexpr Index pending_bit = 0x80000000u;
inline constexpr Index no_node = 0x7fffffffu;
inline constexpr Index in_list =
    0x7ffffffeu;  // operands lie in operand lists, a backward function may too
inline constexpr Index has_function = 1;  // in operand[0], of those with a backward function
inline constexpr Index max_nodes = 0x7ffffe00u;

// A node is three records of one size. What a sweep writes, and finds a node's operands by:
struct Link {
  double adjoint;
  Index operand[2];
};

// One for each operand. A constant operand has no_node for its index and its number in the place of
// its partial. Not written where there are none.
using Partials = std::array<double, 2>;

// Both operands as one number, to be compared at once.
constexpr std::uint64_t both(Index first, Index second) noexcept {
  return std::bit_cast<std::uint64_t>(std::array<Index, 2>{first, second});
}
constexpr std::uint64_t both(const Link& link) noexcept {
  return std::bit_cast<std::uint64_t>(link.operand);
}

// What all that is not a sweep reads.
struct Cell {
  double primal;
  std::uint32_t owners;
  Op op;
  std::uint16_t flags;
};

static_assert(sizeof(Link) == 16 && sizeof(Partials) == 16 && sizeof(Cell) == 16);
inline constexpr std::size_t bytes_per_node = sizeof(Link) + sizeof(Partials) + sizeof(Cell);

// What a handle, the embedding's one object for a node, counts among its owners: more than all
// others together, so that it can be told whether there is one.
inline constexpr std::uint32_t handle_owner = 0x80000000u;

namespace flag {
inline constexpr std::uint16_t constant_right = 1;  // the second operand is a number
inline constexpr std::uint16_t constant_left = 2;   // the first is, and the Link holds the second
inline constexpr std::uint16_t extra = 4;           // has a NodeExtra
inline constexpr std::uint16_t dead = 8;            // waits for the rest of its block
inline constexpr std::uint16_t heritable = 16;      // the embedding's: whoever uses it has it too
inline constexpr std::uint16_t fresh = 32;          // the embedding's: not handed over yet
}  // namespace flag

// An object of the embedding that a node owns. Destroyed only when the arena is at rest, since its
// destructor may run code that records and releases.
struct Owned {
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  virtual ~Owned() = default;
  // Asked of an attachment when its node has lost its last owner. True where the attachment has
  // become an owner of the node, which then lives until the attachment is destroyed.
  virtual bool take_over(Index) noexcept { return false; }
  Owned* next = nullptr;
};

// A backward function that takes the place of the recorded partials.
struct Backward : Owned {
  virtual void operator()(Index node) = 0;
};

// An operand as it is given: a node, or a plain number.
struct Argument {
  Index node = no_node;
  double primal = 0.0;
};

struct Operand {
  Index node;      // no_node: a constant,
  double partial;  // and this is its value
};

struct NodeExtra {
  std::string label;
  std::unique_ptr<std::string> symbol;  // where it is not the table's
  std::unique_ptr<Backward> backward;
  std::unique_ptr<Owned> attachment;
  std::unique_ptr<Owned> held;    // what the embedding keeps alive for as long as the node is
  std::unique_ptr<Owned> origin;  // where the embedding made the node
  Index held_by = 0;              // how many such objects hold this node's handle
  bool unannounced = false;       // older users do not know that the node is heritable
};

}  // namespace tapegrad
