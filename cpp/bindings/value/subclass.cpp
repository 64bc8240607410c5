// Handles of subclasses of Value. Their __init__ makes the node, and they live as long as their
// node.
//
// An operand of a subclass keeps its Python object while the graph needs it, since slots, weak
// references and __del__ belong to the object. When the program drops its last reference, the
// handle sleeps with its node, and it wakes when it is asked for.
//
// CPython empties the slots of an instance before it calls the tp_dealloc of the base, which is too
// late for that. A subclass therefore gets subclass_dealloc() as its own tp_dealloc. It also gets
// subclass_traverse() and subclass_clear(), since CPython would report and clear slots that a live
// graph still needs.
#include <unordered_map>
#include <vector>

#include "value/handles.hpp"
#include "value/type.hpp"

namespace tapegrad::python {

void refuse_unset(PyObject* self) {
  const char* const kind = self != nullptr ? Py_TYPE(self)->tp_name : "Value";
  PyErr_Format(PyExc_RuntimeError,
               "this %s has no data yet: its __init__() must call super().__init__(data) first",
               kind);
}

void put_to_sleep(Handle* handle) noexcept {
  auto* const self = reinterpret_cast<PyObject*>(handle);
  Py_SET_REFCNT(self, 1);
  PyObject_GC_Track(self);
  try {
    auto attached = std::make_unique<Attachment>();
    NodeExtra& extra = tape().need_extra(handle->node);
    attached->handle = self;
    tape().discard(std::exchange(extra.attachment, std::move(attached)));
  } catch (const std::bad_alloc&) {
    return;  // it stays awake for good, which keeps its attributes
  }
  tape().cell(handle->node).owners -= handle_owner;
}

PyObject* wake(Index node) {
  NodeExtra* const extra = tape().find_extra(node);
  if (extra == nullptr) return nullptr;
  auto* const attached = static_cast<Attachment*>(extra->attachment.get());
  if (attached == nullptr || attached->handle == nullptr) return nullptr;
  PyObject* const handle = std::exchange(attached->handle, nullptr);
  tape().cell(node).owners += handle_owner;
  tape().discard(std::move(extra->attachment));
  return handle;
}

namespace {

destructor dealloc_of_python_classes = nullptr;

// Frees a handle that has left its node: slots, attributes and memory.
void finish(PyObject* self) {
  Handle* const handle = as_handle(self);
  PyTypeObject* const type = Py_TYPE(self);
  auto* const slots = reinterpret_cast<PyObject**>(handle + 1);
  const std::size_t count = slots_of(type);
  for (std::size_t k = 0; k < count; ++k) Py_CLEAR(slots[k]);
  PyObject* const dict = std::exchange(handle->dict, no_attributes);
  if (dict != no_attributes) Py_XDECREF(dict);
  if (all_handles().has(handle)) all_handles().remove(handle);
  type->tp_free(self);
  Py_DECREF(type);
}

extern "C" void subclass_dealloc(PyObject* self) {
  Handle* const handle = as_handle(self);
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (is_used(handle->node)) return put_to_sleep(handle);
  if (type->tp_finalize != nullptr && !PyObject_GC_IsFinalized(self)) {
    PyObject_GC_Track(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;  // it has a reference again
    PyObject_GC_UnTrack(self);
    if (is_used(handle->node)) return put_to_sleep(handle);
  }
  if (handle->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  // No code that slots and attributes run from here on finds the handle by its node.
  const Index node = handle->node;
  tape().take_from_handle(node);
  if (all_handles().has(handle)) all_handles().move(handle, unset_node);
  handle->node = unset_node;
  release_replaced(handle);
  tape().release(node);
  Py_TRASHCAN_BEGIN(self, subclass_dealloc) finish(self);
  Py_TRASHCAN_END
}

// Visits slots under the same condition as attributes: no live graph needs them.
extern "C" int subclass_traverse(PyObject* self, visitproc visit, void* arg) {
  const Handle* const handle = as_handle(self);
  if (handle->node == unset_node || is_accounted_for(handle->node)) {
    auto* const slots = reinterpret_cast<PyObject* const*>(handle + 1);
    for (std::size_t k = 0; k < slots_of(Py_TYPE(self)); ++k) Py_VISIT(slots[k]);
  }
  return handle_traverse(self, visit, arg);
}

// Clears slots under the same condition: a handle may be garbage while a live graph uses its node.
extern "C" int subclass_clear(PyObject* self) {
  const Handle* const handle = as_handle(self);
  if (handle->node == unset_node || is_accounted_for(handle->node)) {
    auto* const slots = reinterpret_cast<PyObject**>(as_handle(self) + 1);
    const std::size_t count = slots_of(Py_TYPE(self));
    for (std::size_t k = 0; k < count; ++k) Py_CLEAR(slots[k]);
  }
  return handle_clear(self);
}

// True if the slots of Python classes are all that instances have besides a Value.
bool is_python_class(PyTypeObject* type) {
  for (; type != value_type; type = type->tp_base)
    if (type->tp_dealloc != dealloc_of_python_classes && type->tp_dealloc != subclass_dealloc)
      return false;
  return true;
}

// Gives a subclass the slots of this file. Returns false, with an error set, on an error.
bool prepare(PyTypeObject* type) {
  if (type->tp_dealloc == subclass_dealloc) return true;
  if (dealloc_of_python_classes == nullptr) {
    PyObject* const made =
        PyObject_CallFunction(reinterpret_cast<PyObject*>(&PyType_Type), "s(){}", "AnyClass");
    if (made == nullptr) return false;
    dealloc_of_python_classes = reinterpret_cast<PyTypeObject*>(made)->tp_dealloc;
    Py_DECREF(made);
  }
  if (is_python_class(type)) {
    type->tp_dealloc = subclass_dealloc;
    type->tp_traverse = subclass_traverse;
    type->tp_clear = subclass_clear;
  }
  return true;
}

// Former nodes of handles, by handle. Each lives as long as its handle, since code that was reading
// the handle when __init__ ran may still use the node.
std::unordered_map<const Handle*, std::vector<Index>>& replaced() {
  static auto& nodes = *new std::unordered_map<const Handle*, std::vector<Index>>;
  return nodes;
}

// Adds the handle's node to its former nodes. The handle's share becomes that of replaced().
void keep_replaced(Handle* handle) {
  if (handle->node == unset_node) return;
  track(handle);
  replaced()[handle].push_back(handle->node);
  tape().take_from_handle(handle->node);
}

// Copies the content of a leaf to another leaf, which stays the operand of the nodes computed from
// it.
void become(Index node, Index given) {
  NodeExtra* const from = tape().find_extra(given);
  if (from != nullptr || tape().find_extra(node) != nullptr) {
    NodeExtra& to = tape().need_extra(node);
    to.label = from != nullptr ? std::move(from->label) : std::string();
    to.symbol = from != nullptr ? std::move(from->symbol) : nullptr;
  }
  tape().cell(node).primal = tape().cell(given).primal;
  tape().link(node).adjoint = 0.0;
  if (tape().backward_of(node) != nullptr) tape().set_backward(node, nullptr);
}

}  // namespace

std::size_t slots_of(PyTypeObject* type) {
  if (type->tp_dealloc != subclass_dealloc) return 0;
  return (static_cast<std::size_t>(type->tp_basicsize) - sizeof(Handle)) / sizeof(PyObject*);
}

bool prepare_class(PyObject* object) {
  auto* const type = reinterpret_cast<PyTypeObject*>(object);
  return type == value_type || !PyType_IsSubtype(type, value_type) || prepare(type);
}

Handle* new_subclass_handle(PyTypeObject* type) {
  if (!prepare(type)) return nullptr;
  Handle* const handle = as_handle(type->tp_alloc(type, 0));
  if (handle == nullptr || all_handles().add(handle)) return handle;
  Py_DECREF(reinterpret_cast<PyObject*>(handle));
  return nullptr;
}

PyObject* make_unset(PyTypeObject* type) {
  if (type != value_type) return reinterpret_cast<PyObject*>(new_subclass_handle(type));
  ++inheritances;  // operators of plain Values have to check operands
  update_fast_path();
  Handle* const handle = take_handle();
  return handle != nullptr ? point(handle, unset_node) : nullptr;
}

void release_replaced(Handle* handle) noexcept {
  if (replaced().empty()) return;
  const auto found = replaced().find(handle);
  if (found == replaced().end()) return;
  const std::vector<Index> nodes = std::move(found->second);
  replaced().erase(found);
  for (const Index node : nodes) tape().release(node);
}

bool refill(Handle* handle, Index node) {
  if (watching) {
    node = watched(node);
    if (node == no_node) return false;
  }
  const Index before = handle->node;
  const auto fail = [&] {
    tape().release(node);
    return false;
  };
  const auto is_leaf = [](Index n) { return tape().cell(n).op == Op::leaf; };
  ++changes;
  try {
    if (before != unset_node && is_leaf(before) && is_leaf(node)) {
      become(before, node);
      tape().release(node);
      return true;
    }
    if (is_used(before)) {
      PyErr_SetString(PyExc_RuntimeError,
                      "__init__() cannot give new operands to a Value that others were computed "
                      "from, nor take its own away: make a new Value");
      return fail();
    }
    if (!all_handles().has(handle) && !all_handles().add(handle)) return fail();
    keep_replaced(handle);
  } catch (const std::bad_alloc& error) {
    set_memory_error(error);
    return fail();
  }
  all_handles().move(handle, node);
  tape().give_to_handle(node);
  if (owns_containers(handle) && !let_collect(handle)) return false;
  if (!(tape().cell(node).flags & flag::heritable)) return true;
  auto* const self = reinterpret_cast<PyObject*>(handle);
  Py_INCREF(self);
  if (hold_operands(handle) == nullptr) return false;
  Py_DECREF(self);
  return true;
}

}  // namespace tapegrad::python
