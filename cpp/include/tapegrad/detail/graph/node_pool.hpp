// The storage of nodes: blocks of slots in three parallel arrays that never move.
//
// A block of nodes with operands is reused only as a whole, except for the newest slots of the
// newest block, which the pool frees at once. A node made later lies later in the same block or in
// a block of higher `sequence`. Leaves need no order: they lie in blocks of their own, whose slots
// the pool reuses one by one.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "tapegrad/detail/base/errors.hpp"
#include "tapegrad/detail/base/virtual_memory.hpp"
#include "tapegrad/detail/graph/node.hpp"

namespace tapegrad {

// A growing pool of node slots. It hands out slots in the order of creation and frees dead ones.
class NodePool {
 public:
  static constexpr Index size = 512;  // nodes in a block
  static constexpr Index none = 0xffffffffu;

  // The state of a block.
  struct Block {
    // Neighbours in creation order; of a leaf block, in the list of leaf blocks with a free slot.
    // In a free block `next` links the free list.
    Index previous = none, next = none;
    std::uint64_t sequence = 0;
    Index pending = 0;  // nodes pending here while the sweep scans another block
    std::uint16_t dead = 0;
    std::uint16_t used = 0;    // leaf block: slots ever used
    std::uint16_t slot = 0;    // leaf block: 1 + the first slot of the free list, or 0
    std::uint16_t doomed = 0;  // nodes without owners that wait to be destroyed
    std::uint16_t newest_doomed = 0;
    bool leaves = false;
    Index next_doomed = none;  // next block of the chain of blocks with doomed nodes
  };

  // `limit` caps the number of nodes. The environment variable TAPEGRAD_MAX_NODES lowers it.
  explicit NodePool(Index limit = max_nodes) : limit_((std::min)(limit, max_nodes)) {
    if (const char* text = std::getenv("TAPEGRAD_MAX_NODES")) {
      const unsigned long long wanted = std::strtoull(text, nullptr, 10);
      if (wanted > 0) limit_ = static_cast<Index>(std::min<unsigned long long>(wanted, limit_));
    }
    limit_ = (std::max)(limit_, 2 * size);  // one block for leaves, one for the rest
  }

  Link* links() noexcept { return links_.records(); }
  Partials* partials() noexcept { return partials_.records(); }
  Cell* cells() noexcept { return cells_.records(); }
  const Link* links() const noexcept { return links_.records(); }
  const Partials* partials() const noexcept { return partials_.records(); }
  const Cell* cells() const noexcept { return cells_.records(); }

  Block& block_of(Index node) noexcept { return blocks_[node / size]; }
  const Block& block_of(Index node) const noexcept { return blocks_[node / size]; }
  Block& at(Index block) noexcept { return blocks_[block]; }

  // For nodes with operands, a number that grows in the order of creation. For leaves, a lower
  // number, which is not unique.
  std::uint64_t order(Index node) const noexcept {
    return block_of(node).sequence * size + node % size;
  }

  // The block that a sweep scans after `block`: the next older one and, after the oldest, the leaf
  // blocks. The caller knows that a block still to be scanned has pending nodes.
  Index before(Index block) const noexcept {
    if (!blocks_[block].leaves && blocks_[block].previous != none) return blocks_[block].previous;
    const bool began = blocks_[block].leaves;
    Index leaves = began ? block : static_cast<Index>(blocks_.size());
    do --leaves;
    while (!blocks_[leaves].leaves);
    return leaves;
  }

  // True if the next push(), or push_leaf(), needs no new block.
  bool has_room() const noexcept { return top_ != end_; }
  bool has_leaf_room() const noexcept {
    return cached_leaf_ != none || partial_leaf_block_ != none;
  }

  // Returns a new slot, which is newer than all others. Throws ArenaFull.
  Index push() {
    if (top_ == end_) [[unlikely]]
      begin_block();
    return top_++;
  }
  // push() for a caller that has checked has_room().
  Index push_within() noexcept { return top_++; }

  // Returns a slot for a leaf. Throws ArenaFull.
  Index push_leaf() {
    if (cached_leaf_ != none) return std::exchange(cached_leaf_, none);
    if (partial_leaf_block_ == none) [[unlikely]]
      begin_leaf_block();
    Block& block = blocks_[partial_leaf_block_];
    const Index base = partial_leaf_block_ * size;
    Index offset;
    if (block.slot != 0) {
      offset = block.slot - 1u;
      block.slot = static_cast<std::uint16_t>(links()[base + offset].operand[0]);
      --block.dead;
    } else {
      offset = block.used++;
    }
    if (block.slot == 0 && block.used == size) unlist(partial_leaf_block_);
    return base + offset;
  }

