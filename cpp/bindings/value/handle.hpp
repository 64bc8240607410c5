// Handles: the Python objects of nodes, and the functions by which this folder uses the core.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/errors.hpp"
#include "common/modes.hpp"
#include "tapegrad/detail/graph/dispatch.hpp"
#include "tapegrad/detail/graph/tape.hpp"

namespace tapegrad::python {

// The Python object of a node. A node has at most one handle, so that `is` and `id` identify the
// node.
struct Handle {
  PyObject_HEAD
  Index node;
  std::uint32_t place : 31;  // index among all handles
  // True for an exact Value without attributes that neither the collector tracks nor the index of
  // handles contains. Its deallocation then needs no further work. Zero-filled memory must read as
  // not plain.
  std::uint32_t plain : 1;
  PyObject* dict;  // no_attributes, or a dict of its own
  PyObject* weakrefs;
};

// The content of the dict slot of a handle without attributes. CPython 3.11 specialises method
// calls only on objects whose dict slot is not null. There, an empty dict that no other code can
// reach stands for no attributes; in other versions, null does.
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
inline PyObject* no_attributes = nullptr;
inline bool prepare_no_attributes() { return (no_attributes = PyDict_New()) != nullptr; }
#else
inline constexpr PyObject* no_attributes = nullptr;
inline bool prepare_no_attributes() { return true; }
#endif

// The handle's own dict of attributes, a borrowed reference; null if it has none.
inline PyObject* attributes_of(const Handle* handle) {
  return handle->dict != no_attributes ? handle->dict : nullptr;
}

// A stack of dead handles for reuse. Each is plain and has no attributes, and keeps its reference
// to the type. The class has static storage: there is one instance.
class FreeHandles {
 public:
  bool any() const { return *last_ != nullptr; }
  bool full() const { return last_ == handles_ + most; }
  void push(Handle* handle) { *++last_ = handle; }
  // Removes a handle, which is not alive yet. Requires any().
  Handle* pop() { return *last_--; }

