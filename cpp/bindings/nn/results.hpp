// How a layer or a loss is called from Python, and what it gives.
#pragma once

#include <pybind11/pybind11.h>

#include "common/signature.hpp"
#include "tapegrad/detail/nn/rows.hpp"
#include "tapegrad/detail/nn/symbol_rows.hpp"
#include "value/type.hpp"

namespace tapegrad::python {

// A list of Values; of floats, where no element is a node. Null with an error set.
PyObject* list_of(Row& row);
// The one element, a Value or a float.
PyObject* scalar_of(Row& row);
// The same of traced numbers, and of floats.
PyObject* list_of(SymbolRow& row);
PyObject* scalar_of(SymbolRow& row);

// What a function of Python's does: it takes one argument for each name, null where not given.
using Body = PyObject*(Tape& tape, PyObject* const* given);
using RecordedBody = PyObject*(Recording& recording, PyObject* const* given);

// Of traced numbers, `recorded` is called.
template <Body* body, RecordedBody* recorded>
struct Signature {
  const char* name;
  const char* parameters[4];
  Py_ssize_t required;
  const char* documentation;
  Py_ssize_t matrices = 0;  // how many of the arguments, from the first, may be rows of numbers
};

constexpr Py_ssize_t count_of(const char* const (&parameters)[4]) {
  Py_ssize_t count = 0;
  while (count < 4 && parameters[count] != nullptr) ++count;
  return count;
}

// Calls the one or the other, while a recording is open.
PyObject* call_in_recording(PyObject* const (&given)[4], Py_ssize_t matrices, Body* body,
                            RecordedBody* recorded);

void add_function(pybind11::module_& module, PyMethodDef& definition);

template <Body* body, RecordedBody* recorded>
void add(pybind11::module_& module, const Signature<body, recorded>& signature) {
  static const Signature<body, recorded>* const known = &signature;
  constexpr auto call = [](PyObject*, PyObject* const* args, Py_ssize_t count,
                           PyObject* keywords) -> PyObject* {
    PyObject* given[4] = {};
    if (!split_arguments(known->name, args, count, keywords, known->parameters,
                         count_of(known->parameters), known->required, given))
      return nullptr;
    return guarded([&] {
      if (Recording::current != nullptr) [[unlikely]]
        return call_in_recording(given, known->matrices, body, recorded);
      return body(tape(), given);
    });
  };
  PyObject* (*const function)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*) = call;
  static PyMethodDef definition{
      signature.name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
      METH_FASTCALL | METH_KEYWORDS, signature.documentation};
  add_function(module, definition);
}

}  // namespace tapegrad::python