  // Marks a node as dead until the pool frees its slot. A dead node gets an owner, because a scan
  // takes a node without owners for a doomed one.
  static void mark_dead(Cell& cell) noexcept {
    cell.owners = 1;
    cell.op = Op::leaf;
    cell.flags = flag::dead;
  }

  // Takes back `count` nodes of one block that the caller has marked dead. `i` is the oldest of
  // them.
  void reclaim(Index i, Index count) noexcept {
    const Index id = i / size;
    if (id == current_ && i + count == top_) {
      top_ = i;
      if (i % size != 0 && cells()[i - 1].flags & flag::dead) reclaim_dead();
      return;
    }
    Block& block = blocks_[id];
    block.dead = static_cast<std::uint16_t>(block.dead + count);
    if (id == current_) {
      reclaim_dead();
    } else if (block.dead == size) {
      unlink(id);
      free_block(id);
    }
  }

  // Takes back the slot of a leaf that nothing refers to any more. The pool caches one such slot
  // for the next leaf, so that a program that makes and drops one leaf at a time never touches a
  // block.
  void reclaim_leaf(Index i) noexcept {
    if (cached_leaf_ == none) cached_leaf_ = i;
    else return_to_block(i);
  }

  // Calls visit(node) for each living node with operands that is newer than `node`, oldest first.
  template <class Visit>
  void each_newer(Index node, Visit visit) const {
    std::vector<Index> newer;
    const Index last = blocks_[node / size].leaves ? none : node / size;
    for (Index block = current_; block != none; block = blocks_[block].previous) {
      newer.push_back(block);
      if (block == last) break;
    }
    for (; !newer.empty(); newer.pop_back()) {
      const Index base = newer.back() * size;
      const Index end = newer.back() == current_ ? top_ : base + size;
      for (Index i = base / size == last ? node + 1 : base; i < end; ++i)
        if (!(cells()[i].flags & flag::dead)) visit(i);
    }
  }

  // Number of living nodes.
  std::size_t alive() const noexcept {
    std::size_t count = 0;
    for (const Block& block : blocks_)
      if (block.leaves) count += static_cast<std::size_t>(block.used) - block.dead;
      else if (block.sequence != 0)
        count += (&block == &blocks_[current_] ? top_ - current_ * size : size) - block.dead;
    return count - (cached_leaf_ != none ? 1 : 0);
  }
  Index limit() const noexcept { return limit_; }
  // Number of slots for which memory is committed.
  std::size_t capacity() const noexcept { return committed_; }
  // Memory in use, in bytes.
  std::size_t bytes() const noexcept {
    std::size_t count = blocks_.size();
    for (std::size_t k = 0; k < groups_.size(); ++k)
      if (groups_[k].returned) count -= std::min<std::size_t>(group, blocks_.size() - k * group);
    return count * size * bytes_per_node + blocks_.capacity() * sizeof(Block);
  }

  // True if the memory of the node can be read. The node may be dead.
  bool is_there(Index node) const noexcept {
    return node / size < blocks_.size() && !groups_[node / size / group].returned;
  }

 private:
  static constexpr Index commit_step = 131072;  // in nodes: 2 MB of each array, one huge page
  // Number of blocks in a group. The blocks of a group get and return their memory together.
  static constexpr Index group = commit_step / size;
  // The state of a group.
  struct BlockGroup {
    std::uint16_t used = 0;  // blocks that are not free
    bool returned = false;   // the system has the memory; no block is in use
  };
  // Up to this many empty groups, 25 MB in all, keep their memory; when there are more, half this
  // many do.
  static constexpr std::size_t least_kept = 4;
  // A program that fills returned groups again within `soon` runs a loop. The pool then keeps as
  // much memory as the loop uses.
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds soon{2};
  // The pool forgets such a loop once it has not used that much memory for `long_unused`.
  static constexpr std::chrono::seconds long_unused{10};
  // The offset, within a page, between the three records of a node. It avoids 4K aliasing: a
  // processor takes a load to depend on a recent store if the low twelve bits of both addresses are
  // equal.
  static constexpr std::size_t skew = 1344;  // a third of a page, in whole cache lines

  [[gnu::noinline, gnu::cold]] void begin_block() {
    const Index block = take_block();
    blocks_[block] = {.previous = current_, .sequence = ++sequence_};
    if (current_ != none) blocks_[current_].next = block;
    current_ = block;
    top_ = block * size;
    end_ = top_ + size;
  }

