// The Python interface of an operation: its names, signature and docstring.
#pragma once

#include <Python.h>

#include <string>
#include <string_view>
#include <vector>

#include "tapegrad/detail/ops/table.hpp"

namespace tapegrad::python {

// Calls operation `k` of the table on Values, traced numbers and plain numbers. If all arguments
// are plain numbers, the result is a float. `self` is the first argument if it is not null. Returns
// a new reference, or null with an error set.
PyObject* call_operation(std::size_t k, PyObject* self, PyObject* const* args, Py_ssize_t count,
                         PyObject* keywords);

// The operation's names in Python: that of the math module, then NumPy's if it differs.
std::vector<std::string_view> names_of(const Description& what);

// The docstring of an operation. It begins with the text signature, which help() and inspect read.
std::string documentation(const Description& what, std::string_view name, bool method);

// A copy of the text as a C string that lives as long as the interpreter.
const char* kept(std::string text);

}  // namespace tapegrad::python
