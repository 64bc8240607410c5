// Calls of layers and losses from Python, and their results.
#pragma once

#include <pybind11/pybind11.h>

#include "common/signature.hpp"
#include "tapegrad/detail/nn/rows.hpp"
#include "tapegrad/detail/nn/symbol_rows.hpp"
#include "value/type.hpp"

namespace tapegrad::python {

// The elements as a list of Values, or of floats if no element is a node. Null with an error set.
PyObject* list_of(Row& row);
// The single element as a Value or a float. Null with an error set.
PyObject* scalar_of(Row& row);
// The counterparts for a recording: traced numbers, or floats if no element is traced.
PyObject* list_of(SymbolRow& row);
PyObject* scalar_of(SymbolRow& row);

// The body of a Python function. `given` has one argument for each parameter, null if not given. A
// Body computes on Values, a RecordedBody on traced numbers. Returns a new reference, or null with
// an error set.
using Body = PyObject*(Tape& tape, PyObject* const* given);
using RecordedBody = PyObject*(Recording& recording, PyObject* const* given);

// The description of a Python function, and its two bodies.
template <Body* body, RecordedBody* recorded>
struct LayerSignature {
  const char* name;
  const char* parameters[4];
  Py_ssize_t required;
  const char* documentation;
  Py_ssize_t matrices = 0;  // the first so many arguments may be lists of rows
};

constexpr Py_ssize_t count_of(const char* const (&parameters)[4]) {
  Py_ssize_t count = 0;
  while (count < 4 && parameters[count] != nullptr) ++count;
  return count;
}

// Calls `recorded` if an argument contains a traced number, otherwise `body`. For use while a
// recording is open.
PyObject* call_in_recording(PyObject* const (&given)[4], Py_ssize_t matrices, Body* body,
                            RecordedBody* recorded);

// Adds a function to the module and to its __all__.
void add_function(pybind11::module_& module, PyMethodDef& definition);

// Adds the function that a signature describes. The signature must have static storage.
template <Body* body, RecordedBody* recorded>
void add(pybind11::module_& module, const LayerSignature<body, recorded>& signature) {
  static const LayerSignature<body, recorded>* const known = &signature;
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
