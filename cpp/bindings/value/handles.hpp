// Which handle a node has.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "value/handle.hpp"

namespace tapegrad::python {

// All handles there are, dead ones that wait to be used again among them. A node does not refer to
// its handle: a pointer would be a sixth of all memory, written at every operation, for the few
// nodes that a program asks about.
//
// The first handles are settled: alive and indexed by their nodes, or set aside dead. The others
// have been given to nodes since, in a way that leaves no trace, or wait in FreeHandles for that. A
// search that the index does not answer settles them all, so that each operation pays for the look
// at its handle once at most. Handles that were set aside come back a few at a time: what a search
// looks through is in proportion to what was recorded since the one before.
class Handles {
 public:
  // False, with an error set, where there is no memory for it.
  bool add(Handle* handle) {
    return guarded([&] {
      all_.push_back(handle);
      if (waiting_.capacity() < most_waiting)
        waiting_.reserve(std::min(all_.capacity(), most_waiting));
      handle->place = static_cast<std::uint32_t>(all_.size() - 1);
      return true;
    });
  }

  // One made by object.__new__ was never added.
  bool has(const Handle* handle) const {
    return handle->place < all_.size() && all_[handle->place] == handle;
  }

  // Of a handle that dies: it is not found any more. Its node is still what it was.
  void forget(Handle* handle) noexcept {
    if (std::uint32_t* const entry = entry_of(handle)) remove_entry(handle->node, *entry);
  }

  // A handle that lives is given another node.
  void move(Handle* handle, Index node) noexcept {
    forget(handle);
    unsettle(handle);
    handle->node = node;
  }

  // A dead handle is free for the next node.
  void let_wait(Handle* handle) noexcept {
    unsettle(handle);
    handle->plain = true;
    free_handles().push(handle);
  }

  // The handle is about to be freed.
  void remove(Handle* handle) noexcept {
    forget(handle);
    unsettle(handle);
    exchange(handle->place, all_.size() - 1);
    all_.pop_back();
    if (all_.capacity() > smallest_shrunk && all_.size() < all_.capacity() / 4) shrink();
  }

  // One of the handles that were set aside, not alive yet; null where there are none.
  Handle* take() noexcept {
    if (waiting_.empty()) return nullptr;
    for (std::size_t count = std::min(batch_, waiting_.size()); count > 1; --count)
      let_wait(pop_waiting());
    batch_ = std::min(2 * batch_, largest_batch);
    Handle* const handle = pop_waiting();
    unsettle(handle);
    return handle;
  }

  // Of a node that has one.
  Handle* find(Index node) noexcept {
    if (Handle* const handle = indexed(node)) return handle;
    settle();
    if (Handle* const handle = indexed(node)) return handle;
    // Where there was no memory for the index.
    for (Handle* const handle : all_)
      if (handle->node == node && lives(handle)) return handle;
    return nullptr;
  }

  // Of a node whose handle is being deallocated.
  Handle* dying(Index node) const noexcept {
    for (Handle* const handle : all_)
      if (handle->node == node && !lives(handle) &&
          Py_TYPE(reinterpret_cast<PyObject*>(handle)) != value_type)
        return handle;
    return nullptr;
  }

 private:
  static constexpr std::size_t most_waiting = std::size_t{1} << 15;
  static constexpr std::size_t smallest_batch = 8, largest_batch = 4096;
  static constexpr std::size_t smallest_shrunk = std::size_t{1} << 17;

  // The places of the handles of a block's nodes, one more than they are: 0 where none is known.
  struct Page {
    std::array<std::uint32_t, NodePool::size> entries{};
    Index count = 0;
  };

  // Of handles that wait or die, nobody owns any.
  static bool lives(Handle* handle) { return Py_REFCNT(reinterpret_cast<PyObject*>(handle)) > 0; }

