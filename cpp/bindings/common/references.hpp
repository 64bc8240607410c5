// Helpers for references to Python objects that lose no error.
#pragma once

#include <pybind11/pybind11.h>

namespace tapegrad::python {

// Takes ownership of a new reference. Throws error_already_set if it is null.
template <class Object = pybind11::object>
Object owned(PyObject* object) {
  if (object == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<Object>(object);
}

// The attribute of the given name; null if there is none. Throws every error except AttributeError.
// pybind11's getattr() and hasattr(), in contrast, report a lack of memory as a missing attribute.
inline pybind11::object find_attribute(pybind11::handle object, const char* name) {
  PyObject* const found = PyObject_GetAttrString(object.ptr(), name);
  if (found == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) throw pybind11::error_already_set();
    PyErr_Clear();
  }
  return pybind11::reinterpret_steal<pybind11::object>(found);
}

}  // namespace tapegrad::python