 private:
  static constexpr std::size_t most = 1 << 15;
  static inline Handle* handles_[1 + most];  // the first stays null
  Handle** last_ = handles_;
};

// The state that every operation writes besides its node and handle. It lies on one cache line: a
// processor commits stores in order, and commits two at once only if they go to the same line.
struct alignas(64) HotState {
  FreeHandles free_handles;
  Tape tape;  // its first member is the end of the recorded nodes
};

// Storage of the HotState. The module constructs it when it is first loaded, and nothing destroys
// it: handles may outlive every static object.
union ModuleState {
  HotState hot;
  ModuleState() {}
  ~ModuleState() {}
};
inline ModuleState module_state;
inline FreeHandles& free_handles() { return module_state.hot.free_handles; }
inline Tape& tape() { return module_state.hot.tape; }

inline PyTypeObject* value_type = nullptr;

// The node of a handle whose Value.__init__ has not run yet. Such a handle comes from a subclass
// with an __init__ of its own, or from object.__new__, which fills it with zeros. The node is never
// destroyed. Its number is NaN, and so is that of everything recorded from it; wrap() refuses these
// results, since the node is heritable.
inline constexpr Index unset_node = 0;
inline void reserve_unset_node() {
  if (tape().leaf(std::numeric_limits<double>::quiet_NaN()) != unset_node) return;
  tape().cell(unset_node).owners = handle_owner / 2;
  tape().cell(unset_node).flags = flag::heritable;
}

// Number of changes to nodes so far. A Snapshot that has seen no change since it was taken is up to
// date.
inline std::uint64_t changes = 0;
// Number of times that nodes became heritable. Nodes recorded before such an event did not inherit
// the flag.
inline std::uint64_t inheritances = 0;
// Equal to value_type while no thread has a mode on and no node has ever been heritable: fresh
// nodes then need neither a check nor OperandHandles. Null otherwise, which is the type of no
// operand.
inline PyTypeObject* fast_path_type = nullptr;
// Recomputes fast_path_type. Call it after a change to `watching`, `inheritances` or value_type.
inline void update_fast_path() {
  fast_path_type = !watching && inheritances == 0 ? value_type : nullptr;
}

// A Python callable that takes the place of recorded partials. It owns a reference to the callable.
struct PythonBackward : Backward {
  explicit PythonBackward(PyObject* callable) : callable(Py_NewRef(callable)) {}
  ~PythonBackward() override { Py_XDECREF(callable); }
  void operator()(Index node) override;
  PyObject* callable;
};

// The object that a node keeps after its handle has died: the dict of attributes or, for a
// subclass, the handle itself. Such a handle sleeps until it is asked for or the node loses its
// last user.
struct Attachment : Owned {
  ~Attachment() override {
    Py_XDECREF(dict);
    Py_XDECREF(handle);
  }
  bool take_over(Index node) noexcept override {
    if (handle == nullptr) return false;
    tape().cell(node).owners = handle_owner;  // the handle is awake, and dies with this object
    return true;
  }
  PyObject* dict = nullptr;
  PyObject* handle = nullptr;
};

// Strong references to the handles of heritable operands: those that own objects which a reference
// cycle may go through, and those computed from such operands. The collector follows these
// references from user to operand, as it would between Python objects.
struct OperandHandles : Owned {
  ~OperandHandles() override;
  std::vector<PyObject*> handles;
};

inline Handle* as_handle(PyObject* object) { return reinterpret_cast<Handle*>(object); }
inline Index node_of(PyObject* object) { return as_handle(object)->node; }
// True for a Value that has its node. False while its Value.__init__ has not run yet.
inline bool is_value(PyObject* object) {
  return (Py_TYPE(object) == value_type || PyType_IsSubtype(Py_TYPE(object), value_type)) &&
         node_of(object) != unset_node;
}
// Sets the error for a Value whose Value.__init__ has not run yet. `self` may be null.
void refuse_unset(PyObject* self);
// True for a Value that has its node. Otherwise false, with that error set.
inline bool is_set(PyObject* self) {
  if (node_of(self) != unset_node) [[likely]]
    return true;
  refuse_unset(self);
  return false;
}

// A handle that is not alive yet, newly allocated or set aside before. Null, with an error set, if
// there is no memory.
Handle* allocate_handle();
// Applies this thread's modes to a fresh node and returns the node to use. On an error, releases
// the node and returns no_node.
Index watched(Index node);
Handle* find_handle(Index node);  // a borrowed reference; null if it has none
// True if the collector sees every owner of the node: each owner is the node's handle, or holds
// that handle.
bool is_accounted_for(Index node);
// The node's handle, a new reference. Creates one of the given type if the node has none.
PyObject* handle_of(Index node, PyTypeObject* type = value_type);
// Lets the collector track the handle, which is then no longer plain.
void track(Handle* handle);
PythonBackward* python_backward(Index node);

// Marks the node as heritable: from now on the collector sees the node's objects, and everything
// computed from the node. Returns false, with an error set, if there is no memory.
bool let_collect(Handle* handle);
// Gives a fresh node with heritable operands its OperandHandles and returns the handle. On an
// error, releases the handle and returns null.
PyObject* hold_operands(Handle* handle);
// The counterpart of hold_operands() for a node that gets a handle later or never: the next
// collection that scans for users gives it its OperandHandles. Returns false, with an error set, if
// there is no memory.
bool let_inherit(Index node);

// A scope in which copies of nodes still lack the objects of their classes. While one exists, no
// collection announces heritable nodes, since that would create plain Values for the copies.
class Restoring {
 public:
  Restoring() { ++count_; }
  Restoring(const Restoring&) = delete;
  Restoring& operator=(const Restoring&) = delete;
  ~Restoring() { --count_; }
  static bool any() { return count_ != 0; }

