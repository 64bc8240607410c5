// NumPy's types, available once a program has imported NumPy.
#pragma once

#include <Python.h>

#include <string>

namespace tapegrad::python {

// A type of NumPy's by name. Null if the program has not imported NumPy or NumPy has no such type.
PyTypeObject* numpy_type(const char* name);
// True for an instance of exactly numpy.ndarray.
bool is_array(PyObject* object);
// True for a masked array, a np.matrix or an instance of another subclass. Such an array has an
// arithmetic of its own, which would be lost.
bool is_array_subclass(PyObject* object);
// Refuses such an array. Returns true, with a TypeError set that names the argument and the class,
// if the object is one.
bool refuse_array_subclass(PyObject* object, const std::string& name);

}  // namespace tapegrad::python
