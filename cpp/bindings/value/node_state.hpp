// The state of a node: all that a copy or a pickle of it has to keep besides its numbers.
#pragma once

#include <vector>

#include <pybind11/pybind11.h>

#include "value/type.hpp"

namespace tapegrad::python {

inline PyObject* plain_type() { return reinterpret_cast<PyObject*>(value_type); }
pybind11::object type_of(PyObject* object);

// True if the type's attribute of this name is not that of `base`.
bool overrides(const pybind11::object& type, PyObject* base, const char* name);
bool has_own_state(const pybind11::object& type);
bool has_own_reduction(const pybind11::object& type);

// The node's Value, a new reference; null if it has none. Wakes a sleeping handle.
pybind11::object object_of(Index node);
// The node's Value. Creates one of the given type if the node has none.
pybind11::object value_of_type(Index node, const pybind11::object& type);
// A node's operands in the order of the operation, as restore() takes them.
std::vector<Operand> ordered_operands(Index node);

// A tuple (label, symbol, backward function, state, subclass), or None for a node without any of
// these.
pybind11::object node_state(Index node);
// The tuple; throws a TypeError if it is none or has not five elements.
pybind11::tuple five_parts(const pybind11::object& given);
// Gives a Value's node the result of node_state(). Label, symbol and backward function are set
// through Value's own descriptors, since a subclass may have attributes of the same names.
void set_node_state(const pybind11::object& value, const pybind11::object& given);
// Restores the attributes and slots that object.__getstate__() returned.
void set_default_state(const pybind11::object& value, const pybind11::object& state);

// Calls a function and returns a new reference; null, with a Python error set, if it throws.
template <class Call>
PyObject* new_reference(Call call) {
  return guarded([&] { return call().release().ptr(); });
}

}  // namespace tapegrad::python