  [[gnu::noinline, gnu::cold]] void begin_leaf_block() {
    const Index block = take_block();
    blocks_[block] = {.leaves = true};
    list(block);
  }

  // Returns a free block: from the free list, from a returned group or from new memory.
  Index take_block() {
    if (free_ == none && cached_leaf_ != none) return_to_block(std::exchange(cached_leaf_, none));
    if (free_ == none && returned_ != none) get_group();
    if (free_ != none) return use(std::exchange(free_, blocks_[free_].next));
    const auto block = static_cast<Index>(blocks_.size());
    if (block >= limit_ / size)
      throw ArenaFull("the arena is full: " + std::to_string(alive()) + " of " +
                      std::to_string(limit_) + " nodes are in use");
    if (block * size >= committed_) commit();
    const bool is_first = block / group == groups_.size();
    if (is_first) {
      going_.resize(groups_.size() + 1);
      groups_.reserve(groups_.size() + 1);
    }
    blocks_.emplace_back();
    if (is_first) {
      groups_.emplace_back();
      ++empty_groups_;
    }
    return use(block);
  }

  // Counts the block as used by its group.
  Index use(Index block) noexcept {
    if (groups_[block / group].used++ == 0) {
      --empty_groups_;
      if (kept_ > least_kept && groups_in_use() >= kept_) used_so_much_ = Clock::now();
    }
    return block;
  }

  void free_block(Index block) noexcept {
    blocks_[block] = {.next = free_};
    free_ = block;
    if (--groups_[block / group].used == 0 && ++empty_groups_ > least_kept) return_groups();
  }

  std::size_t groups_in_use() const noexcept {
    return groups_.size() - empty_groups_ - returned_groups_;
  }

  // Returns the memory of empty groups to the system if there are more than `kept_` of them, but
  // keeps that of `kept_` groups for a loop, or of half of least_kept without one.
  [[gnu::noinline, gnu::cold]] void return_groups() noexcept {
    const Clock::time_point now = Clock::now();
    if (now - used_so_much_ > long_unused) kept_ = least_kept;
    if (empty_groups_ <= kept_) return;
    returned_at_ = now;
    std::size_t count = empty_groups_ - (kept_ == least_kept ? kept_ / 2 : kept_);
    going_.assign(groups_.size(), false);  // does not allocate: take_block() did
    for (std::size_t k = groups_.size(); count > 0; --count) {
      do --k;
      while (groups_[k].used != 0 || groups_[k].returned);
      going_[k] = groups_[k].returned = true;
      --empty_groups_, ++returned_groups_;
    }
    Index* end = &free_;  // end of the chain of the blocks that stay
    for (Index block = free_; block != none; block = blocks_[block].next) {
      if (going_[block / group]) continue;
      *end = block;
      end = &blocks_[block].next;
    }
    *end = none;
    for (std::size_t k = groups_.size(); k-- > 0;)
      if (going_[k]) return_group(k);
  }

  // Returns the memory of group `k`. Its blocks move to the chain of returned blocks, where they
  // stay together.
  void return_group(std::size_t k) noexcept {
    const std::size_t last = std::min<std::size_t>((k + 1) * group, blocks_.size());
    for (std::size_t block = last; block-- > k * group;)
      blocks_[block].next = std::exchange(returned_, static_cast<Index>(block));
    const std::size_t from = k * commit_step, to = from + commit_step;
    const bool first = k == 0 || groups_[k - 1].returned;
    const bool after = k + 1 < groups_.size() && groups_[k + 1].returned;
    links_.decommit(from, to, first, after);
    partials_.decommit(from, to, first, after);
    cells_.decommit(from, to, first, after);
  }

  // Commits memory for the first returned group and moves its blocks to the free list.
  [[gnu::noinline, gnu::cold]] void get_group() {
    const std::size_t k = returned_ / group;
    const std::size_t from = k * commit_step, to = from + commit_step;
    if (!links_.commit(from, to) || !partials_.commit(from, to) || !cells_.commit(from, to))
      throw ArenaFull("the arena cannot grow past " +
                      std::to_string(groups_in_use() * commit_step) +
                      " nodes: the system gives no more memory");
    groups_[k].returned = false;
    ++empty_groups_, --returned_groups_;
    free_ = returned_;
    Index last = free_;
    while (blocks_[last].next != none && blocks_[last].next / group == k) last = blocks_[last].next;
    returned_ = std::exchange(blocks_[last].next, none);
    const Clock::time_point now = Clock::now();
    if (now - returned_at_ > soon) return;
    returned_at_ = used_so_much_ = now;
    kept_ = (std::max)(kept_, groups_in_use() + 1);
  }

