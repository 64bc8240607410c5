// What Python is told of an operation: its names, its signature, its sentence.
#pragma once

#include <Python.h>

#include <string>
#include <string_view>
#include <vector>

#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad::python {

// Calls the operation `k` of the table on Values and numbers; plain numbers alone give a float.
// `self`, if any, is the first argument.
PyObject* call_operation(std::size_t k, PyObject* self, PyObject* const* args, Py_ssize_t count,
                         PyObject* keywords);

// The Python names: math's, then NumPy's.
std::vector<std::string_view> names_of(const Description& what);

// A docstring that starts with the text signature, as `help()` and `inspect` read it.
std::string documentation(const Description& what, std::string_view name, bool method);

// A C string that lives as long as the interpreter.
const char* kept(std::string text);

}  // namespace tapegrad::python
