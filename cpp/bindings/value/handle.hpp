// The Python object for a node, and the way in and out of the core for everything in this folder.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/modes.hpp"
#include "tapegrad/detail/graph/dispatch.hpp"
#include "tapegrad/detail/graph/tape.hpp"

namespace tapegrad::python {

// One node has at most one handle, so that `is` and `id` mean the node.
struct Handle {
  PyObject_HEAD
  Index node;
  std::uint32_t place : 31;  // among all handles
  // Exactly a Value, without attributes, neither tracked by the collector nor indexed by its node:
  // nothing needs a look when it dies. False where memory is zero.
  std::uint32_t plain : 1;
  PyObject* dict;  // no_attributes, or its own
  PyObject* weakrefs;
};

// CPython 3.11 specialises method calls on objects with a dict slot only where a dict is in it; so
// there an empty one, that nobody else gets to see, stands for none.
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
inline PyObject* no_attributes = nullptr;
inline bool prepare_no_attributes() { return (no_attributes = PyDict_New()) != nullptr; }
#else
inline constexpr PyObject* no_attributes = nullptr;
inline bool prepare_no_attributes() { return true; }
#endif

// The handle's own dict of attributes; null where it has none.
inline PyObject* attributes_of(const Handle* handle) {
  return handle->dict != no_attributes ? handle->dict : nullptr;
}

// Dead handles, plain and without attributes, keep their reference to the type. There is one such
// object.
class FreeHandles {
 public:
  bool any() const { return *last_ != nullptr; }
  bool full() const { return last_ == handles_ + most; }
  void push(Handle* handle) { *++last_ = handle; }
  // Not alive yet; to be asked for only where there is any.
  Handle* pop() { return *last_--; }

