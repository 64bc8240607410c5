// The extension module tapegrad._core.
#include "module.hpp"

#include <exception>
#include <stdexcept>

#include "value/handle.hpp"

namespace {

constexpr char refusal[] = "tapegrad does not support subinterpreters";

// Rethrows an exception unless a MemoryError is set. pybind11 reports a lack of memory for a list
// or tuple as a RuntimeError.
void keep_memory_error(std::exception_ptr thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::runtime_error&) {
    if (PyErr_Occurred() == nullptr || !PyErr_ExceptionMatches(PyExc_MemoryError)) throw;
  }
}

bool is_main_interpreter() { return PyInterpreterState_Get() == PyInterpreterState_Main(); }

}  // namespace

// Initialises the module. It may run again in one process, for a program that removes the module
// and imports it anew. Nodes, types and classes of the first import then remain in use.
PYBIND11_MODULE(_core_of_main_interpreter, module) {
  using namespace tapegrad::python;
  // A second check: since Python 3.12, the function below may run in the main interpreter first.
  if (!is_main_interpreter()) throw pybind11::import_error(refusal);
  module.doc() = "The compiled core of tapegrad.";
  if (value_type == nullptr) new (&module_state.hot) HotState;
  pybind11::register_local_exception_translator(keep_memory_error);
  register_value(module);
  register_traced(module);
  register_functions(module);
  register_layers(module);
  register_losses(module);
  register_snapshots(module);
  register_inspection(module);
  register_modes(module);
  register_bulk(module);
  register_optimizers(module);
  register_trees(module);
  register_recordings(module);
  register_programs(module);
  register_compiled(module);
  register_sparsity(module);
  register_c_text(module);
}

// Refuses subinterpreters, since nodes belong to one interpreter. The check comes before pybind11's
// initialisation, which never returns in a subinterpreter of Python 3.11 or earlier.
PyMODINIT_FUNC PyInit__core() {
  if (!is_main_interpreter()) {
    PyErr_SetString(PyExc_ImportError, refusal);
    return nullptr;
  }
  return PyInit__core_of_main_interpreter();
}
