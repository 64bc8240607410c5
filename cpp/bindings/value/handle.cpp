// Creation and destruction of handles, and their support for the garbage collector.
#include "value/handle.hpp"
#include "value/handles.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tapegrad::python {

Handle* allocate_handle() {
  if (Handle* const handle = all_handles().take()) return handle;
  Handle* handle = PyObject_GC_New(Handle, value_type);
  if (handle == nullptr) return nullptr;
  handle->node = unset_node;  // overwrites a stale node, which a search would find
  handle->place = 0;
  handle->plain = true;
  handle->dict = no_attributes;
  handle->weakrefs = nullptr;
  if (all_handles().add(handle)) return handle;
  PyObject_GC_Del(handle);
  return nullptr;
}

Handle* find_handle(Index node) {
  return tape().has_handle(node) ? all_handles().find(node) : nullptr;
}

void track(Handle* handle) {
  handle->plain = false;
  auto* object = reinterpret_cast<PyObject*>(handle);
  if (!PyObject_GC_IsTracked(object)) PyObject_GC_Track(object);
}

OperandHandles::~OperandHandles() {
  for (PyObject* handle : handles) {
    --tape().find_extra(as_handle(handle)->node)->held_by;
    Py_DECREF(handle);
  }
}

// Gives a node its OperandHandles. Appends to `waiting` the operands that may need such references
// themselves and have none yet, such as nodes that a layer recorded on the way to its results.
// Returns false, with an error set, on an error.
static bool hold_operands_of(Index node, std::vector<Index>& waiting) {
  auto held = std::make_unique<OperandHandles>();
  tape().unshare(node);  // every reference held below counts one owner
  std::vector<Index> operands;
  tape().each_operand(node, [&](Index operand, double) { operands.push_back(operand); });
  held->handles.reserve(operands.size());
  for (const Index operand : operands) {
    if (!(tape().cell(operand).flags & flag::heritable)) continue;
    if (operand == unset_node) {
      refuse_unset(nullptr);
      return false;
    }
    NodeExtra& extra = tape().need_extra(operand);
    PyObject* object = handle_of(operand);
    if (object == nullptr) return false;
    ++extra.held_by;
    held->handles.push_back(object);
    if (tape().cell(operand).op != Op::leaf && extra.held == nullptr) waiting.push_back(operand);
  }
  NodeExtra& extra = tape().need_extra(node);
  tape().discard(std::exchange(extra.held, std::move(held)));
  if (Handle* const handle = find_handle(node)) track(handle);
  return true;
}

// Gives a node and the nodes below it their OperandHandles. False, with an error set, on an error.
static bool hold(Index node) {
  std::vector<Index> waiting{node};
  while (!waiting.empty()) {
    const Index next = waiting.back();
    waiting.pop_back();
    if (!hold_operands_of(next, waiting)) return false;
  }
  return true;
}

PyObject* hold_operands(Handle* handle) {
  auto* self = reinterpret_cast<PyObject*>(handle);
  if (guarded([&] { return hold(handle->node); })) return self;
  Py_DECREF(self);
  return nullptr;
}

bool is_accounted_for(Index node) {
  const NodeExtra* extra = tape().find_extra(node);
  return tape().cell(node).owners == handle_owner + (extra != nullptr ? extra->held_by : 0);
}

namespace {

// Nodes that became heritable after others had used them; some may be dead by now. Their users do
// not have the flag. A scan of all newer nodes finds the users. One scan serves all of these nodes,
// and it runs when a collection starts, since only the collector needs the result.
std::vector<Index> unannounced;

// True if the node is still alive and unannounced. Clears its mark.
bool take_unannounced(Index node) {
  if (!tape().pool().is_there(node) || tape().cell(node).owners == 0) return false;
  NodeExtra* const extra = tape().find_extra(node);
  return extra != nullptr && std::exchange(extra->unannounced, false);
}

// Marks all users of the unannounced nodes as heritable and gives them their OperandHandles.
// Returns false, with an error set, on an error.
bool announce() {
  std::vector<Index> nodes = std::exchange(unannounced, {});
  std::erase_if(nodes, [](Index node) { return !take_unannounced(node); });
  if (nodes.empty()) return true;
  const NodePool& blocks = tape().pool();
  const Index oldest = *std::min_element(nodes.begin(), nodes.end(), [&](Index a, Index b) {
    return blocks.order(a) < blocks.order(b);
  });
  std::unordered_set<Index> below(nodes.begin(), nodes.end());
  std::vector<Index> users;
  blocks.each_newer(oldest, [&](Index user) {
    bool uses = false;
    tape().each_operand(user, [&](Index operand, double) {
      uses |= tape().cell(operand).flags & flag::heritable && below.contains(operand);
    });
    if (!uses) return;
    users.push_back(user);
    below.insert(user);
    tape().cell(user).flags |= flag::heritable;
  });
  ++inheritances;
  for (const Index user : users) tape().own(user);  // creating handles may run Python code
  bool done = true;
  for (const Index user : users) done = done && hold(user);
  for (const Index user : users) tape().release(user);
  return done;
}

// Number of nodes in the arena for which one collection of a younger generation has to pass before
// a scan. This bounds the cost of scans per collection.
constexpr std::size_t nodes_a_collection = 16384;

// A function for gc.callbacks. CPython calls it with "start" or "stop" and a dict.
PyObject* collection_changes(PyObject*, PyObject* const* args, Py_ssize_t count) {
  static bool announcing = false;
  static std::size_t waited = 0;
  if (count != 2 || !PyUnicode_Check(args[0]) || !PyDict_Check(args[1])) Py_RETURN_NONE;
  if (announcing || unannounced.empty() || Restoring::any()) Py_RETURN_NONE;
  if (PyUnicode_CompareWithASCIIString(args[0], "start") != 0) Py_RETURN_NONE;
  PyObject* const generation = PyDict_GetItemString(args[1], "generation");
  const bool full =
      generation == nullptr || !PyLong_Check(generation) || PyLong_AsLong(generation) >= 2;
  if (!full && ++waited * nodes_a_collection < tape().pool().capacity()) Py_RETURN_NONE;
  waited = 0;
  announcing = true;
  const bool done = guarded([] { return announce(); });
  announcing = false;
  if (!done) return nullptr;
  Py_RETURN_NONE;
}
PyMethodDef collection_changes_definition = {
    "tapegrad_collection",
    reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(collection_changes)), METH_FASTCALL,
    "Make graphs visible to the garbage collector that depend on Values with Python objects."};

