// A pool of operand lists: a node with many operands needs no call of the system's allocator.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tapegrad/detail/graph/node.hpp"

namespace tapegrad {

// The operands of a node, stored outside the node: this header, `size` numbers and `size` nodes.
// The number of a node is its partial if the user has this list alone, and its primal if the user
// has two lists (see Arena::each_span). The number of a constant, whose node is no_node, is always
// its value.
struct alignas(double) OperandList {
  std::uint32_t size;
  std::uint32_t owners;  // nodes, and a builder, that refer to the list
  std::uint16_t flags;   // flag::heritable, if a node of the list has it

  double* numbers() noexcept { return reinterpret_cast<double*>(this + 1); }
  const double* numbers() const noexcept { return reinterpret_cast<const double*>(this + 1); }
  Index* nodes() noexcept { return reinterpret_cast<Index*>(numbers() + size); }
  const Index* nodes() const noexcept { return reinterpret_cast<const Index*>(numbers() + size); }

  static std::size_t bytes(std::size_t size) noexcept {
    return sizeof(OperandList) + size * (sizeof(double) + sizeof(Index));
  }
};
static_assert(sizeof(OperandList) % alignof(double) == 0);

namespace size_class {

inline constexpr std::size_t smallest = 32;  // in bytes

// Size classes. There are four for each power of two; a size is rounded up to its class.
constexpr std::size_t of(std::size_t bytes) noexcept {
  const std::size_t last = (std::max)(bytes, smallest) - 1;
  const auto octave = static_cast<std::size_t>(std::bit_width(last)) - 1;
  return 4 * octave + (last >> (octave - 2)) - 4;
}
constexpr std::size_t bytes(std::size_t place) noexcept {
  return (place % 4 + 5) << (place / 4 - 2);
}

}  // namespace size_class

// An allocator of operand lists with a free list for each size class. The free lists are LIFO,
// because the list freed last is still in the cache. The pool keeps its chunks; only lists longer
// than `longest` go back to the system.
class OperandPool {
 public:
  static constexpr std::size_t longest = 16384;  // in bytes, of a pooled list

  OperandPool() = default;
  OperandPool(const OperandPool&) = delete;
  OperandPool& operator=(const OperandPool&) = delete;

  // Returns a list with one owner. The caller writes the operands. Throws std::bad_alloc.
  OperandList* take(std::size_t size) {
    if (size > (std::numeric_limits<std::uint32_t>::max)()) throw std::bad_alloc();
    const std::size_t bytes = OperandList::bytes(size);
    void* memory;
    if (bytes > longest) [[unlikely]] {
      memory = take_long(bytes);
    } else {
      const std::size_t place = size_class::of(bytes);
      Free*& first = free_[place];
      memory =
          first != nullptr ? std::exchange(first, first->next) : carve(size_class::bytes(place));
    }
    return new (memory) OperandList{static_cast<std::uint32_t>(size), 1, 0};
  }

  // Frees a list that the pool made.
  void give_back(OperandList* list) noexcept {
    const std::size_t bytes = OperandList::bytes(list->size);
    if (bytes > longest) [[unlikely]] {
      long_bytes_ -= bytes;
      long_.erase(list);
      return;
    }
    Free*& first = free_[size_class::of(bytes)];
    first = new (static_cast<void*>(list)) Free{first};
  }

  // Memory in use, in bytes.
  std::size_t bytes() const noexcept { return chunks_.size() * chunk_bytes + long_bytes_; }

 private:
  // A free chunk of memory, linked to the next of its size class.
  struct Free {
    Free* next;
  };
  static constexpr std::size_t chunk_bytes = 1 << 17;

  // Returns new memory from the newest chunk.
  void* carve(std::size_t bytes) {
    if (static_cast<std::size_t>(end_ - next_) < bytes) {
      chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(chunk_bytes));
      next_ = chunks_.back().get();
      end_ = next_ + chunk_bytes;
    }
    return std::exchange(next_, next_ + bytes);
  }

  void* take_long(std::size_t bytes) {
    auto memory = std::make_unique_for_overwrite<std::byte[]>(bytes);
    void* const list = memory.get();
    long_.emplace(list, std::move(memory));
    long_bytes_ += bytes;
    return list;
  }

  std::array<Free*, size_class::of(longest) + 1> free_{};
  std::byte* next_ = nullptr;
  std::byte* end_ = nullptr;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::unordered_map<const void*, std::unique_ptr<std::byte[]>> long_;
  std::size_t long_bytes_ = 0;
};

}  // namespace tapegrad
