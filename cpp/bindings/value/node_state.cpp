#include "value/node_state.hpp"

#include <string>
#include <utility>

#include "common/references.hpp"

namespace tapegrad::python {

namespace py = pybind11;

py::object type_of(PyObject* object) {
  return py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(Py_TYPE(object)));
}

bool overrides(const py::object& type, PyObject* base, const char* name) {
  if (type.ptr() == base) return false;
  return !find_attribute(type, name).is(find_attribute(base, name));
}
bool has_own_state(const py::object& type) {
  return overrides(type, reinterpret_cast<PyObject*>(&PyBaseObject_Type), "__getstate__") ||
         overrides(type, plain_type(), "__setstate__");
}
bool has_own_reduction(const py::object& type) {
  return overrides(type, plain_type(), "__reduce_ex__") ||
         overrides(type, plain_type(), "__reduce__");
}

py::object object_of(Index node) {
  PyObject* const living = reinterpret_cast<PyObject*>(find_handle(node));
  return py::reinterpret_steal<py::object>(living != nullptr ? Py_NewRef(living) : wake(node));
}

py::object value_of_type(Index node, const py::object& type) {
  auto* wanted = reinterpret_cast<PyTypeObject*>(type.ptr());
  if (!PyType_Check(type.ptr()) || !PyType_IsSubtype(wanted, value_type))
    throw py::type_error("a Value's type must be Value or a subclass");
  return owned(handle_of(node, wanted));
}

std::vector<Operand> ordered_operands(Index node) {
  std::vector<Operand> list;
  tape().append_operands(node, list);
  if (tape().cell(node).flags & flag::constant_left && !tape().has_list(node))
    std::swap(list[0], list[1]);
  return list;
}

namespace {

py::object text_or_none(const std::string* text) {
  return text != nullptr && !text->empty() ? py::object(py::str(*text)) : py::object(py::none());
}

// The result of object.__getstate__(): the attributes, a pair of attributes and slots, or None.
py::object default_state(const py::object& value) {
  PyObject* const dict = attributes_of(as_handle(value.ptr()));
  py::object attributes = dict != nullptr ? py::reinterpret_borrow<py::object>(dict) : py::none();
  if (Py_TYPE(value.ptr())->tp_basicsize == static_cast<Py_ssize_t>(sizeof(Handle)))
    return attributes;
  py::dict slots;
  const py::object names = py::module_::import("copyreg").attr("_slotnames")(py::type::of(value));
  for (const py::handle& name : names) {
    PyObject* const found = PyObject_GenericGetAttr(value.ptr(), name.ptr());
    if (found != nullptr) slots[name] = py::reinterpret_steal<py::object>(found);
    else if (PyErr_ExceptionMatches(PyExc_AttributeError)) PyErr_Clear();
    else throw py::error_already_set();
  }
  return slots.empty() ? attributes : py::make_tuple(attributes, slots);
}

py::object state_of(const py::object& value) {
  const py::object type = py::type::of(value);
  if (overrides(type, reinterpret_cast<PyObject*>(&PyBaseObject_Type), "__getstate__"))
    return value.attr("__getstate__")();
  return default_state(value);
}

}  // namespace

py::object node_state(Index node) {
  const py::object value = object_of(node);
  const NodeExtra* extra = tape().find_extra(node);
  py::object type = py::none(), state = py::none();
  if (value) {
    if (Py_TYPE(value.ptr()) != value_type) type = type_of(value.ptr());
    state = state_of(value);
    extra = tape().find_extra(node);  // state_of() may have run any code
  } else if (extra != nullptr && extra->attachment) {
    PyObject* const dict = static_cast<const Attachment*>(extra->attachment.get())->dict;
    if (dict != nullptr) state = py::reinterpret_borrow<py::object>(dict);
  }
  const PythonBackward* backward = python_backward(node);
  PyObject* callable = backward != nullptr ? backward->callable : nullptr;
  if (extra == nullptr && callable == nullptr && state.is_none() && type.is_none())
    return py::none();
  const py::object function =
      callable != nullptr ? py::reinterpret_borrow<py::object>(callable) : py::none();
  const py::object label = text_or_none(extra != nullptr ? &extra->label : nullptr);
  const py::object symbol = text_or_none(extra != nullptr ? extra->symbol.get() : nullptr);
  return py::make_tuple(label, symbol, function, state, type);
}

py::tuple five_parts(const py::object& given) {
  if (!PyTuple_Check(given.ptr()) || PyTuple_GET_SIZE(given.ptr()) != 5)
    throw py::type_error("a node's state must be a tuple of 5 elements, or None");
  return py::reinterpret_borrow<py::tuple>(given);
}

void set_default_state(const py::object& value, const py::object& state) {
  if (state.is_none()) return;
  py::object attributes = state, slots = py::none();
  if (PyTuple_Check(state.ptr()) && PyTuple_GET_SIZE(state.ptr()) == 2) {
    attributes = state[py::int_(0)];
    slots = state[py::int_(1)];
  }
  for (const py::object& part : {attributes, slots})
    if (!part.is_none() && !PyDict_Check(part.ptr()))
      throw py::type_error(
          "the state of a Value must be a dict, or a pair of attributes and slots");
  if (!attributes.is_none() && !add_attributes(value.ptr(), attributes.ptr()))
    throw py::error_already_set();
  if (slots.is_none()) return;
  for (const auto& [name, given] : py::reinterpret_borrow<py::dict>(slots))
    if (value_setattro(value.ptr(), name.ptr(), given.ptr()) < 0) throw py::error_already_set();
}

void set_node_state(const py::object& value, const py::object& given) {
  if (given.is_none()) return;
  const py::tuple all = five_parts(given);
  constexpr const char* names[] = {"label", "_op", "_backward"};
  for (std::size_t k = 0; k < 3; ++k)
    if (const py::object one = all[k]; !one.is_none())
      py::handle(plain_type()).attr(names[k]).attr("__set__")(value, one);
  const py::object state = all[3];
  if (state.is_none()) return;
  if (overrides(py::type::of(value), plain_type(), "__setstate__"))
    value.attr("__setstate__")(state);
  else set_default_state(value, state);
}

}  // namespace tapegrad::python
