// NumPy's array type, which is there once a program has imported NumPy.
#pragma once

#include <Python.h>

#include <string>

namespace tapegrad::python {

// A type of NumPy's by name; null before a program has imported NumPy.
PyTypeObject* numpy_type(const char* name);
// A plain array.
bool is_array(PyObject* object);
// A masked array, a np.matrix or another subclass: its arithmetic is its own, and would be lost.
bool is_array_subclass(PyObject* object);
// True, with a TypeError set that names the argument and the class, for one of these.
bool refuse_array_subclass(PyObject* object, const std::string& name);

}  // namespace tapegrad::python
