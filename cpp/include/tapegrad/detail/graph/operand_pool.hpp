// Lists of operands in pooled memory: a node of many operands costs no call of the allocator.
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

// A header, then `size` numbers, then as many nodes. The number is the operand's partial where a
// node has this list alone, and the operand's primal where it has two (see Arena::each_span). The
// number of a constant, which no_node tells, is its value either way.
struct alignas(double) OperandList {
  std::uint32_t size;
  std::uint32_t owners;  // nodes that have it
  std::uint16_t flags;   // flag::heritable, if any of its nodes has it

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

// Sizes are rounded up to a quarter of the power of two below.
constexpr std::size_t of(std::size_t bytes) noexcept {
  const std::size_t last = (std::max)(bytes, smallest) - 1;
  const auto octave = static_cast<std::size_t>(std::bit_width(last)) - 1;
  return 4 * octave + (last >> (octave - 2)) - 4;
}
constexpr std::size_t bytes(std::size_t place) noexcept {
  return (place % 4 + 5) << (place / 4 - 2);
}

}  // namespace size_class

// Hands out lists by classes of size, four to a power of two. What is given back serves the next of
// its class, the last first: it is in the cache still. Only long lists go back to the system.
class OperandPool {
 public:
  static constexpr std::size_t longest = 16384;  // in bytes, of what is pooled

  OperandPool() = default;
  OperandPool(const OperandPool&) = delete;
  OperandPool& operator=(const OperandPool&) = delete;

  // A list with one owner, its operands yet to be written.
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

  std::size_t bytes() const noexcept { return chunks_.size() * chunk_bytes + long_bytes_; }

 private:
  struct Free {
    Free* next;
  };
  static constexpr std::size_t chunk_bytes = 1 << 17;

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
