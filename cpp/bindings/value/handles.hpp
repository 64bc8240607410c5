// The set of all handles, and the index from a node to its handle.
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

// All handles, including the dead ones that wait for reuse. A node has no pointer to its handle:
// that pointer would take a sixth of all memory and a store at every operation, for the few nodes
// that a program asks about.
//
// The first `settled_` handles are settled: either alive and indexed by their nodes, or dead and
// set aside. The others are either unindexed, since giving a handle to a node leaves no trace here,
// or wait in FreeHandles. A search that the index cannot answer settles all of them, so that each
// operation pays for the visit to its handle at most once. Handles that were set aside return in
// small batches, so that a search visits a number of handles in proportion to the operations
// recorded since the search before.
class Handles {
 public:
  // Adds a handle. Returns false, with an error set, if there is no memory.
  bool add(Handle* handle) {
    return guarded([&] {
      all_.push_back(handle);
      if (waiting_.capacity() < most_waiting)
        waiting_.reserve(std::min(all_.capacity(), most_waiting));
      handle->place = static_cast<std::uint32_t>(all_.size() - 1);
      return true;
    });
  }

  // True if the handle was added. A handle made by object.__new__ was not.
  bool has(const Handle* handle) const {
    return handle->place < all_.size() && all_[handle->place] == handle;
  }

  // Removes a dying handle from the index. Its node stays what it was.
  void forget(Handle* handle) noexcept {
    if (std::uint32_t* const entry = entry_of(handle)) remove_entry(handle->node, *entry);
  }

  // Gives a living handle another node.
  void move(Handle* handle, Index node) noexcept {
    forget(handle);
    unsettle(handle);
    handle->node = node;
  }

  // Makes a dead handle available for the next node.
  void let_wait(Handle* handle) noexcept {
    unsettle(handle);
    handle->plain = true;
    free_handles().push(handle);
  }

  // Removes a handle that the caller is about to free.
  void remove(Handle* handle) noexcept {
    forget(handle);
    unsettle(handle);
    exchange(handle->place, all_.size() - 1);
    all_.pop_back();
    if (all_.capacity() > smallest_shrunk && all_.size() < all_.capacity() / 4) shrink();
  }

  // One of the handles that were set aside, not alive yet; null if there are none.
  Handle* take() noexcept {
    if (waiting_.empty()) return nullptr;
    for (std::size_t count = std::min(batch_, waiting_.size()); count > 1; --count)
      let_wait(pop_waiting());
    batch_ = std::min(2 * batch_, largest_batch);
    Handle* const handle = pop_waiting();
    unsettle(handle);
    return handle;
  }

  // The handle of a node that has one.
  Handle* find(Index node) noexcept {
    if (Handle* const handle = indexed(node)) return handle;
    settle();
    if (Handle* const handle = indexed(node)) return handle;
    // A search without the index, for which there was no memory.
    for (Handle* const handle : all_)
      if (handle->node == node && lives(handle)) return handle;
    return nullptr;
  }

  // The node's handle while CPython deallocates it; null if there is none. Only a handle of a
  // subclass can be found in this state.
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

  // The index for one block of nodes. An entry is the place of the node's handle plus one; 0 means
  // that none is known.
  struct Page {
    std::array<std::uint32_t, NodePool::size> entries{};
    Index count = 0;
  };

  // True if the handle is alive. Handles that wait or die have a reference count of 0.
  static bool lives(Handle* handle) { return Py_REFCNT(reinterpret_cast<PyObject*>(handle)) > 0; }

  Handle* indexed(Index node) const noexcept {
    const std::size_t page = node / NodePool::size;
    if (page >= pages_.size() || pages_[page] == nullptr) return nullptr;
    const std::uint32_t entry = pages_[page]->entries[node % NodePool::size];
    if (entry == 0 || entry > all_.size()) return nullptr;
    Handle* const handle = all_[entry - 1];
    return handle->node == node && lives(handle) ? handle : nullptr;
  }

  // The handle's entry in the index; null if the node's entry is empty or belongs to another
  // handle.
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

  // Indexes all living handles and sets the others aside. If memory runs out, the remaining handles
  // stay unsettled.
  void settle() noexcept {
    try {
      for (std::size_t k = settled_; k < all_.size(); ++k) {
        Handle* const handle = all_[k];
        if (!lives(handle) || handle->node == unset_node) continue;  // dead, or being made
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
      // The larger array still serves.
    }
  }

  std::vector<Handle*> all_;
  std::size_t settled_ = 0;       // number of settled handles, which come first
  std::vector<Handle*> waiting_;  // handles that were set aside
  std::size_t batch_ = smallest_batch;
  std::vector<std::unique_ptr<Page>> pages_;  // the index, by block of nodes
  std::unique_ptr<Page> spare_;               // an empty page for reuse
};

// The one instance, never destroyed: handles may outlive every static object.
inline Handles& all_handles() {
  static Handles& handles = *new Handles;
  return handles;
}

}  // namespace tapegrad::python
