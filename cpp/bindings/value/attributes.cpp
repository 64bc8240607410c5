// The attributes of a Value: data, grad, label, and the record of how it was computed.
#include <charconv>
#include <cmath>
#include <string>

#include "value/type.hpp"

namespace tapegrad::python {

namespace {

PyObject* name_data = nullptr;
PyObject* name_grad = nullptr;

PyObject* to_text(const std::string& text) {
  return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

int refuse_deletion(const char* name) {
  PyErr_Format(PyExc_TypeError, "%s of a Value cannot be deleted", name);
  return -1;
}

int set_data(PyObject* self, PyObject* value) {
  if (value == nullptr) return refuse_deletion("data");
  double number = 0.0;
  if (!read_small(value, number) && !need_number(value, "data", number)) return -1;
  if (node_of(self) == unset_node) [[unlikely]]  // an __init__ that does not call Value's
    return guarded([&] { return refill(as_handle(self), tape().leaf(number)) ? 0 : -1; }, -1);
  tape().cell(node_of(self)).primal = number;
  ++changes;
  return 0;
}

int set_grad(PyObject* self, PyObject* value) {
  if (value == nullptr) return refuse_deletion("grad");
  double number = 0.0;
  if (!read_small(value, number) && !need_number(value, "grad", number)) return -1;
  if (!is_set(self)) return -1;
  tape().link(node_of(self)).adjoint = number;
  ++changes;
  return 0;
}

// The text of an exponent as Python programs write it: `**2`, `**-1`, `**0.5`.
std::string exponent_text(double exponent) {
  char text[32];
  if (std::floor(exponent) == exponent && std::fabs(exponent) < 1e15)
    return {text, std::to_chars(text, text + sizeof text, static_cast<long long>(exponent)).ptr};
  return {text, std::to_chars(text, text + sizeof text, exponent).ptr};
}

std::string symbol_of(Index node) {
  const NodeExtra* extra = tape().find_extra(node);
  if (extra != nullptr && extra->symbol) return *extra->symbol;
  const Description* what = description(tape().cell(node).op);
  if (what == nullptr) return {};
  std::string symbol(what->symbol);
  if (what->constant_last) {
    std::vector<Operand> operands;
    tape().append_operands(node, operands);
    symbol += exponent_text(operands.back().partial);
  }
  return symbol;
}

// The operands of a node after its constants have become leaves.
std::vector<Operand> shown_operands(Index node) {
  tape().show_constants(node);
  std::vector<Operand> operands;
  tape().each_operand(node, [&](Index operand, double partial) {
    operands.push_back({operand, partial});
  });
  return operands;
}

// A scope in which the dict slot of a handle without attributes is null, so that CPython may create
// a dict there. The destructor stores no_attributes again if the slot is still null.
class OwnDict {
 public:
  explicit OwnDict(Handle* handle) : handle_(handle) { handle->dict = attributes_of(handle); }
  OwnDict(const OwnDict&) = delete;
  OwnDict& operator=(const OwnDict&) = delete;
  ~OwnDict() {
    if (handle_->dict == nullptr) handle_->dict = no_attributes;
  }

 private:
  Handle* handle_;
};

// True if no reference cycle can go through the object: a number, a string, or a tuple of such. The
// collector's own record does not answer this for a dict: since CPython 3.14 it tracks every dict
// from its creation.
bool is_atomic(PyObject* object, int depth = 8) {
  if (!PyObject_IS_GC(object)) return true;
  if (!PyTuple_CheckExact(object) || depth == 0) return false;
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(object); ++k)
    if (!is_atomic(PyTuple_GET_ITEM(object, k), depth - 1)) return false;
  return true;
}

template <class Make>
PyObject* tuple_of_operands(PyObject* self, Make make) {
  if (!is_set(self)) return nullptr;
  return guarded([&]() -> PyObject* {
    const std::vector<Operand> operands = shown_operands(node_of(self));
    PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(operands.size()));
    for (std::size_t k = 0; tuple != nullptr && k < operands.size(); ++k) {
      PyObject* item = make(operands[k]);
      if (item == nullptr) Py_CLEAR(tuple);
      else PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(k), item);
    }
    return tuple;
  });
}

