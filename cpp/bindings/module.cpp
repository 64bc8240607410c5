// The extension module tapegrad._core.
#include "module.hpp"

#include "handle.hpp"

PYBIND11_MODULE(_core_of_main_interpreter, module) {
  using namespace tapegrad::python;
  module.doc() = "The compiled core of tapegrad.";
  new (&forever.tape) tapegrad::Tape;
  register_value(module);
  register_functions(module);
  register_snapshots(module);
  register_inspection(module);
}

// Nodes belong to one interpreter. Asked before pybind11 begins, which waits for ever in a
// subinterpreter of Python 3.11 and before.
PyMODINIT_FUNC PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "tapegrad does not support subinterpreters");
    return nullptr;
  }
  return PyInit__core_of_main_interpreter();
}