// Adds collection_changes() to gc.callbacks, once. Returns false, with an error set, on an error.
bool hear_of_collections() {
  static bool heard = false;
  if (heard) return true;
  PyObject* const module = PyImport_ImportModule("gc");
  PyObject* const callbacks =
      module != nullptr ? PyObject_GetAttrString(module, "callbacks") : nullptr;
  PyObject* const function =
      callbacks != nullptr ? PyCFunction_New(&collection_changes_definition, nullptr) : nullptr;
  heard = function != nullptr && PyList_Check(callbacks) && PyList_Append(callbacks, function) == 0;
  Py_XDECREF(function);
  Py_XDECREF(callbacks);
  Py_XDECREF(module);
  return heard || PyErr_Occurred() == nullptr;
}

// Adds a node to the unannounced nodes. Returns false, with an error set, on an error.
bool await_announcement(Index node) {
  if (!hear_of_collections()) return false;
  NodeExtra& extra = tape().need_extra(node);
  if (extra.unannounced) return true;
  unannounced.push_back(node);
  extra.unannounced = true;
  return true;
}

}  // namespace

bool let_collect(Handle* handle) {
  track(handle);
  const Index node = handle->node;
  if (node == unset_node) return true;                         // refill() calls this again
  if (tape().cell(node).flags & flag::heritable) return true;  // all users have the flag
  tape().cell(node).flags |= flag::heritable;
  ++inheritances;
  update_fast_path();
  return is_accounted_for(node) || guarded([&] { return await_announcement(node); });
}

bool let_inherit(Index node) {
  if (!(tape().cell(node).flags & flag::heritable)) return true;
  return guarded([&] {
    bool done = true;
    tape().each_operand(node, [&](Index operand, double) {
      if (tape().cell(operand).flags & flag::heritable) done = done && await_announcement(operand);
    });
    return done;
  });
}

PythonBackward* python_backward(Index node) {
  return static_cast<PythonBackward*>(tape().backward_of(node));
}

// A handle that is not alive yet; null, with an error set, if there is no memory. The allocation
// may run the collector and so any code: the caller must own the node that the handle is for.
static Handle* new_handle(PyTypeObject* type) {
  return type == value_type ? take_handle() : new_subclass_handle(type);
}

static Attachment* attachment_of(Index node) {
  NodeExtra* extra = tape().find_extra(node);
  return extra != nullptr ? static_cast<Attachment*>(extra->attachment.get()) : nullptr;
}

PyObject* handle_of(Index node, PyTypeObject* type) {
  if (Handle* const handle = find_handle(node))
    return Py_NewRef(reinterpret_cast<PyObject*>(handle));
  if (PyObject* const sleeping = wake(node)) return sleeping;
  tape().own(node);
  // CPython empties the slots of an instance before it calls handle_dealloc(), which may run code
  // that asks for this node. The node then gives up the dying handle.
  Handle* const dying = tape().has_handle(node) ? all_handles().dying(node) : nullptr;
  if (dying != nullptr) {
    all_handles().move(dying, unset_node);
    tape().cell(node).owners -= handle_owner;
  }
  Handle* const handle =
      new_handle(dying != nullptr ? Py_TYPE(reinterpret_cast<PyObject*>(dying)) : type);
  if (handle == nullptr) {
    tape().release(node);
    return nullptr;
  }
  if (dying != nullptr) std::swap(handle->dict, dying->dict);
  // The collector may have run code that created a handle for this very node.
  if (Handle* const other = find_handle(node)) {
    Py_INCREF(reinterpret_cast<PyObject*>(other));
    Py_DECREF(point(handle, unset_node));
    tape().release(node);
    return reinterpret_cast<PyObject*>(other);
  }
  PyObject* const object = refer(handle, node);
  if (Attachment* left = attachment_of(node)) {
    if (left->dict != nullptr) handle->dict = std::exchange(left->dict, nullptr);
    tape().discard(std::move(tape().find_extra(node)->attachment));
  }
  if (tape().cell(node).flags & flag::heritable) track(handle);
  else if (attributes_of(handle) != nullptr) handle->plain = false;
  return object;
}

