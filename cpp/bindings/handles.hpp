// Which handle a node has.
#pragma once

#include <new>
#include <unordered_map>
#include <vector>

#include "handle.hpp"

namespace tapegrad::python {

// All handles there are, dead ones that wait to be used again among them. A node does not refer to
// its handle: a pointer would be a sixth of all memory, written at every operation, for the few
// nodes that a program asks about. Where one asks, all handles are looked through at once.
class Handles {
 public:
  // False, with an error set, where there is no memory for it.
  bool add(Handle* handle) {
    return guarded([&] {
      all_.push_back(handle);
      handle->place = static_cast<std::uint32_t>(all_.size() - 1);
      return true;
    });
  }

  // One made by object.__new__ was never added.
  bool has(const Handle* handle) const {
    return handle->place < all_.size() && all_[handle->place] == handle;
  }

  void remove(Handle* handle) {
    Handle* const last = all_.back();
    all_[handle->place] = last;
    last->place = handle->place;
    all_.pop_back();
    if (!places_.empty()) remember(last);
  }

  // Of a node that has one.
  Handle* find(Index node) {
    if (Handle* const handle = remembered(node)) return handle;
    forget();
    Handle* found = nullptr;
    for (Handle* const handle : all_) {
      if (!lives(handle)) continue;
      remember(handle);
      if (handle->node == node) found = handle;
    }
    return found;
  }

  // Of a node whose handle is being deallocated.
  Handle* dying(Index node) const {
    for (Handle* const handle : all_)
      if (handle->node == node && !lives(handle) &&
          Py_TYPE(reinterpret_cast<PyObject*>(handle)) != value_type)
        return handle;
    return nullptr;
  }

  void remember(Handle* handle) noexcept {
    if (places_.size() > 2 * all_.size()) forget();
    try {
      places_[handle->node] = handle->place;
    } catch (const std::bad_alloc&) {
      forget();
    }
  }

 private:
  // Of handles that wait or die, nobody owns any.
  static bool lives(Handle* handle) { return Py_REFCNT(reinterpret_cast<PyObject*>(handle)) > 0; }

  Handle* remembered(Index node) const {
    const auto found = places_.find(node);
    if (found == places_.end() || found->second >= all_.size()) return nullptr;
    Handle* const handle = all_[found->second];
    return handle->node == node && lives(handle) ? handle : nullptr;
  }

  void forget() noexcept { places_.clear(); }

  std::vector<Handle*> all_;
  std::unordered_map<Index, std::uint32_t> places_;  // by node; may be out of date
};

// Never destroyed: handles may outlive every static.
inline Handles& all_handles() {
  static Handles& handles = *new Handles;
  return handles;
}

}  // namespace tapegrad::python