extern "C" {

PyObject* get_data(PyObject* self, void*) {
  if (!is_set(self)) return nullptr;
  return PyFloat_FromDouble(tape().cell(node_of(self)).primal);
}
PyObject* get_grad(PyObject* self, void*) {
  if (!is_set(self)) return nullptr;
  return PyFloat_FromDouble(tape().link(node_of(self)).adjoint);
}
int put_data(PyObject* self, PyObject* value, void*) { return set_data(self, value); }
int put_grad(PyObject* self, PyObject* value, void*) { return set_grad(self, value); }

PyObject* get_label(PyObject* self, void*) {
  if (!is_set(self)) return nullptr;
  const NodeExtra* extra = tape().find_extra(node_of(self));
  return extra != nullptr ? to_text(extra->label) : PyUnicode_FromStringAndSize(nullptr, 0);
}
int put_label(PyObject* self, PyObject* value, void*) {
  if (value == nullptr) return refuse_deletion("label");
  std::string text;
  if (!need_text(value, "label", text) || !is_set(self)) return -1;
  ++changes;
  return guarded([&] { return tape().need_extra(node_of(self)).label = std::move(text), 0; }, -1);
}

PyObject* get_op(PyObject* self, void*) {
  if (!is_set(self)) return nullptr;
  return guarded([&] { return to_text(symbol_of(node_of(self))); });
}
int put_op(PyObject* self, PyObject* value, void*) {
  if (value == nullptr) return refuse_deletion("_op");
  std::string text;
  if (!need_text(value, "_op", text) || !is_set(self)) return -1;
  ++changes;
  return guarded(
      [&] {
        tape().need_extra(node_of(self)).symbol = std::make_unique<std::string>(std::move(text));
        return 0;
      },
      -1);
}

PyObject* get_children(PyObject* self, void*) {
  return tuple_of_operands(self, [](const Operand& operand) { return handle_of(operand.node); });
}
PyObject* get_local_grads(PyObject* self, void*) {
  return tuple_of_operands(self, [](const Operand& operand) {
    return PyFloat_FromDouble(is_absent(operand.partial) ? 0.0 : operand.partial);
  });
}
PyObject* get_prev(PyObject* self, void*) {
  PyObject* children = get_children(self, nullptr);
  if (children == nullptr) return nullptr;
  PyObject* set = PySet_New(children);
  Py_DECREF(children);
  return set;
}

// Adds the node's contribution to the adjoints of its operands, from the recorded partials.
PyObject* push_recorded(PyObject* self, PyObject*) {
  ++changes;
  tape().push_recorded(node_of(self));
  Py_RETURN_NONE;
}
PyMethodDef push_definition = {
    "_backward", push_recorded, METH_NOARGS,
    "_backward()\n--\n\nAdd this node's contribution to the gradients of its operands."};

PyObject* get_backward(PyObject* self, void*) {
  if (!is_set(self)) return nullptr;
  const PythonBackward* backward = python_backward(node_of(self));
  if (backward != nullptr && backward->callable != nullptr) return Py_NewRef(backward->callable);
  return PyCFunction_New(&push_definition, self);
}
int put_backward(PyObject* self, PyObject* value, void*) {
  if (value == nullptr) return refuse_deletion("_backward");
  if (!is_set(self)) return -1;
  if (!PyCallable_Check(value)) {
    PyErr_Format(PyExc_TypeError, "_backward must be callable, not '%s'", Py_TYPE(value)->tp_name);
    return -1;
  }
  ++changes;
  const int failed = guarded(
      [&] {
        tape().set_backward(node_of(self), std::make_unique<PythonBackward>(value));
        return 0;
      },
      -1);
  return failed == 0 && let_collect(as_handle(self)) ? 0 : -1;
}

PyObject* get_dict(PyObject* self, void*) {
  const OwnDict opened(as_handle(self));
  PyObject* dict = PyObject_GenericGetDict(self, nullptr);
  if (dict != nullptr && !let_collect(as_handle(self))) Py_CLEAR(dict);  // it may be filled later
  return dict;
}
int put_dict(PyObject* self, PyObject* value, void*) {
  ++changes;
  const OwnDict opened(as_handle(self));
  const int failed = PyObject_GenericSetDict(self, value, nullptr);
  if (attributes_of(as_handle(self)) != nullptr && !let_collect(as_handle(self))) return -1;
  return failed;
}

}  // extern "C"

}  // namespace