PyObject* adopt_as(PyTypeObject* type, Index node) {
  if (type == value_type) return wrap(node);
  if (watching) {
    node = watched(node);
    if (node == no_node) return nullptr;
  }
  Handle* const handle = new_subclass_handle(type);
  if (handle == nullptr) {
    tape().release(node);
    return nullptr;
  }
  PyObject* const object = refer(handle, node);
  return tape().cell(node).flags & flag::heritable ? hold_operands(handle) : object;
}

// Removes the handle's dict and returns the reference, null if there is none.
static PyObject* take_attributes(Handle* handle) {
  PyObject* dict = attributes_of(handle);
  handle->dict = no_attributes;
  return dict;
}

// Moves the handle's attributes to its node, if other owners keep the node alive.
static void leave_attributes(Handle* handle) {
  if (handle->node == unset_node || tape().cell(handle->node).owners == 1) return;
  if (attributes_of(handle) == nullptr) return;
  try {
    auto attached = std::make_unique<Attachment>();
    NodeExtra& extra = tape().need_extra(handle->node);
    attached->dict = take_attributes(handle);
    extra.attachment = std::move(attached);
  } catch (const std::bad_alloc&) {
    // The attributes are lost; the interpreter goes on.
  }
}

// Deallocates a handle that is not plain or has weak references, or for which the free list has no
// room.
[[gnu::noinline]] static void dealloc_rich(Handle* handle) {
  auto* self = reinterpret_cast<PyObject*>(handle);
  PyTypeObject* type = Py_TYPE(self);
  const Index node = handle->node;
  PyObject_GC_UnTrack(self);
  if (type != value_type && is_used(node)) return put_to_sleep(handle);
  tape().take_from_handle(node);
  const bool known = all_handles().has(handle);
  if (known) all_handles().forget(handle);
  leave_attributes(handle);  // first: a weak reference's callback may ask for the node
  handle->node = unset_node;
  release_replaced(handle);
  if (handle->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  PyObject* dict = take_attributes(handle);
  if (type == value_type && known && !free_handles().full()) {
    all_handles().let_wait(handle);
  } else {
    if (known) all_handles().remove(handle);
    type->tp_free(self);
    Py_DECREF(type);
  }
  tape().release(node);
  Py_XDECREF(dict);
}

extern "C" void handle_dealloc(PyObject* self) {
  Handle* handle = as_handle(self);
  if (!handle->plain || handle->weakrefs != nullptr || free_handles().full()) [[unlikely]]
    return dealloc_rich(handle);
  free_handles().push(handle);
  tape().release(handle->node, handle_owner);
}

// The tp_free of Value, different from PyObject_GC_Del on purpose. CPython assigns __class__ only
// between types with the same tp_free, so that no Value can become an instance of a subclass.
// handle_dealloc() would otherwise keep such an object for reuse with the type of the subclass.
extern "C" void handle_free(void* self) { PyObject_GC_Del(self); }

// Visits a node's Python objects only if every owner of the node is this handle, or holds this
// handle and so is visible to the collector. The collector therefore never clears an object that a
// live graph still needs.
extern "C" int handle_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const Handle* handle = as_handle(self);
  if (handle->node == unset_node) Py_VISIT(attributes_of(handle));
  if (!is_accounted_for(handle->node)) return 0;
  Py_VISIT(attributes_of(handle));
  if (PythonBackward* backward = python_backward(handle->node)) Py_VISIT(backward->callable);
  const NodeExtra* extra = tape().find_extra(handle->node);
  if (extra != nullptr && extra->held)
    for (PyObject* operand : static_cast<const OperandHandles*>(extra->held.get())->handles)
      Py_VISIT(operand);
  return 0;
}

extern "C" int handle_clear(PyObject* self) {
  Handle* handle = as_handle(self);
  if (handle->node == unset_node) Py_XDECREF(take_attributes(handle));
  if (!is_accounted_for(handle->node)) return 0;
  Py_XDECREF(take_attributes(handle));
  if (PythonBackward* backward = python_backward(handle->node)) Py_CLEAR(backward->callable);
  return 0;
}

void PythonBackward::operator()(Index) {
  if (callable == nullptr) return;
  PyObject* function = Py_NewRef(callable);  // the collector may clear the member meanwhile
  PyObject* result = PyObject_CallNoArgs(function);
  Py_DECREF(function);
  if (result == nullptr) throw PythonError{};
  Py_DECREF(result);
}

}  // namespace tapegrad::python
