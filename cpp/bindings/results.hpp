// How a layer or a loss is called from Python, and what it gives.
#pragma once

#include <pybind11/pybind11.h>

#include "signature.hpp"
#include "tapegrad/rows.hpp"

namespace tapegrad::python {

// A list of Values; of floats, where no element is a node. Null with an error set.
PyObject* list_of(Row& row);
// The one element, a Value or a float.
PyObject* scalar_of(Row& row);

// A function of Python's: its body takes one argument for each name, null where not given.
template <PyObject* (*body)(PyObject* const*)>
struct Signature {
  const char* name;
  const char* parameters[4];
  Py_ssize_t required;
  const char* documentation;
};

constexpr Py_ssize_t count_of(const char* const (&parameters)[4]) {
  Py_ssize_t count = 0;
  while (count < 4 && parameters[count] != nullptr) ++count;
  return count;
}

void add_function(pybind11::module_& module, PyMethodDef& definition);

template <PyObject* (*body)(PyObject* const*)>
void add(pybind11::module_& module, const Signature<body>& signature) {
  static const Signature<body>* const known = &signature;
  constexpr auto call = [](PyObject*, PyObject* const* args, Py_ssize_t count,
                           PyObject* keywords) -> PyObject* {
    PyObject* given[4] = {};
    if (!split_arguments(known->name, args, count, keywords, known->parameters,
                         count_of(known->parameters), known->required, given))
      return nullptr;
    return guarded([&] { return body(given); });
  };
  PyObject* (*const function)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*) = call;
  static PyMethodDef definition{
      signature.name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
      METH_FASTCALL | METH_KEYWORDS, signature.documentation};
  add_function(module, definition);
}

}  // namespace tapegrad::python