 private:
  static inline std::size_t count_ = 0;
};

// The counterpart of wrap() for a subclass of Value. It calls neither __new__ nor __init__.
PyObject* adopt_as(PyTypeObject* type, Index node);

// Functions of subclass.cpp.

// A handle of a subclass that has no node yet. Null, with an error set, if there is no memory.
Handle* new_subclass_handle(PyTypeObject* type);
// A handle for Value.__init__ to fill; a new reference, or null with an error set.
PyObject* make_unset(PyTypeObject* type);
// Replaces the handle's node by a fresh node, for __init__; the caller's share in that node becomes
// the handle's. On an error, releases the fresh node and returns false.
bool refill(Handle* handle, Index node);
// True if the node has other owners than its handle.
inline bool is_used(Index node) {
  return node != unset_node && tape().cell(node).owners != handle_owner;
}
// Gives a handle that has lost its last reference to its node, which must be in use. The handle
// stays alive; the node owns the one reference.
void put_to_sleep(Handle* handle) noexcept;
// Wakes the node's sleeping handle and returns a new reference; null if the node has none.
PyObject* wake(Index node);
// Releases the nodes of this handle that refill() has replaced.
void release_replaced(Handle* handle) noexcept;

// A handle that is not alive yet. Null, with an error set, if there is no memory.
inline Handle* take_handle() {
  return free_handles().any() ? free_handles().pop() : allocate_handle();
}

// Points a handle to a node in which a handle's share is already counted, and makes it alive with
// one reference. Returns that reference.
inline PyObject* point(Handle* handle, Index node) {
  auto* const object = reinterpret_cast<PyObject*>(handle);
  Py_SET_REFCNT(object, 1);
  handle->node = node;
  return object;
}

// Points a handle to a node. The caller's share in the node becomes the handle's.
inline PyObject* refer(Handle* handle, Index node) {
  PyObject* const object = point(handle, node);
  tape().give_to_handle(node);
  return object;
}

// Gives a fresh node, owned by the caller, its handle and returns a new reference. On an error,
// releases the node and returns null.
[[gnu::always_inline]] inline PyObject* wrap(Index node) {
  if (watching) [[unlikely]] {
    node = watched(node);
    if (node == no_node) return nullptr;
  }
  Handle* const handle = take_handle();
  if (handle == nullptr) [[unlikely]] {
    tape().release(node);
    return nullptr;
  }
  PyObject* const object = refer(handle, node);
  if (tape().cell(node).flags & flag::heritable) [[unlikely]]
    return hold_operands(handle);
  return object;
}

// True if the next operation needs neither a new block of nodes nor a new handle.
inline bool has_room() { return tape().pool().has_room() && free_handles().any(); }
// True if, in addition, no mode asks for a check. Recording and wrap() then call no function, and
// the compiler saves no registers on an operator's path.
inline bool ready() { return has_room() && !watching; }

// The same as ready() for a leaf.
inline bool ready_for_leaf() {
  return tape().pool().has_leaf_room() && free_handles().any() && !watching;
}

// Reads a float or an int of one digit, such as a literal or the 0 that sum() starts with. Returns
// false, without an error, for every other object; read_number() reads those.
inline bool read_small(PyObject* object, double& number) {
  if (PyFloat_CheckExact(object)) {
    number = PyFloat_AS_DOUBLE(object);
    return true;
  }
  if (!PyLong_CheckExact(object)) return false;
  const auto* const integer = reinterpret_cast<PyLongObject*>(object);
#if PY_VERSION_HEX >= 0x030C0000
  if (!PyUnstable_Long_IsCompact(integer)) return false;
  number = static_cast<double>(PyUnstable_Long_CompactValue(integer));
#else
  const Py_ssize_t size = Py_SIZE(object);
  if (size < -1 || size > 1) return false;
  number = size == 0 ? 0.0 : static_cast<double>(size * integer->ob_digit[0]);
#endif
  return true;
}

// The outcome of reading an operand. `unknown` sets no error; `error` does.
enum class Reading { ok, unknown, error };

// Reads a Value or a real number.
Reading read_operand(PyObject* object, Argument& argument);
// Reads a real number alone.
Reading read_number(PyObject* object, double& number);
// Reads a real number. Otherwise returns false, with a TypeError set that names the argument.
bool need_number(PyObject* object, const char* name, double& number);
// Reads a str. Otherwise returns false, with a TypeError set that names the argument.
bool need_text(PyObject* object, const char* name, std::string& text);

}  // namespace tapegrad::python
