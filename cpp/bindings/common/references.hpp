// References to Python objects, taken so that no error is lost.
#pragma once

#include <pybind11/pybind11.h>

namespace tapegrad::python {

// Takes a new reference; throws where it is null, an error being set.
template <class Object = pybind11::object>
Object owned(PyObject* object) {
  if (object == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<Object>(object);
}

// The attribute of this name; null where there is none. Throws every error but AttributeError,
// where pybind11's getattr() and hasattr() take a lack of memory for a lack of the attribute.
inline pybind11::object find_attribute(pybind11::handle object, const char* name) {
  PyObject* const found = PyObject_GetAttrString(object.ptr(), name);
  if (found == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) throw pybind11::error_already_set();
    PyErr_Clear();
  }
  return pybind11::reinterpret_steal<pybind11::object>(found);
}

}  // namespace tapegrad::python