  Handle* indexed(Index node) const noexcept {
    const std::size_t page = node / NodePool::size;
    if (page >= pages_.size() || pages_[page] == nullptr) return nullptr;
    const std::uint32_t entry = pages_[page]->entries[node % NodePool::size];
    if (entry == 0 || entry > all_.size()) return nullptr;
    Handle* const handle = all_[entry - 1];
    return handle->node == node && lives(handle) ? handle : nullptr;
  }

  // What the index has for the handle; null where it has nothing, or another of the same node.
  std::uint32_t* entry_of(const Handle* handle) noexcept {
    const std::size_t page = handle->node / NodePool::size;
    if (page >= pages_.size() || pages_[page] == nullptr) return nullptr;
    std::uint32_t& entry = pages_[page]->entries[handle->node % NodePool::size];
    return entry == handle->place + std::uint32_t{1} ? &entry : nullptr;
  }

  void put(Handle* handle) {
    const std::size_t at = handle->node / NodePool::size;
    if (at >= pages_.size()) pages_.resize(at + 1);
    std::unique_ptr<Page>& page = pages_[at];
    if (page == nullptr) page = spare_ != nullptr ? std::move(spare_) : std::make_unique<Page>();
    std::uint32_t& entry = page->entries[handle->node % NodePool::size];
    if (entry == 0) ++page->count;
    entry = handle->place + std::uint32_t{1};
  }

  void remove_entry(Index node, std::uint32_t& entry) noexcept {
    std::unique_ptr<Page>& page = pages_[node / NodePool::size];
    entry = 0;
    if (--page->count == 0) spare_ = std::move(page);
  }

  // Indexes all that live and sets the others aside. Where memory is short, the rest stay as they
  // are.
  void settle() noexcept {
    try {
      for (std::size_t k = settled_; k < all_.size(); ++k) {
        Handle* const handle = all_[k];
        if (!lives(handle) || handle->node == unset_node) continue;  // or is being made, or dies
        put(handle);
        handle->plain = false;
        exchange(k, settled_++);
      }
    } catch (const std::bad_alloc&) {
      return;
    }
    batch_ = smallest_batch;
    while (free_handles().any()) {
      Handle* const handle = free_handles().pop();
      if (waiting_.size() < waiting_.capacity()) {
        waiting_.push_back(handle);
        exchange(handle->place, settled_++);
        continue;
      }
      auto* const object = reinterpret_cast<PyObject*>(handle);
      remove(handle);
      value_type->tp_free(object);
      Py_DECREF(value_type);
    }
  }

  Handle* pop_waiting() noexcept {
    Handle* const handle = waiting_.back();
    waiting_.pop_back();
    return handle;
  }

  void unsettle(Handle* handle) noexcept {
    if (handle->place >= settled_) return;
    exchange(handle->place, --settled_);
  }

  void exchange(std::size_t p, std::size_t q) noexcept {
    if (p == q) return;
    std::uint32_t* const first = entry_of(all_[p]);
    std::uint32_t* const second = entry_of(all_[q]);
    std::swap(all_[p], all_[q]);
    all_[p]->place = static_cast<std::uint32_t>(p);
    all_[q]->place = static_cast<std::uint32_t>(q);
    if (first != nullptr) *first = static_cast<std::uint32_t>(q + 1);
    if (second != nullptr) *second = static_cast<std::uint32_t>(p + 1);
  }

  void shrink() noexcept {
    try {
      std::vector<Handle*> fewer;
      fewer.reserve(2 * all_.size());
      fewer.assign(all_.begin(), all_.end());
      all_.swap(fewer);
    } catch (const std::bad_alloc&) {
      // The larger one serves as well.
    }
  }

  std::vector<Handle*> all_;
  std::size_t settled_ = 0;       // how many of them are
  std::vector<Handle*> waiting_;  // those that are set aside
  std::size_t batch_ = smallest_batch;
  std::vector<std::unique_ptr<Page>> pages_;  // by block of nodes
  std::unique_ptr<Page> spare_;               // an empty one
};

// Never destroyed: handles may outlive every static.
inline Handles& all_handles() {
  static Handles& handles = *new Handles;
  return handles;
}

}  // namespace tapegrad::python