// Sets an attribute. `data` and `grad` of an exact Value skip the lookup in dictionaries, since
// `p.data -= rate * p.grad` is half of a training loop.
extern "C" int value_setattro(PyObject* self, PyObject* name, PyObject* value) {
  if (Py_TYPE(self) == value_type) {
    if (name == name_data) return set_data(self, value);
    if (name == name_grad) return set_grad(self, value);
  }
  ++changes;
  if (value != nullptr && PyType_Check(value) && !prepare_class(value)) return -1;
  Handle* const handle = as_handle(self);
  const OwnDict opened(handle);
  const int failed = PyObject_GenericSetAttr(self, name, value);
  const bool has_slots = Py_TYPE(self)->tp_basicsize != static_cast<Py_ssize_t>(sizeof(Handle));
  if (attributes_of(handle) == nullptr && !has_slots) return failed;
  handle->plain = false;
  if (failed != 0 || value == nullptr || is_atomic(value)) return failed;
  return let_collect(handle) ? 0 : -1;
}

bool add_attributes(PyObject* self, PyObject* attributes) {
  Handle* const handle = as_handle(self);
  const OwnDict opened(handle);
  PyObject* const dict = PyObject_GenericGetDict(self, nullptr);
  if (dict == nullptr) return false;
  handle->plain = false;
  const int failed = PyDict_Update(dict, attributes);
  bool atomic = true;
  PyObject *name, *value;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &name, &value);) atomic &= is_atomic(value);
  Py_DECREF(dict);
  return (atomic || let_collect(handle)) && failed == 0;
}

bool owns_containers(Handle* handle) {
  auto* const slots = reinterpret_cast<PyObject**>(handle + 1);
  const std::size_t count = slots_of(Py_TYPE(reinterpret_cast<PyObject*>(handle)));
  for (std::size_t k = 0; k < count; ++k)
    if (slots[k] != nullptr && !is_atomic(slots[k])) return true;
  PyObject* const dict = attributes_of(handle);
  if (dict != nullptr && Py_REFCNT(dict) > 1) return true;  // a program may fill it later
  PyObject *name, *value;
  for (Py_ssize_t at = 0; dict != nullptr && PyDict_Next(dict, &at, &name, &value);)
    if (!is_atomic(value)) return true;
  return false;
}

std::vector<PyGetSetDef> attribute_definitions() {
  name_data = PyUnicode_InternFromString("data");
  name_grad = PyUnicode_InternFromString("grad");
  return {
      {"data", get_data, put_data, "The number, a float.", nullptr},
      {"grad", get_grad, put_grad,
       "The gradient, a float: backward() adds the derivative of its node with respect to this one.",
       nullptr},
      {"label", get_label, put_label, "A name for drawings, kept by the node.", nullptr},
      {"_op", get_op, put_op, "The symbol of the operation that made this node; '' for a leaf.",
       nullptr},
      {"_prev", get_prev, nullptr, "The operands, as a set of Values.", nullptr},
      {"_children", get_children, nullptr, "The operands in order, repeats kept, as a tuple.",
       nullptr},
      {"_local_grads", get_local_grads, nullptr,
       "The partial derivative with respect to each operand.", nullptr},
      {"_backward", get_backward, put_backward,
       "A function that adds this node's contribution to the gradients of its operands. It may be\n"
       "assigned, and backward() then calls the new function.",
       nullptr},
      {"__dict__", get_dict, put_dict, "Attributes set on this Value, kept by its node.", nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr},
  };
}

}  // namespace tapegrad::python