  void unlink(Index block) noexcept {
    const auto [previous, next] = std::pair(blocks_[block].previous, blocks_[block].next);
    if (previous != none) blocks_[previous].next = next;
    if (next != none) blocks_[next].previous = previous;
  }

  void commit() {
    if (reserved_ == 0) reserve();
    const std::size_t from = committed_;
    const std::size_t to = std::min<std::size_t>(from + commit_step, reserved_);
    if (from == to || !links_.commit(from, to) || !partials_.commit(from, to) ||
        !cells_.commit(from, to))
      throw ArenaFull("the arena cannot grow past " + std::to_string(from) +
                      " nodes: the system gives no more memory");
    committed_ = static_cast<Index>(to);
  }

  // Reserves address space for `limit_` nodes. Address space is free until it is used, but a
  // process may have a limit; the function then tries half as much, and so on.
  void reserve() {
    const auto round = [](std::size_t n) {
      return (n + commit_step - 1) / commit_step * commit_step;
    };
    for (std::size_t nodes = round(limit_); nodes >= commit_step; nodes = round(nodes / 2)) {
      if (links_.reserve(nodes) && partials_.reserve(nodes) && cells_.reserve(nodes)) {
        reserved_ = nodes;
        return;
      }
      if (nodes == commit_step) break;
    }
    throw ArenaFull("the arena cannot begin: the system gives no address space");
  }

  // Frees the newest slots of the current block, down to the newest that is not dead.
  [[gnu::noinline]] void reclaim_dead() noexcept {
    Block& block = blocks_[current_];
    for (const Index base = current_ * size; top_ != base && cells()[top_ - 1].flags & flag::dead;
         --top_)
      --block.dead;
  }

  // Puts the slot on the free list of its leaf block. Frees the block if it is empty, unless it is
  // the first one with a free slot.
  [[gnu::noinline]] void return_to_block(Index i) noexcept {
    const Index id = i / size;
    Block& block = blocks_[id];
    const bool was_full = block.slot == 0 && block.used == size;
    links()[i].operand[0] = block.slot;
    block.slot = static_cast<std::uint16_t>(i % size + 1);
    ++block.dead;
    if (was_full) {
      // Only the first block of the list may stay empty, and this block is about to become the
      // first.
      const Index head = partial_leaf_block_;
      if (head != none && blocks_[head].dead == blocks_[head].used) {
        unlist(head);
        free_block(head);
      }
      list(id);
    }
    if (block.dead == block.used && partial_leaf_block_ != id) {
      unlist(id);
      free_block(id);
    }
  }

  // Adds a leaf block to the list of those with a free slot. unlist() removes it.
  void list(Index block) noexcept {
    blocks_[block].previous = none;
    blocks_[block].next = partial_leaf_block_;
    if (partial_leaf_block_ != none) blocks_[partial_leaf_block_].previous = block;
    partial_leaf_block_ = block;
  }

  void unlist(Index block) noexcept {
    if (partial_leaf_block_ == block) partial_leaf_block_ = blocks_[block].next;
    unlink(block);
    blocks_[block].previous = blocks_[block].next = none;
  }

  Index top_ = 0, end_ = 0;  // next slot and end of the current block
  VirtualArray<Link, 0> links_;
  VirtualArray<Partials, skew> partials_;
  VirtualArray<Cell, 2 * skew> cells_;
  Index current_ = none;
  Index free_ = none;                // chain of free blocks
  Index partial_leaf_block_ = none;  // head of the list of leaf blocks with a free slot
  Index cached_leaf_ = none;         // slot that the next leaf gets
  Index limit_;
  Index committed_ = 0;
  std::size_t reserved_ = 0;
  std::uint64_t sequence_ = 0;
  std::vector<Block> blocks_;
  std::vector<BlockGroup> groups_;
  std::vector<bool> going_;       // a flag for each group; scratch of return_groups()
  std::size_t empty_groups_ = 0;  // empty groups that have memory
  std::size_t returned_groups_ = 0;
  Index returned_ = none;          // chain of the blocks of returned groups
  std::size_t kept_ = least_kept;  // number of empty groups that keep their memory
  Clock::time_point returned_at_{}, used_so_much_{};
};

}  // namespace tapegrad