 private:
  static constexpr std::size_t most = 1 << 15;
  static inline Handle* handles_[1 + most];  // the first stays null
  Handle** last_ = handles_;
};

// What each operation writes besides its node and handle lies on one cache line: a processor puts
// stores into its cache in their order, and two at once only if they go to the same line.
struct alignas(64) HotState {
  FreeHandles free_handles;
  Tape tape;  // begins with the end of what is recorded
};

// Constructed when the module is first loaded, never destroyed: handles may outlive every static.
union ModuleState {
  HotState hot;
  ModuleState() {}
  ~ModuleState() {}
};
inline ModuleState module_state;
inline FreeHandles& free_handles() { return module_state.hot.free_handles; }
inline Tape& tape() { return module_state.hot.tape; }

inline PyTypeObject* value_type = nullptr;

// The node of a handle whose Value.__init__ has not run yet: a subclass with an __init__ of its own
// calls it, or object.__new__ made the handle, whose memory is zero then. It is there for good.
// Whatever is recorded from it is NaN, and wrap() refuses it, since it is heritable.
inline constexpr Index unset_node = 0;
inline void reserve_unset_node() {
  if (tape().leaf(std::numeric_limits<double>::quiet_NaN()) != unset_node) return;
  tape().cell(unset_node).owners = handle_owner / 2;
  tape().cell(unset_node).flags = flag::heritable;
}

// Counts changes to nodes, so that a snapshot knows whether it is still true.
inline std::uint64_t changes = 0;
// Counts nodes that became heritable: what was recorded before has not inherited it.
inline std::uint64_t inheritances = 0;
// value_type while no thread has a mode on and no node has ever been heritable, so that fresh nodes
// need no look, nor OperandHandles; else null, which is no operand's type.
inline PyTypeObject* fast_path_type = nullptr;
// To be called when any of these has changed.
inline void update_fast_path() {
  fast_path_type = !watching && inheritances == 0 ? value_type : nullptr;
}

// A Python callable in the place of recorded partials.
struct PythonBackward : Backward {
  explicit PythonBackward(PyObject* callable) : callable(Py_NewRef(callable)) {}
  ~PythonBackward() override { Py_XDECREF(callable); }
  void operator()(Index node) override;
  PyObject* callable;
};

// The attributes of a node whose handle is gone; or the handle itself, of a subclass, which sleeps
// until somebody asks for it or the node loses its last user.
struct Attachment : Owned {
  ~Attachment() override {
    Py_XDECREF(dict);
    Py_XDECREF(handle);
  }
  bool take_over(Index node) noexcept override {
    if (handle == nullptr) return false;
    tape().cell(node).owners = handle_owner;  // it is awake, and dies with this
    return true;
  }
  PyObject* dict = nullptr;
  PyObject* handle = nullptr;
};

// The handles of operands that own objects in which a cycle may run, or that come of such: the
// collector follows them from user to operand as it would in Python.
struct OperandHandles : Owned {
  ~OperandHandles() override;
  std::vector<PyObject*> handles;
};

// Thrown through the core when a Python error is set.
struct PythonError {};

inline Handle* as_handle(PyObject* object) { return reinterpret_cast<Handle*>(object); }
inline Index node_of(PyObject* object) { return as_handle(object)->node; }
// A Value that has its node: none whose Value.__init__ is still to be called.
inline bool is_value(PyObject* object) {
  return (Py_TYPE(object) == value_type || PyType_IsSubtype(Py_TYPE(object), value_type)) &&
         node_of(object) != unset_node;
}
// False, with an error set, for a Value whose Value.__init__ is still to be called.
void refuse_unset(PyObject* self);
inline bool is_set(PyObject* self) {
  if (node_of(self) != unset_node) [[likely]]
    return true;
  refuse_unset(self);
  return false;
}

Handle* allocate_handle();
// A fresh node as this thread's modes want it; no_node, with it released, on an error.
Index watched(Index node);
Handle* find_handle(Index node);  // null if it has none
// Whether each owner of the node is its handle, or holds its handle and so is seen by the
// collector.
bool is_accounted_for(Index node);
// The node's handle, a new reference; where it has none, one of that type is made.
PyObject* handle_of(Index node, PyTypeObject* type = value_type);
void track(Handle* handle);
PythonBackward* python_backward(Index node);
void set_memory_error(const std::bad_alloc& error);

// From now on the collector looks at the node's objects, and at all that is computed from it.
// False, with an error set, where there is no memory for that.
bool let_collect(Handle* handle);
// Gives a fresh node with heritable operands its OperandHandles; null, with the handle gone, on an
// error.
PyObject* hold_operands(Handle* handle);
// The same for a node that gets a handle later or never: when the collector begins. False, with an
// error set, where there is no memory for that.
bool let_inherit(Index node);

// While any lives, copies of nodes are without the objects of their classes: no collection makes
// plain Values of them.
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

// The same as wrap() for a subclass of Value: no __new__ and no __init__ is called.
PyObject* adopt_as(PyTypeObject* type, Index node);

// subclass.cpp
// A handle of a subclass, not alive yet; null, with an error set, where there is no memory for one.
Handle* new_subclass_handle(PyTypeObject* type);
// A handle for Value.__init__ to fill.
PyObject* make_unset(PyTypeObject* type);
// The caller's share in a fresh node becomes the handle's, in place of the node that it had: what
// __init__ does. False, with the node released, on an error.
bool refill(Handle* handle, Index node);
// Whether a node has other owners than its handle.
inline bool is_used(Index node) {
  return node != unset_node && tape().cell(node).owners != handle_owner;
}
// A handle that nobody refers to any more goes to its node, which is used: alive, with the one
// reference that the node has.
void put_to_sleep(Handle* handle) noexcept;
// The sleeping handle of a node, awake: a new reference; null if it has none.
PyObject* wake(Index node);
// What is left of nodes that refill() has replaced goes with the handle.
void release_replaced(Handle* handle) noexcept;

// Not alive yet. Null, with an error set, where there is no memory for one.
inline Handle* take_handle() {
  return free_handles().any() ? free_handles().pop() : allocate_handle();
}

// Alive, with one reference, to a node in which a handle has its share already.
inline PyObject* point(Handle* handle, Index node) {
  auto* const object = reinterpret_cast<PyObject*>(handle);
  Py_SET_REFCNT(object, 1);
  handle->node = node;
  return object;
}

// The caller's share in the node becomes the handle's.
inline PyObject* refer(Handle* handle, Index node) {
  PyObject* const object = point(handle, node);
  tape().give_to_handle(node);
  return object;
}

// Gives a fresh node, owned by the caller, its handle. Null, with the node released, on an error.
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

// Whether the next operation needs neither a new block nor a new handle.
inline bool has_room() { return tape().pool().has_room() && free_handles().any(); }
// Nor a check: then recording and wrap() call nothing, and the compiler keeps an operator's path
// free of saved registers.
inline bool ready() { return has_room() && !watching; }

inline bool ready_for_leaf() {
  return tape().pool().has_leaf_room() && free_handles().any() && !watching;
}

// Runs what may throw; a C++ exception becomes a Python one and the result `failed`.
template <class Call, class Result = decltype(std::declval<Call>()())>
Result guarded(Call call, Result failed = {}) {
  try {
    return call();
  } catch (const std::bad_alloc& error) {
    set_memory_error(error);
  } catch (const PythonError&) {
  }
  return failed;
}

// A float, or an int of a single digit, as literals are and the 0 that sum() begins with; false for
// all else, which read_number() looks at.
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

// What an operand turned out to be.
enum class Reading { ok, unknown, error };

// Reads a Value or a real number; `unknown` sets no error.
Reading read_operand(PyObject* object, Argument& argument);
// The same for a plain number alone.
Reading read_number(PyObject* object, double& number);
// Sets a TypeError naming the argument where it is no number.
bool need_number(PyObject* object, const char* name, double& number);
// The same for a str.
bool need_text(PyObject* object, const char* name, std::string& text);

}  // namespace tapegrad::python
